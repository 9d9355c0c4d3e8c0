"""Examples, batches and the trainer, on a corpus of sine tones that the tests make themselves."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import soundfile
import soxr

from mt3lite import cli, codec, config, notes, segments, vocabulary
from mt3lite.errors import InputError
from mt3lite.training import datasets, examples, loader, losses, trainer

TINY = config.preset("tiny")
RATE = TINY.spectrogram.sample_rate
QUICK = trainer.TrainConfig(num_steps=6, batch_size=2, log_every=2, warmup_steps=2)


def _tone_track(folder, name: str, rows: list[tuple]) -> datasets.Track:
    """Write a recording of decaying sines and its MIDI."""
    played = notes.from_rows(rows)
    samples = np.zeros(int((played["offset"].max() + 0.5) * RATE), np.float32)
    for note in played:
        first, last = int(note["onset"] * RATE), int(note["offset"] * RATE)
        seconds = np.arange(last - first) / RATE
        wave = np.sin(2 * np.pi * 440 * 2 ** ((note["pitch"] - 69) / 12) * seconds) * np.exp(-2 * seconds)
        samples[first:last] += 0.3 * wave.astype(np.float32)
    soundfile.write(folder / f"{name}.wav", samples, RATE)
    notes.write_midi(played, folder / f"{name}.mid")
    return datasets.Track(
        id=name,
        split="train",
        audio=folder / f"{name}.wav",
        midi=folder / f"{name}.mid",
        duration_seconds=len(samples) / RATE,
    )


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    """Two tracks: one of piano notes and a drum, one with a note held for seconds."""
    folder = tmp_path_factory.mktemp("corpus")
    first = [(0.5 * i, 0.5 * i + 0.4, 60 + i, 80, 0, False) for i in range(12)] + [(1.0, 1.05, 38, 90, 0, True)]
    return [_tone_track(folder, "a", first), _tone_track(folder, "b", [(0.1, 5.0, 48, 64, 32, False)])]


def test_read_span_is_zero_outside_the_file(tracks):
    """Samples before the start and after the end are zeros, the others the file's."""
    whole, _ = soundfile.read(tracks[0].audio, dtype="float32")
    span = examples.read_span(tracks[0].audio, -100, len(whole) + 50, RATE)
    assert not span[:100].any() and not span[-50:].any()
    np.testing.assert_array_equal(span[100:-50], whole)


