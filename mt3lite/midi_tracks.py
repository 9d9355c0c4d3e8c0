"""MIDI files whose tracks lean on each other, put in the form that note-seq reads rightly.

note-seq reads through pretty_midi, which takes tempo changes from the first track alone, and program changes and pedals
only for the notes of their own track. A player sees it otherwise: tempo belongs to the file, and what is said on a
channel concerns the channel's notes in every track. Files of format 1 may rely on that.
"""

import io
import os

import mido

_FOR_THE_FILE = ("set_tempo", "time_signature", "key_signature")
_SUSTAIN_PEDAL = 64
# What mido raises for files that are not MIDI or are cut off.
_PARSE_ERRORS = (OSError, EOFError, ValueError, LookupError, TypeError)

_Events = list[tuple[int, mido.messages.BaseMessage]]  # (tick from the start, message)


def standalone(path: str | os.PathLike) -> bytes | None:
    """Return a MIDI file in which each track says all that concerns its notes; None where `path` already does.

    * Tempo changes of later tracks go to the first.
    * A track whose notes' channel gets its program in other tracks only takes it from there.
    * So it does with the sustain pedal, from tracks that play the same program or have no notes on the channel.

    None is returned as well for what cannot be parsed: the reader will say so.
    """
    try:
        midi = mido.MidiFile(os.fspath(path))
    except _PARSE_ERRORS:
        return None
    tracks = [_absolute(track) for track in midi.tracks]
    changed = _gather_tempo(tracks)
    for index, borrowed in enumerate([_borrowed(tracks, index) for index in range(len(tracks))]):
        tracks[index] = _inserted(tracks[index], borrowed)
        changed |= bool(borrowed)
    if not changed:
        return None
    midi.tracks[:] = [_relative(events) for events in tracks]
    stream = io.BytesIO()
    midi.save(file=stream)
    return stream.getvalue()


def _absolute(track: mido.MidiTrack) -> _Events:
    tick, events = 0, []
    for message in track:
        tick += message.time
        events.append((tick, message))
    return events


def _relative(events: _Events) -> mido.MidiTrack:
    """Return a track of events in order of time; the mark of its end comes anew."""
    track, before = mido.MidiTrack(), 0
    for tick, message in events:
        if message.type != "end_of_track":
            track.append(message.copy(time=tick - before))
            before = tick
    return track


def _gather_tempo(tracks: list[_Events]) -> bool:
    """Move what concerns the whole file into the first track; tell whether there was any."""
    moved = []
    for index, events in enumerate(tracks[1:], start=1):
        moved += [event for event in events if event[1].type in _FOR_THE_FILE]
        tracks[index] = [event for event in events if event[1].type not in _FOR_THE_FILE]
    if moved:
        tracks[0] = sorted(tracks[0] + moved, key=lambda event: event[0])
    return bool(moved)


def _borrowed(tracks: list[_Events], index: int) -> _Events:
    """Return the program changes and pedals of other tracks that concern the notes of one."""
    borrowed = []
    for channel in sorted(_channels(tracks[index], "note_on")):
        others = [events for other, events in enumerate(tracks) if other != index]
        programs = _program_changes(tracks[index], channel)
        if not programs:
            programs = [event for events in others for event in _program_changes(events, channel)]
            borrowed += programs
        if _pedals(tracks[index], channel):
            continue
        played = {message.program for _, message in programs}
        for events in others:
            theirs = {message.program for _, message in _program_changes(events, channel)} or played
            if theirs == played or channel not in _channels(events, "note_on"):
                borrowed += _pedals(events, channel)
    return sorted(borrowed, key=lambda event: event[0])


def _inserted(events: _Events, borrowed: _Events) -> _Events:
    """Return events with borrowed ones, at equal ticks after the notes that end there and before all else.

    The reader gives a note the program that holds when it ends.
    """
    merged, waiting = [], list(borrowed)
    for event in events:
        ends_note = event[1].type == "note_off" or (event[1].type == "note_on" and event[1].velocity == 0)
        while waiting and (waiting[0][0] < event[0] or (waiting[0][0] == event[0] and not ends_note)):
            merged.append(waiting.pop(0))
        merged.append(event)
    return merged + waiting


def _channels(events: _Events, kind: str) -> set[int]:
    return {message.channel for _, message in events if message.type == kind}


def _program_changes(events: _Events, channel: int) -> _Events:
    return [event for event in events if event[1].type == "program_change" and event[1].channel == channel]


def _pedals(events: _Events, channel: int) -> _Events:
    """Return the sustain pedal's movements on a channel."""
    return [
        event
        for event in events
        if event[1].type == "control_change" and event[1].channel == channel and event[1].control == _SUSTAIN_PEDAL
    ]
