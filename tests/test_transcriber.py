"""The whole line: with an oracle in the network's place the notes come back, and with random weights nothing breaks."""

import numpy as np
import pytest
import soundfile

import mt3lite
from mt3lite import codec, config, instruments, lanes, notes, transcriber, vocabulary, weights
from mt3lite.errors import InputError

SAMPLE_RATE = 16000


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * SAMPLE_RATE)).astype(np.float32)


@pytest.fixture(scope="module")
def tiny(tiny_folder):
    return transcriber.load(tiny_folder)


@pytest.fixture(scope="module")
def result(tiny):
    """Return what random weights make of 5 s of noise."""
    return tiny.transcribe(noise(5))


def with_oracle(name: str, piece: np.ndarray, num_frames: int, monkeypatch) -> transcriber.Transcriber:
    """Return a transcriber of a preset whose network says what the codec would have it say about a piece."""
    settings = config.preset(name)
    oracle = transcriber.Transcriber(weights.Model(settings, {}, "", "", None))
    targets = iter(
        codec.encode_piece(
            piece,
            num_frames,
            settings.segments.num_frames,
            frames_per_second=settings.spectrogram.frames_per_second,
            vocabulary=vocabulary.Vocabulary(settings.vocabulary),
            config=settings.codec,
        )
    )

    def decode(segments, crew, watch):
        for key, _ in segments:
            tokens = np.zeros(settings.segments.max_tokens, np.int32)
            target = next(targets)
            tokens[: len(target)] = target
            yield key, lanes.Decoded(tokens, None)

    monkeypatch.setattr(oracle, "_decode", decode)
    return oracle


