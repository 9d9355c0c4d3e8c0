"""Slakh2100, whose notes are those of its stems, and Cerberus4, quartets of these stems.

A stem's MIDI file in ``MIDI/`` is what was rendered; ``all_src.mid`` is not. Which sound a stem was rendered with was
chosen by its General MIDI program from one of 34 classes, so a class stands for all its programs: a reference with
other programs asks for differences that cannot be heard. Source of the classes: ``komplete_strict.json`` of the
publisher's rendering code, ethman/slakh-generation; of the programs: MT3 (Gardner et al. 2022).
"""

import functools
import itertools
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mt3lite import notes, reading
from mt3lite.errors import InputError, reason, shown
from mt3lite.training import datasets
from mt3lite.training.datasets import Stem, Track
from mt3lite.training.importing import Candidate, Discovery

# Class: the program that stands for it, and the programs (counted from 0) that were rendered with its sounds.
CLASSES: dict[str, tuple[int, tuple[int, ...]]] = {
    "Acoustic Piano": (0, (0, 1, 3, 6)),
    "Electric Piano": (4, (2, 4, 5, 7)),
    "Chromatic Percussion": (8, tuple(range(8, 16))),
    "Organ": (16, tuple(range(16, 24))),
    "Acoustic Guitar": (24, (24, 25)),
    "Clean Electric Guitar": (26, (26, 27, 28, 31)),
    "Distorted Electric Guitar": (29, (29, 30)),
    "Acoustic Bass": (32, (32,)),
    "Electric Bass": (33, (33, 34, 35, 36, 37)),
    "Violin": (40, (40,)),
    "Viola": (41, (41,)),
    "Cello": (42, (42,)),
    "Contrabass": (43, (43,)),
    "Orchestral Harp": (46, (46,)),
    "Timpani": (47, (47,)),
    "String Ensemble": (48, (44, 45, 48, 49)),
    "Synth Strings": (50, (50, 51)),
    "Choir and Voice": (52, (52, 53, 54)),
    "Orchestral Hit": (55, (55,)),
    "Trumpet": (56, (56, 59)),
    "Trombone": (57, (57,)),
    "Tuba": (58, (58,)),
    "French Horn": (60, (60,)),
    "Brass Section": (61, (61,)),
    "Soprano/Alto Sax": (64, (64, 65)),
    "Tenor Sax": (66, (66,)),
    "Baritone Sax": (67, (67,)),
    "Oboe": (68, (68,)),
    "English Horn": (69, (69,)),
    "Bassoon": (70, (70,)),
    "Clarinet": (71, (71,)),
    "Pipe": (73, tuple(range(72, 80))),
    "Synth Lead": (80, tuple(range(80, 88))),
    "Synth Pad": (88, tuple(range(88, 96))),
}
CLASS_PROGRAM = {program: stands_for for stands_for, programs in CLASSES.values() for program in programs}
LONGEST_STEM_NAME = 40
DRUM_PROGRAM = 128  # what the metadata say for drums

# MT3's track specifications: the `inst_class` in the metadata, the program, and whether it is drums.
CERBERUS_PARTS = (("Bass", 32, False), ("Drums", 0, True), ("Guitar", 24, False), ("Piano", 0, False))


@dataclass(frozen=True)
class _StemEntry:
    """A stem that is in the mix, as ``metadata.yaml`` describes it."""

    name: str  # "S03"
    inst_class: str
    stem: Stem  # with the program of its class


@dataclass(frozen=True)
class _Song:
    """A track's folder and what is in it."""

    folder: Path
    split: str
    source: str
    stems: tuple[_StemEntry, ...]


def slakh2100(root: Path, out: Path) -> Discovery:
    """Slakh2100: each song's mix, its notes those of the stems that are in it."""
    songs, remarks, faults = _songs(root)
    candidates = []
    for song in songs:
        mix, midi = _audio(song.folder / "mix"), out / "midi" / f"{song.folder.name}.mid"
        stems = tuple(entry.stem for entry in song.stems)
        track = Track(song.folder.name, song.split, mix, midi, source=song.source, stems=stems)
        candidates.append(Candidate(track, functools.partial(_read_stems, track)))
    return Discovery(candidates, remarks, faults)


