"""The datasets that can be imported: where each keeps its recordings and notes, its splits and its programs.

An importer takes (root, out): the dataset's folder and the folder of the manifest. Splits are the publisher's where
there are any, else those of MT3 (Gardner et al. 2022, "MT3: Multi-Task Multitrack Music Transcription", appendix), so
that scores can be compared with it. MusicNet's are MT3's, too: its publisher's ten test recordings leave no
validation split.
"""

import functools
import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mt3lite import audio, notes, reading
from mt3lite.errors import InputError, reason, some
from mt3lite.training import datasets, drum_datasets, importing, slakh
from mt3lite.training.datasets import Stem, Track
from mt3lite.training.importing import Candidate, Discovery, Imported, import_dataset, rows_to_notes, table_rows

GUITARSET_PROGRAM = 24  # MT3: the first guitar of General MIDI
GUITARSET_VALIDATION_PROGRESSION = "3"  # of the three progressions that each style is played over

MUSICNET_LABEL_RATE = 44100  # the labels count samples, whatever the file's rate
MUSICNET_VALIDATION = frozenset(
    "1733 1765 1790 1818 2160 2198 2289 2300 2308 2315 2336 2466 2477 2504 2611".split()
)  # fmt: skip
MUSICNET_TEST = frozenset("1729 1776 1813 1893 2118 2186 2296 2431 2432 2487 2497 2501 2507 2537 2621".split())

URMP_VALIDATION = frozenset("01 02 12 13 24 25 31 38 39".split())
URMP_PROGRAMS = {
    "vn": 40, "va": 41, "vc": 42, "db": 43, "tpt": 56, "tbn": 57, "tba": 58,
    "hn": 60, "sax": 64, "ob": 68, "bn": 70, "cl": 71, "fl": 73,
}  # fmt: skip
_URMP_NOTES = re.compile(r"Notes_(?P<number>\d+)_(?P<code>[a-z]+)_.+\.txt")

HELD_OUT_FRACTION = 0.2  # of a plain folder: half for validation, half for test
MIDI_SUFFIXES = (".mid", ".midi")


@dataclass(frozen=True)
class Importer:
    """What can be imported, and how."""

    find: Callable[[Path, Path], Discovery]
    title: str
    license: str  # of recordings and notes, as an SPDX identifier; "": the publisher names none


def maestro(root: Path, out: Path) -> Discovery:
    """MAESTRO, any version: ``maestro-v3.0.0.csv`` names the recordings, the MIDI files and the splits."""
    tables = sorted(root.glob("maestro-v*.csv"))
    if len(tables) != 1:
        raise InputError(f"{root}: this is not the dataset: one maestro-v*.csv is wanted, not {len(tables)}")
    columns = ("canonical_composer", "canonical_title", "split", "midi_filename", "audio_filename")
    candidates, faults = [], []
    for row in table_rows(tables[0], columns):
        name = row["midi_filename"].rpartition(".")[0]
        if row["split"] not in datasets.SPLITS:
            faults.append(f"{name}: the split {row['split']!r} is none of {', '.join(datasets.SPLITS)}")
            continue
        source = f"{row['canonical_composer']}: {row['canonical_title']}"
        track = Track(name, row["split"], root / row["audio_filename"], root / row["midi_filename"], source=source)
        candidates.append(Candidate(track))
    return Discovery(candidates, faults=faults)


def guitarset(root: Path, out: Path) -> Discovery:
    """GuitarSet: ``annotation/*.jams`` and the microphone's recordings, ``audio_mono-mic/*_mic.wav``."""
    recordings = {path.name.removesuffix("_mic.wav"): path for path in sorted(root.rglob("*_mic.wav"))}
    candidates, faults = [], []
    for path in sorted(root.rglob("*.jams")):
        style = re.fullmatch(r"\d\d_[A-Za-z]+(\d)-.+", path.stem)
        if not style:
            faults.append(f"{path}: a name such as 00_BN1-129-Eb_comp.jams is wanted")
            continue
        split = "validation" if style[1] == GUITARSET_VALIDATION_PROGRESSION else "train"
        recording = recordings.get(path.stem, root / "audio_mono-mic" / f"{path.stem}_mic.wav")
        midi = out / "midi" / f"{path.stem}.mid"
        read = functools.partial(_read_guitarset, path, midi)
        candidates.append(Candidate(Track(path.stem, split, recording, midi, source=path.stem), read))
    return importing.checked(root, Discovery(candidates, faults=faults), "no *.jams file in it")


