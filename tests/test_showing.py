"""One training example, seen and heard: what is shown is what the tokens say."""

import dataclasses

import numpy as np
import pytest
import soundfile

from mt3lite import cli, codec, config, notes, spectrogram
from mt3lite.training import datasets, examples, showing
from mt3lite.vocabulary import Vocabulary

RATE = 16000
ROWS = [
    (-1.0, 0.5, 60, 99, 0, False),  # sounds on from before
    (-0.5, 3.0, 64, 99, 0, False),  # sounds on beyond both ends
    (0.25, 1.0, 67, 99, 40, False),
    (1.5, 2.5, 72, 99, 40, False),  # sounds on beyond the end
    (0.75, 0.8, 38, 99, 0, True),
]


@pytest.mark.parametrize("name", ["tiny", "mt3", "ismir2021"])
def test_wanted_notes_are_those_that_were_encoded(name):
    settings = config.preset(name)
    tokens = codec.encode(
        notes.from_rows(ROWS),
        0,
        settings.segments.num_frames,
        frames_per_second=settings.spectrogram.frames_per_second,
        vocabulary=Vocabulary(settings.vocabulary),
        config=settings.codec,
    )
    end = settings.segment_steps / 100
    wanted = notes.sort(showing.wanted_notes(tokens, settings))
    flat = settings.codec.granularity == "flat"
    expected = [
        (0.25, 1.0, 67, 0 if flat else 40, False),
        (0.75, 0.76, 38, 0, True),
        (1.5, min(2.5, end), 72, 0 if flat else 40, False),
    ]
    with_ties = settings.codec.events == "notes_with_ties"
    if with_ties:
        expected = [(-end, 0.5, 60, 0, False), (-end, end, 64, 0, False), *expected]
    found = [tuple(row) for row in wanted[["onset", "offset", "pitch", "program", "is_drum"]].tolist()]
    assert [row[2:] for row in found] == [row[2:] for row in expected]
    np.testing.assert_allclose([row[:2] for row in found], [row[:2] for row in expected], atol=1e-9)


def test_no_tokens_want_no_notes():
    settings = config.preset("tiny")
    tie = Vocabulary(settings.vocabulary).first_id("tie")
    assert len(showing.wanted_notes(np.array([tie, 1], np.int32), settings)) == 0


@pytest.mark.parametrize("name", ["tiny", "mt3"])
def test_bin_frequencies_are_where_the_filters_peak(name):
    settings = config.preset(name).spectrogram
    frequencies = spectrogram.bin_frequencies(settings)
    assert frequencies.shape == (settings.num_bins,) and (np.diff(frequencies) > 0).all()
    fft_hz = settings.sample_rate / settings.fft_size
    peaks = spectrogram.filterbank(settings).argmax(axis=0) * fft_hz
    high = frequencies > 1000  # lower filters are narrower than what the FFT tells apart
    assert np.abs(peaks - frequencies)[high].max() <= fft_hz / 2 + 1e-6


@pytest.fixture
def dataset(tmp_path):
    """Make a dataset of one piece: an A4 with its octave, half a second on and half a second off, and a drum."""
    seconds = np.arange(8 * RATE) / RATE
    samples = 0.3 * np.sin(2 * np.pi * 440 * seconds) * (seconds % 1 < 0.5)
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    rows = [(float(i), i + 0.5, 69, 90, 0, False) for i in range(8)] + [(0.5, 0.6, 38, 90, 0, True)]
    notes.write_midi(notes.from_rows(rows), tmp_path / "a.mid")
    datasets.write_manifest([datasets.Track("a", "train", tmp_path / "a.wav", tmp_path / "a.mid")], tmp_path)
    return tmp_path


