"""A notes array to a MIDI file, by mido alone.

note-seq writes the same file (`notes.to_note_sequence` goes there for those who want its type), but importing it takes
longer than transcribing half a minute of music.
"""

import os

import mido
import numpy as np

from mt3lite import instruments

TICKS_PER_QUARTER = 220  # note_seq's standard resolution
QUARTERS_PER_MINUTE = 120  # and tempo
TICKS_PER_SECOND = TICKS_PER_QUARTER * QUARTERS_PER_MINUTE / 60
DRUM_CHANNEL = 9  # counted from 0
PITCHED_CHANNELS = [channel for channel in range(16) if channel != DRUM_CHANNEL]


def write(notes: np.ndarray, path: str | os.PathLike) -> None:
    """Write notes of `notes.NOTE_DTYPE` to a MIDI file of one track for each program and one for the drums.

    Programs are in order of their first note in the array. A note lasts a tick (2.3 ms) at least.
    """
    midi = mido.MidiFile(ticks_per_beat=TICKS_PER_QUARTER)
    timing = mido.MidiTrack()
    timing.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(QUARTERS_PER_MINUTE)))
    timing.append(mido.MetaMessage("time_signature", numerator=4, denominator=4))
    midi.tracks.append(timing)
    pitched = notes[~notes["is_drum"]]
    for number, program in enumerate(dict.fromkeys(pitched["program"].tolist())):
        channel = PITCHED_CHANNELS[number % len(PITCHED_CHANNELS)]
        mine = pitched[pitched["program"] == program]
        midi.tracks.append(_track(mine, instruments.name(program), channel, program))
    if notes["is_drum"].any():
        midi.tracks.append(_track(notes[notes["is_drum"]], "Drums", DRUM_CHANNEL, 0))
    midi.save(os.fspath(path))


def _track(notes: np.ndarray, name: str, channel: int, program: int) -> mido.MidiTrack:
    """Return the track of one instrument."""
    track = mido.MidiTrack([mido.MetaMessage("track_name", name=name)])
    track.append(mido.Message("program_change", program=program, channel=channel))
    starts = np.maximum(np.round(notes["onset"] * TICKS_PER_SECOND), 0).astype(int)
    stops = np.maximum(np.round(notes["offset"] * TICKS_PER_SECOND).astype(int), starts + 1)
    # At one time what ends comes first, lest it end what starts there.
    events = [(stop, 0, pitch, 0) for stop, pitch in zip(stops.tolist(), notes["pitch"].tolist(), strict=True)]
    events += zip(starts.tolist(), [1] * len(notes), notes["pitch"].tolist(), notes["velocity"].tolist(), strict=True)
    before = 0
    for tick, _, pitch, velocity in sorted(events):
        # The end of a note as one of velocity 0, as note_seq writes it.
        track.append(mido.Message("note_on", note=pitch, velocity=velocity, channel=channel, time=tick - before))
        before = tick
    return track
