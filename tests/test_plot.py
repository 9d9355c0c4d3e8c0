"""Piano rolls: what is drawn, where, and in which colour."""

import importlib.util
import os

import numpy as np
import pytest

from mt3lite import notes, plot
from mt3lite.errors import InputError

PIECE = notes.from_rows(
    [
        (0.5, 2.0, 60, 127, 0, False),
        (1.0, 1.5, 67, 20, 0, False),
        (0.0, 3.0, 36, 90, 32, False),
        (1.0, 1.01, 38, 99, 0, True),
    ]
)


@pytest.fixture
def figure(monkeypatch, tmp_path):
    """Return a function that draws notes and returns the figure that was saved."""
    matplotlib_figure = pytest.importorskip("matplotlib.figure")
    saved = []
    save = matplotlib_figure.Figure.savefig
    monkeypatch.setattr(
        matplotlib_figure.Figure, "savefig", lambda self, *args, **kw: (saved.append(self), save(self, *args, **kw))
    )

    def draw(piece, duration_seconds=4.0):
        plot.write_piano_roll(
            piece, tmp_path / "a.png", title="a.wav", duration_seconds=duration_seconds, granularity="midi_class"
        )
        assert os.listdir(tmp_path) == ["a.png"]
        return saved[-1]

    return draw


def legend(panel) -> list[str]:
    return [text.get_text() for text in panel.get_legend().get_texts()]


def test_notes_are_bars_in_their_instruments_colour(figure):
    pitched, drums = figure(PIECE).axes
    assert (legend(pitched), legend(drums)) == (["Piano (2)", "Bass (1)"], ["Drums (1)"])
    piano, bass = pitched.collections
    left, right = piano.get_paths()[0].vertices[:, 0].min(), piano.get_paths()[0].vertices[:, 0].max()
    low, high = piano.get_paths()[0].vertices[:, 1].min(), piano.get_paths()[0].vertices[:, 1].max()
    assert (left, right) == (0.5, 2.0) and (low + high) / 2 == pytest.approx(60)
    loud, soft = piano.get_facecolors()
    assert loud[3] > soft[3] and (loud[:3] == soft[:3]).all()
    assert not np.array_equal(bass.get_facecolors()[0][:3], loud[:3])


def test_axes_are_named(figure):
    pitched, drums = figure(PIECE).axes
    assert pitched.get_title(loc="left") == "a.wav"
    assert drums.get_xlabel() == "time (s)" and drums.get_xlim() == (0.0, 4.0)
    assert [label.get_text() for label in drums.get_yticklabels()] == ["Acoustic Snare"]
    assert "C4" in [label.get_text() for label in pitched.get_yticklabels()]


def test_no_notes_and_no_time_can_be_drawn(figure):
    (panel,) = figure(notes.empty(), 0.0).axes
    assert [text.get_text() for text in panel.texts] == ["no pitched notes"]


def test_drums_alone_can_be_drawn(figure):
    pitched, drums = figure(PIECE[3:]).axes
    assert pitched.get_legend() is None and legend(drums) == ["Drums (1)"]


def test_long_pieces_are_wider_up_to_a_limit(figure):
    widths = [figure(PIECE, seconds).get_figwidth() for seconds in (4.0, 60.0, 3600.0, 7200.0)]
    assert widths[0] < widths[1] < widths[2] == widths[3]


def test_without_matplotlib_the_cure_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"a picture needs matplotlib: pip install mt3lite\[plot\]"):
        plot.write_piano_roll(PIECE, tmp_path / "a.png", title="", duration_seconds=1.0, granularity="full")


def test_what_was_played_above_what_was_found(tmp_path, monkeypatch):
    """Two rolls on the same axes, and the drums of both though only one side has some."""
    saved = []
    Figure = pytest.importorskip("matplotlib.figure").Figure

    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **kw: (saved.append(self), save(self, *args, **kw)))
    plot.write_comparison(
        PIECE, PIECE[:1], tmp_path / "both.png", title="a", duration_seconds=4.0, granularity="midi_class"
    )
    panels = saved[-1].axes
    assert [panel.get_title(loc="left") for panel in panels] == ["a, played", "", "a, found", ""]
    assert panels[0].get_ylim() == panels[2].get_ylim() and panels[0].get_xlim() == panels[3].get_xlim()
    assert [len(panel.collections[0].get_paths()) for panel in panels] == [2, 1, 1, 0]
    assert (tmp_path / "both.png").stat().st_size > 1000