def test_picture_has_the_notes_where_the_sound_is(dataset, monkeypatch):
    matplotlib_figure = pytest.importorskip(
        "matplotlib.figure", reason="pip install 'mt3lite[plot]'", exc_type=ImportError
    )
    saved = []
    save = matplotlib_figure.Figure.savefig
    monkeypatch.setattr(
        matplotlib_figure.Figure, "savefig", lambda self, *args, **kw: (saved.append(self), save(self, *args, **kw))
    )
    settings = config.preset("tiny")
    tracks = datasets.read_manifest(dataset)
    example = examples.at(0, tracks, settings, None, seed=0)
    showing.write_picture(example, settings, dataset / "a.png", title="the title")
    panel = saved[0].axes[0]
    mesh, bars = panel.collections[:2]
    assert panel.get_title(loc="left") == "the title"
    # The loudest frames at A4 lie inside the bars.
    frames = np.asarray(mesh.get_array()).reshape(settings.spectrogram.num_bins, -1)
    a4 = int(np.argmin(np.abs(spectrogram.bin_frequencies(settings.spectrogram) - 440)))
    seconds = (np.arange(frames.shape[1]) - settings.segments.context_frames) / 100
    loud = seconds[frames[a4] > frames[a4].max() - 1]
    spans = [(path.vertices[:, 0].min(), path.vertices[:, 0].max()) for path in bars.get_paths()]
    assert {path.vertices[:, 1].mean().round() for path in bars.get_paths()} == {69}
    inside = [any(low - 0.05 <= second <= high + 0.05 for low, high in spans) for second in loud if 0 <= second < 2]
    assert len(inside) > 50 and all(inside)


def test_command(dataset, capsys):
    pytest.importorskip("matplotlib", reason="pip install 'mt3lite[plot]'", exc_type=ImportError)
    command = ["data", "show", str(dataset), "--index", "2", "--preset", "tiny"]
    assert cli.main([*command, "--plot", str(dataset / "a.png")]) == 0
    out = capsys.readouterr().out
    assert out.startswith("example 2 of seed 0, train: ") and " Piano" in out
    assert (dataset / "a.png").read_bytes().startswith(b"\x89PNG")
    assert cli.main([*command, "--split", "test"]) == 1
    assert "no track of the split 'test'" in capsys.readouterr().err
    assert cli.main([*command, "--plot", str(dataset / "lost" / "a.png")]) == 1
    assert "there is no folder" in capsys.readouterr().err
    with pytest.raises(SystemExit) as exit:
        cli.main([*command, "--index", "-1"])
    assert exit.value.code == 2
    with pytest.raises(SystemExit):
        cli.main([*command, "--soundfont", "a.sf2"])
    assert "--soundfont is for --listen" in capsys.readouterr().err


def test_listening_puts_the_sound_left_and_the_notes_right(dataset, capsys):
    pytest.importorskip("fluidsynth", reason="pip install 'mt3lite[synth]' and libfluidsynth", exc_type=ImportError)
    wav = dataset / "a.listen.wav"
    assert cli.main(["data", "show", str(dataset), "--preset", "tiny", "--listen", str(wav)]) == 0
    both, rate = soundfile.read(wav)
    assert rate == RATE and both.shape[1] == 2 and len(both) >= 2 * RATE
    settings = config.preset("tiny")
    example = examples.at(0, datasets.read_manifest(dataset), settings, None, seed=0)
    left = showing.new_samples(example, settings)
    assert len(left) == 2 * RATE
    np.testing.assert_allclose(both[: 2 * RATE, 0], left * (0.8 / np.abs(left).max()), atol=1e-3)
    assert np.abs(both[:, 1]).max() == pytest.approx(0.8, abs=0.01)


def test_nothing_is_asked_for_after_the_recording(dataset):
    """A recording shorter than a segment is filled up with silence; a note in there would have no sound."""
    settings = config.preset("tiny")
    soundfile.write(dataset / "a.wav", np.full(RATE, 0.1), RATE)
    (track,) = datasets.read_manifest(dataset)
    _, played = examples.crop(track, settings, np.random.default_rng(0))
    assert played[["onset", "pitch"]].tolist() == [(0.0, 69), (0.5, 38)]
    stated = dataclasses.replace(track, duration_seconds=1.0)
    assert len(examples.crop(stated, settings, np.random.default_rng(0))[1]) == 2
