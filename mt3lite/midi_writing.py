"""A notes array to a MIDI file, by mido alone.

note-seq writes the same file (`notes.to_note_sequence` goes there for those who want its type), but importing it takes
longer than transcribing half a minute of music.
"""

import operator
import os

import mido
import numpy as np

from mt3lite import instruments, tempo_map
from mt3lite.tempo_map import TempoMap

DRUM_CHANNEL = 9  # counted from 0
PITCHED_CHANNELS = [channel for channel in range(16) if channel != DRUM_CHANNEL]


def write(notes: np.ndarray, path: str | os.PathLike, tempos: TempoMap = tempo_map.STEADY) -> None:
    """Write notes of `notes.NOTE_DTYPE` to a MIDI file of one track for each program and one for the drums.

    Programs are in order of their first note in the array. A note lasts a tick at least (2.3 ms at the steady tempo).
    """
    midi = mido.MidiFile(ticks_per_beat=tempos.ticks_per_quarter)
    midi.tracks.append(_timing(tempos))
    pitched = notes[~notes["is_drum"]]
    for number, program in enumerate(dict.fromkeys(pitched["program"].tolist())):
        channel = PITCHED_CHANNELS[number % len(PITCHED_CHANNELS)]
        mine = pitched[pitched["program"] == program]
        midi.tracks.append(_track(mine, tempos, instruments.name(program), channel, program))
    if notes["is_drum"].any():
        midi.tracks.append(_track(notes[notes["is_drum"]], tempos, "Drums", DRUM_CHANNEL, 0))
    midi.save(os.fspath(path))


def _timing(tempos: TempoMap) -> mido.MidiTrack:
    """Return the track of tempos and bars."""
    events = [
        (tick, mido.MetaMessage("set_tempo", tempo=microseconds))
        for tick, microseconds in zip(tempos.ticks.tolist(), tempos.microseconds.tolist(), strict=True)
    ]
    events += [
        (tick, mido.MetaMessage("time_signature", numerator=numerator, denominator=denominator))
        for tick, numerator, denominator in tempos.bars
    ]
    track, before = mido.MidiTrack(), 0
    for tick, message in sorted(events, key=operator.itemgetter(0)):
        track.append(message.copy(time=tick - before))
        before = tick
    return track


def _track(notes: np.ndarray, tempos: TempoMap, name: str, channel: int, program: int) -> mido.MidiTrack:
    """Return the track of one instrument."""
    track = mido.MidiTrack([mido.MetaMessage("track_name", name=name)])
    track.append(mido.Message("program_change", program=program, channel=channel))
    starts = tempos.ticks_at(notes["onset"])
    stops = np.maximum(tempos.ticks_at(notes["offset"]), starts + 1)
    # At one time what ends comes first, lest it end what starts there.
    events = [(stop, 0, pitch, 0) for stop, pitch in zip(stops.tolist(), notes["pitch"].tolist(), strict=True)]
    events += zip(starts.tolist(), [1] * len(notes), notes["pitch"].tolist(), notes["velocity"].tolist(), strict=True)
    before = 0
    for tick, _, pitch, velocity in sorted(events):
        # The end of a note as one of velocity 0, as note_seq writes it.
        track.append(mido.Message("note_on", note=pitch, velocity=velocity, channel=channel, time=tick - before))
        before = tick
    return track