def _read_guitarset(path: Path, midi: Path) -> dict[Path, np.ndarray]:
    """Read the notes of all six strings, each pitch rounded to the nearest semitone."""
    try:
        import jams
    except ImportError as error:
        raise InputError("reading GuitarSet's annotations needs jams: pip install 'mt3lite[data]'") from error
    try:
        # Its own validation takes four times as long and looks at the pitch contours, which are not needed.
        strings = jams.load(str(path), validate=False).search(namespace="note_midi")
        rows = [
            (note.time, note.time + note.duration, round(note.value), GUITARSET_PROGRAM)
            for string in strings
            for note in string.data
        ]
    except (
        *(OSError, ValueError, OverflowError, LookupError, TypeError, AttributeError, RecursionError),
        jams.JamsError,
    ) as error:
        raise InputError(f"{path}: cannot be read as JAMS: {type(error).__name__}: {reason(error)}") from error
    return {midi: rows_to_notes(rows, path)}


def musicnet(root: Path, out: Path) -> Discovery:
    """MusicNet: ``{train,test}_data/*.wav`` with ``{train,test}_labels/*.csv``."""
    candidates = []
    for path in sorted(root.rglob("*_labels/*.csv")):
        recording = path.parent.with_name(path.parent.name.replace("_labels", "_data")) / f"{path.stem}.wav"
        midi = out / "midi" / f"{path.stem}.mid"
        source = _musicnet_titles(path.parent.parent).get(path.stem, "")
        track = Track(path.stem, _musicnet_split(path.stem), recording, midi, source=source)
        candidates.append(Candidate(track, functools.partial(_read_musicnet, path, midi)))
    return importing.checked(root, Discovery(candidates), "no train_labels/*.csv in it")


def musicnet_em(root: Path, out: Path) -> Discovery:
    """MusicNetEM: MusicNet's recordings with the MIDI files of ``musicnet_em/`` beside them."""
    recordings = {path.stem: path for path in sorted(root.rglob("*_data/*.wav"))}
    found = {path.stem: path for path in sorted(root.rglob("*.mid")) if path.parent.name == "musicnet_em"}
    candidates = []
    for name, midi in found.items():
        recording = recordings.get(name, root / "train_data" / f"{name}.wav")
        source = _musicnet_titles(recording.parent.parent).get(name, "")
        candidates.append(Candidate(Track(name, _musicnet_split(name), recording, midi, source=source)))
    unlabelled = sorted(set(recordings) - set(found))
    remarks = [f"{len(unlabelled)} recordings have no MIDI file: {', '.join(unlabelled)}"] if unlabelled else []
    return importing.checked(root, Discovery(candidates, remarks), "no musicnet_em/*.mid in it")


def _musicnet_split(name: str) -> str:
    return "validation" if name in MUSICNET_VALIDATION else "test" if name in MUSICNET_TEST else "train"


@functools.cache
def _musicnet_titles(folder: Path) -> dict[str, str]:
    """Return "composer: composition, movement" of each recording, none where the table is missing."""
    path = folder / "musicnet_metadata.csv"
    if not path.is_file():
        return {}
    rows = table_rows(path, ("id", "composer", "composition", "movement"))
    return {row["id"]: f"{row['composer']}: {row['composition']}, {row['movement']}" for row in rows}


def _read_musicnet(path: Path, midi: Path) -> dict[Path, np.ndarray]:
    """Read a table of labels; its instruments are General MIDI programs counted from 1."""
    try:
        rows = [
            (
                int(row["start_time"]) / MUSICNET_LABEL_RATE,
                int(row["end_time"]) / MUSICNET_LABEL_RATE,
                int(row["note"]),
                int(row["instrument"]) - 1,
            )
            for row in table_rows(path, ("start_time", "end_time", "instrument", "note"))
        ]
    except InputError:
        raise
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{path}: a label is not a whole number: {reason(error)}") from error
    return {midi: rows_to_notes(rows, path)}


def urmp(root: Path, out: Path) -> Discovery:
    """URMP: ``01_Jupiter_vn_vc/`` with ``AuMix_*.wav``, and ``AuSep_*.wav`` and ``Notes_*.txt`` of each player."""
    candidates, faults = [], []
    for mix in sorted(root.rglob("AuMix_*.wav")):
        name, midi = mix.parent.name, out / "midi" / f"{mix.parent.name}.mid"
        players = [_URMP_NOTES.fullmatch(path.name) for path in sorted(mix.parent.glob("Notes_*.txt"))]
        codes = [player["code"] if player else "" for player in players]
        if not players or not set(codes) <= set(URMP_PROGRAMS):
            known = f"Notes_1_<code>_*.txt with a code among {', '.join(URMP_PROGRAMS)}"
            faults.append(f"{mix.parent}: {known} wanted for each player, not {', '.join(codes) or 'none'}")
            continue
        players.sort(key=lambda player: int(player["number"]))
        stems = tuple(
            Stem(
                mix.with_name(f"AuSep_{player[0].removeprefix('Notes_').removesuffix('.txt')}.wav"),
                midi.with_name(f"{name}-{player['number']}-{player['code']}.mid"),
                URMP_PROGRAMS[player["code"]],
            )
            for player in players
        )
        split = "validation" if name[:2] in URMP_VALIDATION else "train"
        track = Track(name, split, mix, midi, source=name, stems=stems)
        read = functools.partial(_read_urmp, [mix.with_name(player[0]) for player in players], track)
        candidates.append(Candidate(track, read))
    return importing.checked(root, Discovery(candidates, faults=faults), "no AuMix_*.wav in it")