def cerberus4(root: Path, out: Path) -> Discovery:
    """Cerberus4: from each song every choice of one bass, drums, guitar and piano stem; the recording is their sum."""
    songs, remarks, faults = _songs(root)
    candidates = []
    for song in songs:
        groups = []
        for inst_class, program, is_drum in CERBERUS_PARTS:
            mine = [entry for entry in song.stems if entry.inst_class == inst_class]
            groups.append([replace(each, stem=replace(each.stem, program=program, is_drum=is_drum)) for each in mine])
        for quartet in itertools.product(*groups):
            name = "-".join((song.folder.name, *(entry.name for entry in quartet)))
            stems = tuple(entry.stem for entry in quartet)
            track = Track(name, song.split, None, out / "midi" / f"{name}.mid", source=song.source, stems=stems)
            candidates.append(Candidate(track, functools.partial(_read_stems, track)))
    with_all = len({candidate.track.id.partition("-")[0] for candidate in candidates})
    remarks.append(f"{with_all} of {len(songs)} songs have bass, drums, guitar and piano")
    return Discovery(candidates, remarks, faults)


def _read_stems(track: Track) -> dict[Path, np.ndarray]:
    """Return the notes of all stems of a track, for its own MIDI file."""
    return {track.midi: notes.sort(np.concatenate([datasets.stem_notes(stem) for stem in track.stems]))}


def _songs(root: Path) -> tuple[list[_Song], list[str], list[str]]:
    """Return the songs below a folder, what was left aside, and what is wrong."""
    found = sorted([*root.glob("Track*/metadata.yaml"), *root.glob("*/Track*/metadata.yaml")])
    if not found:
        raise InputError(f"{root}: this is not the dataset: no train/Track*/metadata.yaml in it")
    songs, faults, outside, unsplit = [], [], 0, 0
    for path in found:
        split = path.parent.parent.name
        if path.parent.parent == root:  # BabySlakh: the first twenty songs
            split, unsplit = "train", unsplit + 1
        if split not in datasets.SPLITS:  # "omitted": duplicates of other songs
            outside += 1
            continue
        try:
            songs.append(_read_song(path, split))
        except InputError as error:
            faults.append(str(error))
    remarks = [f"{outside} songs are in no split (omitted/) and left aside"] if outside else []
    if unsplit:
        remarks.append(f"{unsplit} songs are in no folder of a split; they are taken as train")
    return songs, remarks, faults


def _read_song(path: Path, split: str) -> _Song:
    """Read a song's metadata; stems that are not in the mix are left aside.

    These have neither a flag nor a file. The flag alone does not tell: in BabySlakh it is false throughout.
    """
    try:
        import yaml
    except ImportError as error:
        raise InputError("reading Slakh's metadata needs PyYAML: pip install 'mt3lite[data]'") from error
    try:
        metadata = yaml.safe_load(reading.read_text(path, reading.MOST_SETTINGS_BYTES))
        source, listed = f"lmd:{metadata.get('UUID', '')}", metadata["stems"].items()
        stems = [
            _stem_entry(path, name, entry)
            for name, entry in sorted(listed)
            if entry["audio_rendered"] or os.path.isfile(_audio(path.parent / "stems" / str(name)))
        ]
    except InputError:
        raise
    except (
        *(OSError, yaml.YAMLError, LookupError, TypeError, AttributeError, RecursionError),
        *(ValueError, OverflowError),  # a date that is none, a number beyond all
    ) as error:
        why = f"{type(error).__name__}: {reason(error)}"
        raise InputError(f"{path}: cannot be read as a song's metadata: {why}") from error
    if not stems:
        raise InputError(f"{path}: no stem of this song was rendered")
    return _Song(path.parent, split, source, tuple(stems))


def _stem_entry(path: Path, name: str, entry: dict) -> _StemEntry:
    if not isinstance(name, str) or Path(name).name != name or len(name) > LONGEST_STEM_NAME:
        # Files are named after it, also those that are written.
        raise InputError(f"{path}: {shown(name)} is not the name of a stem, such as S00")
    program, is_drum = entry["program_num"], bool(entry["is_drum"]) or entry["program_num"] == DRUM_PROGRAM
    if not is_drum and program not in CLASS_PROGRAM:
        raise InputError(f"{path}: stem {name} has the program {shown(program)}, which none of Slakh's classes has")
    recording, midi = _audio(path.parent / "stems" / name), path.parent / "MIDI" / f"{name}.mid"
    stem = Stem(recording, midi, 0 if is_drum else CLASS_PROGRAM[program], is_drum)
    return _StemEntry(name, entry["inst_class"], stem)


def _audio(path: Path) -> Path:
    """Return the FLAC file of a name without suffix, or the WAV file where there is that alone, as in BabySlakh."""
    flac, wav = path.with_name(f"{path.name}.flac"), path.with_name(f"{path.name}.wav")
    return wav if os.path.isfile(wav) and not os.path.isfile(flac) else flac