@pytest.mark.parametrize("file_rate", [44100, 48000, 8000])
def test_read_span_of_another_rate_is_the_conversion_of_the_whole(tmp_path, file_rate):
    noise = np.random.default_rng(0).normal(0, 0.1, (3 * file_rate, 2)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", noise, file_rate, subtype="FLOAT")
    whole = soxr.resample(noise.mean(axis=1), file_rate, RATE, quality="HQ")
    for start, stop in ((100, 20_000), (7_001, 7_002), (16_000, 47_900)):
        span = examples.read_span(tmp_path / "a.wav", start, stop, RATE)
        assert span.dtype == np.float32
        np.testing.assert_allclose(span, whole[start:stop], atol=1e-6)
    outside = examples.read_span(tmp_path / "a.wav", -3_000, 0, RATE)
    assert outside.shape == (3_000,) and np.abs(outside[:-500]).max() < 1e-4


def test_a_crop_of_a_track_of_stems_is_their_sum(tracks, tmp_path):
    half = tmp_path / "half.wav"
    soundfile.write(half, 0.5 * soundfile.read(tracks[0].audio)[0], RATE, subtype="FLOAT")
    stems = (datasets.Stem(tracks[0].audio), datasets.Stem(half))
    summed = dataclasses.replace(tracks[0], audio=None, stems=stems)
    settings = config.preset("tiny")
    samples, played = examples.crop(tracks[0], settings, np.random.default_rng(5))
    both, same = examples.crop(summed, settings, np.random.default_rng(5))
    assert np.abs(samples).max() > 0.01
    np.testing.assert_allclose(both, 1.5 * samples, atol=1e-4)
    assert (same == played).all()


def test_an_example_tells_its_notes(tracks):
    """Without augmentation the tokens decode to the notes of the crop, rounded to steps."""
    rng = np.random.default_rng(5)
    for _ in range(20):
        example = examples.make(tracks, TINY, None, rng)
        start, stop = segments.sample_span(0, TINY.spectrogram, TINY.segments)
        assert example.samples.shape == (stop - start,) and example.samples.dtype == np.float32
        words = vocabulary.Vocabulary(TINY.vocabulary)
        decoder = codec.SegmentDecoder(words, TINY.codec)
        decoder.decode(example.tokens, start_step=0, end_step=TINY.segment_steps)
        new = decoder.finish()
        inside = example.notes[:, losses.ONSET] > examples.UNUSED
        assert (new["onset"] >= 0).all()
        assert set(new["pitch"]) <= set(example.notes[inside, losses.PITCH])


def test_note_table_counts_in_positions():
    """A note 0.3 s after the segment's start lies 14 + 30 frames into the input, 3 frames a position."""
    table = examples.note_table(notes.from_rows([(0.3, 0.6, 60, 80, 40, False)]), TINY)
    assert table[0].tolist() == [(14 + 30) // 3, (14 + 60) // 3, 60, 5, 0]
    assert (table[1:, losses.ONSET] == examples.UNUSED).all()


def test_too_long_a_target_is_dropped_and_counted(tracks):
    """A limit of 8 tokens leaves the sparse crops."""
    short = dataclasses.replace(TINY, segments=dataclasses.replace(TINY.segments, max_tokens=9))
    pool = loader.make_pool(tracks, short, None, batch_size=2, seed=0, pool=0)
    assert all((batch.tokens != 0).sum(axis=1).max() <= 9 for batch in pool)
    assert pool[0].dropped > 0


def test_batches_are_the_same_from_any_step(tracks):
    """Going on from step 11 gives what the twelfth batch was."""
    augmentation = examples.AugmentConfig()

    def take(start, number):
        source = loader.batches(tracks, TINY, augmentation, batch_size=2, seed=3, start_step=start)
        taken = [next(source) for _ in range(number)]
        source.close()
        return taken

    later, whole = take(11, 1)[0], take(0, 12)[11]
    np.testing.assert_array_equal(later.samples, whole.samples)
    np.testing.assert_array_equal(later.tokens, whole.tokens)


def test_augmentation_keeps_silence_quiet():
    """A crop without sound stays one."""
    rng = np.random.default_rng(0)
    for _ in range(10):
        changed = examples.augment(np.zeros(4000, np.float32), RATE, examples.AugmentConfig(), rng)
        assert np.abs(changed).max() < 1e-2


def test_learning_rate_warms_up_and_comes_down():
    """By hand at the start, the top and the end."""
    settings = trainer.TrainConfig(learning_rate=1.0, warmup_steps=10, final_fraction=0.1)
    assert trainer.learning_rate(settings, 0, 0.0) == pytest.approx(0.1)
    assert trainer.learning_rate(settings, 9, 0.0) == pytest.approx(1.0)
    assert trainer.learning_rate(settings, 500, 0.5) == pytest.approx(0.55)
    assert trainer.learning_rate(settings, 1000, 1.0) == pytest.approx(0.1)


def test_training_goes_on_where_it_stopped(tracks, tmp_path):
    """Six steps in a row, and three then three from the checkpoint, end in the same parameters and the same curve."""
    whole = trainer.fit(tmp_path / "whole", tracks, TINY, QUICK, report=lambda line: None)

    class Interrupted(Exception):
        pass

    def stop(line: str) -> None:
        if line.startswith("step 4"):
            raise Interrupted

    every_step = dataclasses.replace(QUICK, checkpoint_minutes=0.0)
    with pytest.raises(Interrupted):
        trainer.fit(tmp_path / "parts", tracks, TINY, every_step, report=stop)
    lines = []
    parts = trainer.fit(tmp_path / "parts", tracks, TINY, every_step, report=lines.append)
    assert lines[0].startswith("going on from step")
    jax.tree.map(np.testing.assert_array_equal, whole, parts)


def test_a_run_refuses_other_settings(tracks, tmp_path):
    """The folder remembers how it was begun."""
    short = dataclasses.replace(QUICK, num_steps=1)
    trainer.fit(tmp_path, tracks, TINY, short, report=lambda line: None)
    with pytest.raises(InputError, match="begun with other settings"):
        trainer.fit(tmp_path, tracks, TINY, dataclasses.replace(short, seed=1), report=lambda line: None)


def test_a_loss_that_is_no_number_stops_the_run(tracks, tmp_path):
    """The steps are named."""
    wild = dataclasses.replace(QUICK, learning_rate=1e30, warmup_steps=1, max_gradient_norm=1e30)
    with pytest.raises(InputError, match="loss is .* within steps"):
        trainer.fit(tmp_path, tracks, TINY, wild, report=lambda line: None)


def test_the_phases_of_a_run():
    """By hand: a fifth listening, three tenths reading, the rest both."""
    settings = trainer.TrainConfig(listening_fraction=0.2, reading_fraction=0.3)
    phases = [trainer.phase_of(settings, progress) for progress in (0.0, 0.19, 0.2, 0.49, 0.5, 1.0)]
    assert phases == ["encoder", "encoder", "decoder", "decoder", "both", "both"]


def test_reading_leaves_the_encoder_as_it_is(tracks, tmp_path):
    """The decoder's parameters change, the encoder's do not but for weight decay, which is off here."""
    reading = dataclasses.replace(QUICK, num_steps=2, listening_fraction=0.0, reading_fraction=1.0, weight_decay=0.0)
    before = trainer.initial_state(TINY, reading).params["network"]
    after = trainer.fit(tmp_path, tracks, TINY, reading, report=lambda line: None)
    jax.tree.map(np.testing.assert_array_equal, before["encoder"], after["encoder"])
    assert not np.array_equal(before["decoder"]["logits_dense"]["kernel"], after["decoder"]["logits_dense"]["kernel"])


def test_from_a_folder_to_a_scored_model_by_commands(tracks, tmp_path, capsys, monkeypatch):
    """Train on a dataset folder, go on from the model, and evaluate it on the same folder."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))
    datasets.write_manifest(tracks, tmp_path / datasets.MANIFEST_NAME)
    common = ["--data", str(tmp_path), "--steps", "2", "--batch-size", "2"]
    assert cli.main(["train", *common, "--workdir", str(tmp_path / "run"), "--preset", "tiny"]) == 0
    model = str(tmp_path / "run" / "model")
    assert cli.main(["train", *common, "--workdir", str(tmp_path / "more"), "--init-from", model]) == 0
    scores = tmp_path / "scores.json"
    assert cli.main(["evaluate", str(tmp_path), "--split", "train", "--model", model, "--json", str(scores)]) == 0
    assert "2 tracks, pooled" in capsys.readouterr().out
    written = json.loads(scores.read_text())
    assert written["model"] == "tiny" and written["Onset F1 by track"].keys() == {"a", "b"}
    assert len(written["scores (value, low, high)"]["Onset F1"]) == 3
    assert cli.main(["evaluate", str(tmp_path), "--split", "test", "--model", model]) == 1
    assert "no track of the split 'test'" in capsys.readouterr().err