def _read_urmp(paths: list[Path], track: Track) -> dict[Path, np.ndarray]:
    """Read the players' notes: lines of onset (s), frequency (Hz), duration (s)."""
    parts = {}
    for path, stem in zip(paths, track.stems, strict=True):
        try:
            rows = [
                [float(value) for value in line.split()]
                for line in reading.read_text(path).splitlines()
                if line.strip()
            ]
            parts[stem.midi] = rows_to_notes(
                [(row[0], row[0] + row[2], round(69 + 12 * math.log2(row[1] / 440)), stem.program) for row in rows],
                path,
            )
        except InputError:
            raise
        except (ValueError, IndexError, OverflowError) as error:
            raise InputError(f"{path}: lines of onset, frequency and duration are wanted: {reason(error)}") from error
    return {track.midi: notes.sort(np.concatenate([notes.empty(), *parts.values()])), **parts}


def folder(root: Path, out: Path, *, split: str | None = None) -> Discovery:
    """Any folder of recordings with MIDI files of the same name, in the same subfolder or another."""
    recordings, midis = {}, {}
    for path in sorted(root.rglob("*")):
        suffix = path.suffix.lower()
        if path.is_relative_to(out / importing.CONVERTED_FOLDER):
            continue  # made by an import before this one
        if suffix in audio.SUFFIXES or suffix in MIDI_SUFFIXES:
            group = midis if suffix in MIDI_SUFFIXES else recordings
            group.setdefault(path.stem, []).append(path)
    candidates, alone = [], []
    for stem, paths in recordings.items():
        for path in paths:
            partner = _partner(path, paths, midis.get(stem, []))
            name = path.relative_to(root).with_suffix("").as_posix()
            if partner:
                chosen = split or datasets.split_by_hash(stem, HELD_OUT_FRACTION)
                candidates.append(Candidate(Track(name, chosen, path, partner, source=path.name)))
            else:
                alone.append(path.name)
    used = {candidate.track.midi for candidate in candidates}
    lonely_midis = [path.name for paths in midis.values() for path in paths if path not in used]
    remarks = [
        f"left aside, as they have no {wanted} of the same name: {some(names)}"
        for wanted, names in (("MIDI file", alone), ("recording", lonely_midis))
        if names
    ]
    twice = [name for name, count in Counter(candidate.track.id for candidate in candidates).items() if count > 1]
    if twice:
        raise InputError(f"{root}: several recordings of one name in one folder: {some(twice)}; keep one of each")
    return importing.checked(root, Discovery(candidates, remarks), "no recording has a MIDI file of the same name")


def _partner(path: Path, recordings: list[Path], midis: list[Path]) -> Path | None:
    """Return the MIDI file of a recording: that beside it, or the only one of its name if it is the only recording."""
    beside = [midi for midi in midis if midi.parent == path.parent]
    if beside:
        return beside[0]
    return midis[0] if len(midis) == 1 and len(recordings) == 1 else None


def run(name: str, root: Path, out: Path | None = None, *, split: str | None = None, **options) -> Imported:
    """Import the dataset of a name.

    Args:
        name: of `IMPORTERS`.
        root: see `importing.import_dataset`, as all others.
        out: see there.
        split: of all tracks of a plain folder, instead of a share to each by a hash of its name.
        options: see there.

    Raises:
        InputError: see there.
    """
    importer = IMPORTERS[name]
    find = functools.partial(folder, split=split) if split else importer.find
    return import_dataset(find, root, out, license=importer.license, **options)


IMPORTERS = {
    "maestro": Importer(maestro, "MAESTRO, any version", "CC-BY-NC-SA-4.0"),
    "slakh2100": Importer(slakh.slakh2100, "Slakh2100", "CC-BY-4.0"),
    "cerberus4": Importer(slakh.cerberus4, "Cerberus4: quartets of Slakh2100's stems", "CC-BY-4.0"),
    "guitarset": Importer(guitarset, "GuitarSet", "CC-BY-4.0"),
    "musicnet": Importer(musicnet, "MusicNet", "CC-BY-4.0"),
    "musicnet-em": Importer(musicnet_em, "MusicNet with the labels of MusicNetEM", "CC-BY-NC-SA-4.0"),
    "urmp": Importer(urmp, "URMP", ""),
    "mdb-drums": Importer(drum_datasets.mdb_drums, "MDB Drums: its drums alone", "CC-BY-NC-SA-4.0"),
    "groove": Importer(drum_datasets.groove, "Groove MIDI Dataset, or its expanded one, E-GMD", "CC-BY-4.0"),
    "folder": Importer(folder, "recordings with MIDI files of the same name", ""),
}
