"""MIDI files whose tracks lean on each other, put in the form that note-seq reads rightly.

note-seq reads through pretty_midi, which takes tempo changes from the first track alone, and program changes and pedals
only for the notes of their own track. A player sees it otherwise: tempo belongs to the file, and what is said on a
channel concerns the channel's notes in every track. Files of format 1 may rely on that.
"""

import collections
import io
import os
import struct
from dataclasses import dataclass, field

import mido
from mido.midifiles.meta import KeySignatureError

from mt3lite import reading
from mt3lite.errors import InputError, reason

MOST_TRACKS = 1024  # a file of more is damaged, and looking at each beside each other would take hours
LAST_TICK = 50_000_000  # pretty_midi keeps a table of all ticks, 23 bytes each; the finest files have 65534 a second
MOST_BORROWED = 1_000_000  # events that tracks take from others; a small file could ask for as many as it likes

_FOR_THE_FILE = ("set_tempo", "time_signature", "key_signature")
_SUSTAIN_PEDAL = 64
# What mido raises for files that are not MIDI or are cut off.
_PARSE_ERRORS = (OSError, EOFError, ValueError, LookupError, TypeError, KeySignatureError, struct.error)

_Events = list[tuple[int, mido.messages.BaseMessage]]  # (tick from the start, message)


@dataclass
class _Said:
    """What a track says on a channel."""

    has_notes: bool = False
    programs: _Events = field(default_factory=list)
    pedals: _Events = field(default_factory=list)

    @property
    def played(self) -> set[int]:
        """The programs that it chooses."""
        return {message.program for _, message in self.programs}


def read(path: str | os.PathLike) -> bytes:
    """Return a MIDI file as it is, after a look whether it can be read without harm; raises as `standalone`."""
    return _open(path)[0]


def standalone(path: str | os.PathLike) -> bytes:
    """Return a MIDI file in which each track says all that concerns its notes; as it is where it already does.

    * Tempo changes of later tracks go to the first.
    * A track whose notes' channel gets its program in other tracks only takes it from there.
    * So it does with the sustain pedal, from tracks that play the same program or have no notes on the channel.

    Raises:
        InputError: there is no such file, it is not MIDI, or so large that reading it would take all memory.
    """
    content, midi, tracks = _open(path)
    changed = _gather_tempo(tracks)
    said = [_said(events) for events in tracks]
    speakers = _speakers(said)
    borrowed, room = [], MOST_BORROWED
    for index in range(len(tracks)):
        borrowed.append(_borrowed(said, speakers, index))
        room -= len(borrowed[-1])
        if room < 0:
            raise InputError(f"{path}: not a readable MIDI file (its tracks share more than {MOST_BORROWED} events)")
    if not changed and not any(borrowed):
        return content
    midi.tracks[:] = [_relative(_inserted(*pair)) for pair in zip(tracks, borrowed, strict=True)]
    stream = io.BytesIO()
    midi.save(file=stream)
    return stream.getvalue()


def _open(path: str | os.PathLike) -> tuple[bytes, mido.MidiFile, list[_Events]]:
    """Return the bytes of a MIDI file and what is in it.

    Raises:
        InputError: see `standalone`.
    """
    content = reading.read_bytes(path, reading.MOST_MIDI_BYTES)
    try:
        midi = mido.MidiFile(file=io.BytesIO(content))  # of a file it would read as much at once as the header tells
    except _PARSE_ERRORS as error:
        why = "it is cut short" if isinstance(error, EOFError) else reason(error)
        raise InputError(f"{path}: not a readable MIDI file ({why})") from error
    if len(midi.tracks) > MOST_TRACKS:
        raise InputError(f"{path}: not a readable MIDI file ({len(midi.tracks)} tracks; {MOST_TRACKS} are most)")
    tracks = [_absolute(track) for track in midi.tracks]
    last = max((events[-1][0] for events in tracks if events), default=0)
    if last > LAST_TICK:
        raise InputError(f"{path}: not a readable MIDI file (its last tick is {reason(str(last))}, so it is damaged)")
    return content, midi, tracks


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
        # Messages of the moment (clocks) belong on a wire: mido reads them from files, and does not write them.
        if message.type != "end_of_track" and not message.is_realtime:
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


def _said(events: _Events) -> dict[int, _Said]:
    """Return what a track says, by channel."""
    said: dict[int, _Said] = collections.defaultdict(_Said)
    for event in events:
        message = event[1]
        if message.type == "note_on":
            said[message.channel].has_notes = True
        elif message.type == "program_change":
            said[message.channel].programs.append(event)
        elif message.type == "control_change" and message.control == _SUSTAIN_PEDAL:
            said[message.channel].pedals.append(event)
    return dict(said)


def _speakers(said: list[dict[int, _Said]]) -> dict[int, list[int]]:
    """Return the tracks with programs or pedals on a channel, by channel."""
    speakers: dict[int, list[int]] = collections.defaultdict(list)
    for index, channels in enumerate(said):
        for channel, mine in channels.items():
            if mine.programs or mine.pedals:
                speakers[channel].append(index)
    return speakers


def _borrowed(said: list[dict[int, _Said]], speakers: dict[int, list[int]], index: int) -> _Events:
    """Return the program changes and pedals of other tracks that concern the notes of one."""
    borrowed = []
    for channel, mine in sorted(said[index].items(), key=lambda item: item[0]):
        if not mine.has_notes:
            continue
        others = [said[other][channel] for other in speakers.get(channel, ()) if other != index]
        played = mine.played
        if not mine.programs:
            programs = [event for other in others for event in other.programs]
            played = {message.program for _, message in programs}
            borrowed += programs
        if mine.pedals:
            continue
        for other in others:
            if other.pedals and ((other.played or played) == played or not other.has_notes):
                borrowed += other.pedals
        if len(borrowed) > MOST_BORROWED:
            break  # the caller refuses the file
    return sorted(borrowed, key=lambda event: event[0])


def _inserted(events: _Events, borrowed: _Events) -> _Events:
    """Return events with borrowed ones, at equal ticks after the notes that end there and before all else.

    The reader gives a note the program that holds when it ends.
    """
    merged, waiting = [], collections.deque(borrowed)
    for event in events:
        ends_note = event[1].type == "note_off" or (event[1].type == "note_on" and event[1].velocity == 0)
        while waiting and (waiting[0][0] < event[0] or (waiting[0][0] == event[0] and not ends_note)):
            merged.append(waiting.popleft())
        merged.append(event)
    return merged + list(waiting)
