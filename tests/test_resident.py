"""Music on the device: the same crops as from files, and examples that are what their notes say."""

import dataclasses

import jax
import numpy as np
import pytest
import soundfile
import tones

from mt3lite import cli, config, notes, segments, weights
from mt3lite.errors import InputError
from mt3lite.training import examples, losses, resident, settings, trainer

pytestmark = pytest.mark.usefixtures("compiled_once")
TINY = config.preset("tiny")
RATE = TINY.spectrogram.sample_rate
STILL = examples.AugmentConfig(
    mix_chance=0, shift_chance=0, reverb_chance=0, low_pass_chance=0, equaliser_chance=0, noise_chance=0
)


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    return tones.two_tracks(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def one_place(tmp_path, tracks):
    """A track as long as a segment, so that there is one place to cut it: at its beginning."""
    samples, _ = soundfile.read(tracks[0].audio, dtype="int16")
    soundfile.write(tmp_path / "short.wav", samples[: TINY.segments.num_frames * TINY.spectrogram.hop_samples], RATE)
    return dataclasses.replace(tracks[0], audio=tmp_path / "short.wav", duration_seconds=2.0)


def rows(table):
    """Return the notes of a table, sorted."""
    return sorted(row for row in np.asarray(table).tolist() if row[losses.ONSET] != losses.UNUSED)


@pytest.mark.parametrize("augmentation", [None, dataclasses.replace(STILL, level_db=(0.0, 0.0))])
def test_a_crop_is_that_of_the_file(one_place, augmentation):
    batch = next(resident.Batches([one_place], TINY, augmentation, batch_size=2, seed=0))
    samples, played = examples.crop(one_place, TINY, np.random.default_rng(0))
    if augmentation:
        samples = samples / np.abs(samples).max()
    assert np.abs(samples).max() > 0.1
    for row, table in zip(batch.samples, batch.notes, strict=True):
        np.testing.assert_allclose(row, samples, atol=2e-4)
        assert rows(table) == rows(examples.note_table(played, TINY)) != []


def test_crops_are_from_all_over_a_track(tracks):
    """Wherever a crop begins, its notes are where the sound rises."""
    batch = next(resident.Batches(tracks[:1], TINY, None, batch_size=64, seed=1))
    assert len({samples.tobytes() for samples in np.asarray(batch.samples)}) > 50
    before = -segments.sample_span(0, TINY.spectrogram, TINY.segments)[0]
    hop = TINY.network.frames_per_position * TINY.spectrogram.hop_samples
    start = TINY.segments.context_frames / TINY.network.frames_per_position
    compared = 0
    for samples, table in zip(np.asarray(batch.samples), batch.notes, strict=True):
        for row in rows(table):
            at = before + round((row[losses.ONSET] - start) * hop)
            if row[losses.IS_DRUM] or at < 1000 or at + 2000 > len(samples):
                continue
            frequency_hz = 440 * 2 ** ((row[losses.PITCH] - 69) / 12)
            wave = np.exp(-2j * np.pi * frequency_hz / RATE * np.arange(700))
            after, earlier = (abs(samples[at + shift :][:700] @ wave) for shift in (600, -900))
            assert after > 3 * earlier
            compared += 1
    assert compared > 50


def test_pitches_follow_the_speed(tracks):
    faster = dataclasses.replace(STILL, shift_chance=1.0, detune_semitones=0.0)
    batch = next(resident.Batches(tracks[1:], TINY, faster, batch_size=32, seed=2))
    pitches = set()
    for samples, table in zip(np.asarray(batch.samples), batch.notes, strict=True):
        (row,) = rows(table)
        pitches.add(row[losses.PITCH])
        heard = np.fft.rfftfreq(1 << 18, 1 / RATE)[np.abs(np.fft.rfft(samples, 1 << 18)).argmax()]
        assert heard == pytest.approx(440 * 2 ** ((row[losses.PITCH] - 69) / 12), rel=0.01)
    assert pitches == set(range(45, 52))


def test_tracks_are_mixed_with_all_their_notes(tracks):
    mixing = dataclasses.replace(STILL, mix_chance=1.0, mix_gain_db=(0.0, 0.0))
    batch = next(resident.Batches(tracks, TINY, mixing, batch_size=32, seed=3))
    families = [{row[losses.FAMILY] for row in rows(table) if not row[losses.IS_DRUM]} for table in batch.notes]
    assert {0, 4} in families and batch.notes.shape[1] == 2 * examples.MAX_NOTES


def test_what_was_drawn_last_time_is_drawn_again(tracks):
    def batches():
        return resident.Batches(tracks, TINY, examples.AugmentConfig(), batch_size=2, seed=4)

    first = batches()
    next(first)
    state = first.get_state()
    wanted = next(first)
    other = batches()
    other.set_state(state)
    again = next(other)
    np.testing.assert_array_equal(again.samples, wanted.samples)
    np.testing.assert_array_equal(again.notes, wanted.notes)
    assert np.abs(wanted.samples - batches().__next__().samples).max() > 0.01
    with pytest.raises(InputError, match="the state is of a loader with"):
        resident.Batches(tracks, TINY, None, batch_size=3, seed=4).set_state(state)


def test_much_music_lies_in_blocks(tracks, monkeypatch):
    (whole,) = resident.load(tracks, TINY, None)
    monkeypatch.setattr(resident, "MOST_VALUES", whole.samples.size - 1)
    blocks = resident.load(tracks, TINY, None, jobs=1)
    assert [block.samples.shape for block in blocks] == [(1, whole.samples.shape[1])] * 2
    for number, block in enumerate(blocks):
        for part, all_of_it in zip(jax.tree.leaves(block), jax.tree.leaves(whole), strict=True):
            np.testing.assert_array_equal(part[0], all_of_it[number])


def test_another_sample_rate_is_refused(tmp_path, tracks):
    soundfile.write(tmp_path / "other.wav", np.zeros(44100, np.float32), 44100)
    other = dataclasses.replace(tracks[0], audio=tmp_path / "other.wav")
    with pytest.raises(InputError, match=r"other\.wav: has 44100 Hz; .* the 16000 Hz of the model"):
        resident.load([other], TINY, None)


@pytest.mark.parametrize("otherwise", [{}, {"freeze_encoder": True}, {"listening_fraction": 0.9}])
def test_the_encoder_alone_can_learn_so(otherwise):
    with pytest.raises(InputError, match="resident: .* set listening_fraction to 1 and reading_fraction to 0"):
        settings.TrainConfig(**{"listening_fraction": 0.5, "reading_fraction": 0.0} | otherwise, resident=True)
    alone = settings.TrainConfig(listening_fraction=1.0, reading_fraction=0.0, resident=True)
    assert alone.for_update() == dataclasses.replace(alone, resident=False).for_update()  # no other program


def test_the_music_lies_on_one_device(tracks, monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 2)
    alone = settings.TrainConfig(listening_fraction=1.0, reading_fraction=0.0, resident=True)
    with pytest.raises(InputError, match="resident: the music can lie on one device, and there are 2"):
        trainer.share_of_batches(tracks, TINY, alone, None)


@pytest.fixture
def dataset(tmp_path, tracks):
    """The tracks as a folder for the command."""
    arguments = ["data", "import", "folder", str(tracks[0].audio.parent), "--out", str(tmp_path / "data")]
    assert cli.main([*arguments, "--split", "train"]) == 0
    return tmp_path / "data"


def test_the_command_tells_what_such_a_run_costs(dataset, capsys):
    recipe = ["--data", str(dataset), "--preset", "tiny", "--batch-size", "2", "--resident", "--dry-run"]
    capsys.readouterr()
    assert cli.main(["train", *recipe, "--listening", "1", "--reading", "0"]) == 0
    told = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines() if "  " in line)
    assert told["targets"].strip() == "notes alone, made on the device"
    assert told["time an update"].endswith("100 % of the run, the encoder alone")
    assert float(told["time a batch"].split()[0]) > 0
    assert cli.main(["train", *recipe]) == 1
    assert "(--listening 1 --reading 0)" in capsys.readouterr().err


