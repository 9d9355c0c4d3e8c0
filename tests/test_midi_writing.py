import note_seq
import numpy as np

from mt3lite import midi_writing, notes


def random_notes(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    count = 200
    array = np.zeros(count, notes.NOTE_DTYPE)
    array["onset"] = np.round(rng.uniform(0, 60, count), 2)
    array["offset"] = array["onset"] + rng.uniform(0.01, 2, count)
    array["pitch"] = rng.integers(0, 128, count)
    array["velocity"] = rng.integers(1, 128, count)
    array["is_drum"] = rng.random(count) < 0.2
    array["program"] = np.where(array["is_drum"], 0, rng.integers(0, 20, count))  # more than there are channels
    return notes.trim_overlaps(notes.sort(array))


def content(path) -> list[tuple]:
    sequence = note_seq.midi_file_to_note_sequence(str(path))
    rows = [
        (note.is_drum, note.program, note.pitch, note.velocity, note.start_time, note.end_time)
        for note in sequence.notes
    ]
    return [sequence.ticks_per_quarter, [tempo.qpm for tempo in sequence.tempos], sorted(rows)]


def test_note_seq_reads_what_note_seq_would_have_written(tmp_path):
    for seed in range(3):
        array = random_notes(seed)
        midi_writing.write(array, tmp_path / "ours.mid")
        note_seq.note_sequence_to_midi_file(notes.to_note_sequence(array), str(tmp_path / "theirs.mid"))
        ours, theirs = content(tmp_path / "ours.mid"), content(tmp_path / "theirs.mid")
        assert ours == theirs
        assert len(ours[2]) > 150


def test_the_shortest_note_is_one_tick(tmp_path):
    array = notes.from_rows([(1.0, 1.0001, 60, 100, 0, False), (1.0, 1.5, 60, 100, 3, False)])
    midi_writing.write(array, tmp_path / "short.mid")
    read = notes.read_midi(tmp_path / "short.mid")
    np.testing.assert_allclose(read["offset"] - read["onset"], [1 / 440, 0.5])