@pytest.mark.parametrize("name", ["tiny", "mt3", "ismir2021"])
@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_an_oracle_gives_the_notes_back(name, batch_size, monkeypatch):
    piece = notes.from_rows(
        [
            (0.5, 9.2, 48, 127, 0, False),  # over several segments
            (0.5, 1.0, 60, 127, 0, False),
            (3.99, 4.01, 72, 127, 0, False),  # over a boundary
            (6.1, 7.0, 60, 127, 0, False),
        ]
    )
    samples = noise(9.5)
    settings = config.preset(name)
    num_frames = -(-len(samples) // settings.spectrogram.hop_samples)
    result = with_oracle(name, piece, num_frames, monkeypatch).transcribe(samples, batch_size=batch_size)
    # The ancestor floors the start of each segment to a step.
    np.testing.assert_allclose(result.notes["onset"], piece["onset"], atol=0.011 if name != "tiny" else 1e-9)
    np.testing.assert_allclose(result.notes["offset"], piece["offset"], atol=0.011 if name != "tiny" else 1e-9)
    np.testing.assert_array_equal(result.notes["pitch"], [48, 60, 72, 60])
    assert (result.invalid_events, result.dropped_events) == (0, 0)
    assert result.duration_seconds == 9.5


def test_what_sounds_at_the_end_ends_there(monkeypatch):
    piece = notes.from_rows([(0.5, 60.0, 60, 127, 0, False)])
    result = with_oracle("tiny", piece, 450, monkeypatch).transcribe(noise(4.5))
    np.testing.assert_allclose(result.notes["offset"], [4.5])


def test_the_result_says_what_was_done(result):
    assert result.notes.dtype == notes.NOTE_DTYPE
    notes.validate(result.notes)
    assert (np.diff(result.notes["onset"]) >= 0).all()
    assert (result.duration_seconds, result.num_segments, result.silent_segments) == (5.0, 3, 0)
    assert set(result.timings) == {"read", "spectrogram", "compile", "encode", "decode", "assemble"}
    assert all(seconds >= 0 for seconds in result.timings.values())


def test_the_note_sequence_holds_the_notes(result):
    np.testing.assert_array_equal(notes.from_note_sequence(result.note_sequence), result.notes)
    assert result.note_sequence is result.note_sequence


def test_the_batch_size_changes_nothing(tiny, result):
    other = tiny.transcribe(noise(5), batch_size=2)
    np.testing.assert_array_equal(other.notes, result.notes)


def test_a_program_is_compiled_once_for_all_recordings(tiny, result, monkeypatch):
    monkeypatch.setattr(lanes.Programs, "_lower", lambda *_: pytest.fail("compiled again"))
    assert tiny.transcribe(noise(1, seed=1)).num_segments == 1
    assert tiny.with_params(tiny.model.params).transcribe(noise(1, seed=1)).num_segments == 1


def test_a_file_gives_what_its_samples_give(tiny, tiny_folder, result, tmp_path):
    path = tmp_path / "noise.wav"
    soundfile.write(path, noise(5), SAMPLE_RATE, subtype="FLOAT")
    np.testing.assert_array_equal(tiny.transcribe(path).notes, result.notes)
    sequence = mt3lite.transcribe(path, model=tiny_folder)
    np.testing.assert_array_equal(notes.from_note_sequence(sequence), result.notes)


def test_progress_rises_to_the_end(tiny, tmp_path):
    for recording in (noise(9), tmp_path / "noise.wav"):
        if not isinstance(recording, np.ndarray):
            soundfile.write(recording, noise(9), SAMPLE_RATE)
        calls = []
        tiny.transcribe(recording, batch_size=2, progress=lambda *seconds, calls=calls: calls.append(seconds))
        assert calls == sorted(calls)
        assert calls[0][0] < calls[-1][0] == 9.0
        assert {expected for _, expected in calls} == {9.0}


def test_silence_is_not_shown_to_the_network(tiny, monkeypatch):
    shown, decode = [], tiny._decode

    def spy(segments, *arguments):
        return decode((shown.append(key[1]) or (key, frames) for key, frames in segments), *arguments)

    monkeypatch.setattr(tiny, "_decode", spy)
    result = tiny.transcribe(np.zeros(5 * SAMPLE_RATE, np.float32), batch_size=2)
    assert (len(result.notes), result.num_segments, result.silent_segments, shown) == (0, 3, 3, [])
    half = np.concatenate([np.zeros(5 * SAMPLE_RATE, np.float32), noise(4)])
    result = tiny.transcribe(half, batch_size=2)
    assert (result.num_segments, result.silent_segments, shown) == (5, 2, [2, 3, 4])
    assert (result.notes["onset"] >= 4.0).all()


def test_many_recordings_are_what_each_is_alone(tiny, result, tmp_path):
    recordings = [noise(5), np.zeros(SAMPLE_RATE, np.float32), tmp_path / "missing.wav", noise(3, seed=1), noise(5)]
    done = []
    results = list(tiny.transcribe_all(recordings, batch_size=2, jobs=2, progress=done.append))
    assert "missing.wav" in str(results[2])
    assert isinstance(results[2], InputError)
    np.testing.assert_array_equal(results[0].notes, result.notes)
    np.testing.assert_array_equal(results[4].notes, result.notes)
    np.testing.assert_array_equal(results[3].notes, tiny.transcribe(recordings[3], batch_size=2).notes)
    assert (len(results[1].notes), results[1].silent_segments) == (0, 1)
    assert done == sorted(done)
    assert done[-1] == 14.0


def test_only_the_instruments_asked_for(tiny):
    found = tiny.transcribe(noise(3), only=instruments.parse("guitar, violin"), batch_size=2).notes
    assert len(found)
    assert set(found["program"].tolist()) <= {24, 40}  # the model tells families apart, not their programs
    assert not found["is_drum"].any()


def test_every_note_is_one_of_a_complete_ensemble(tiny):
    chosen = instruments.parse("cello, drums", complete=True)
    found = tiny.transcribe(noise(3), only=chosen, batch_size=2).notes
    assert set(found["program"][~found["is_drum"]].tolist()) == {42}
    assert not found["program"][found["is_drum"]].any()


def test_one_sample_is_a_recording(tiny):
    result = tiny.transcribe(noise(1 / SAMPLE_RATE), batch_size=2)
    assert (result.num_segments, result.duration_seconds) == (1, 1 / SAMPLE_RATE)


@pytest.mark.parametrize(
    "samples, message",
    [
        (np.zeros(0, np.float32), "samples: there are none"),
        (np.zeros(100), r"samples: float64 \[100\]; wanted float32 \[num_samples\]"),
        (np.zeros((2, 100), np.float32), r"samples: float32 \[2, 100\]; wanted"),
        (np.array([0, np.nan], np.float32), "samples: some are not finite"),
    ],
)
def test_bad_samples_are_refused(tiny, samples, message):
    with pytest.raises(InputError, match=message):
        tiny.transcribe(samples)


def test_bad_arguments_are_refused(tiny, tmp_path):
    with pytest.raises(InputError, match="batch size 0: a batch holds at least one segment"):
        tiny.transcribe(noise(1), batch_size=0)
    with pytest.raises(InputError, match=r"missing.wav: "):
        tiny.transcribe(tmp_path / "missing.wav")
    with pytest.raises(InputError, match="no such model"):
        mt3lite.load("no-such-model")