def test_a_run_by_the_command_leaves_a_model(dataset, tmp_path, capsys):
    recipe = ["--data", str(dataset), "--preset", "tiny", "--batch-size", "2", "--resident", "--steps", "2"]
    recipe += ["--listening", "1", "--reading", "0", "--log-every", "1"]
    assert cli.main(["train", *recipe, "--workdir", str(tmp_path / "run")]) == 0
    assert weights.load(tmp_path / "run" / "model").config.network == TINY.network
    assert len((tmp_path / "run" / "curve.csv").read_text().splitlines()) == 3


def test_a_run_goes_on_where_it_was(tmp_path, tracks):
    def fit(folder, steps):
        train = settings.TrainConfig(
            num_steps=steps, batch_size=2, resident=True, listening_fraction=1, reading_fraction=0, schedule="constant"
        )
        lines = []
        params = trainer.fit(
            tmp_path / folder, tracks, TINY, train, augmentation=examples.AugmentConfig(), report=lines.append
        )
        return params, lines

    whole, _ = fit("whole", 4)
    fit("parts", 2)
    (tmp_path / "parts" / "train.json").unlink()  # the number of steps is in it
    parts, lines = fit("parts", 4)
    assert lines[0] == "going on from step 2"
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        np.testing.assert_array_equal(one, other)


def test_note_tables_of_silence(tmp_path):
    """A track may have a single note, far from where it is cut."""
    track = tones.tone_track(tmp_path, "far", [(0.0, 0.2, 60, 80, 0, False), (30.0, 30.2, 60, 80, 0, False)])
    batch = next(resident.Batches([track], TINY, None, batch_size=16, seed=5))
    assert min(len(rows(table)) for table in batch.notes) == 0
    assert notes.read_midi(track.midi).size == 2


def test_a_damaged_recording_is_told_by_its_name(tmp_path, tracks):
    whole = tracks[1].audio.read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) // 2] + bytes(len(whole) // 4))
    with pytest.raises(InputError, match=r"cut\.flac: "):
        resident.load([dataclasses.replace(tracks[1], audio=tmp_path / "cut.flac")], TINY, None)


def test_families_are_as_fine_as_the_model_tells_them_apart(tracks):
    flat = dataclasses.replace(TINY, codec=dataclasses.replace(TINY.codec, granularity="flat"))
    (block,) = resident.load(tracks, flat, None)
    assert np.asarray(resident.load(tracks, TINY, None)[0].notes)[..., 1].max() == 4
    assert np.asarray(block.notes)[..., 1].max() == 0
