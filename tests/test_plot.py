"""Piano rolls: what is drawn, where, and in which colour."""

import importlib.util
import itertools
import os
import shutil

import numpy as np
import pytest

from mt3lite import cli, drawing, notes, outputs, plot
from mt3lite.errors import InputError

PIECE = notes.from_rows(
    [
        (0.5, 2.0, 60, 127, 0, False),
        (1.0, 1.5, 67, 20, 0, False),
        (0.0, 3.0, 36, 90, 32, False),
        (1.0, 1.01, 38, 99, 0, True),
    ]
)
needs_matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="pip install 'mt3lite[plot]'"
)


@pytest.fixture
def figure():
    """Return a function that draws notes and returns the figure."""
    pytest.importorskip("matplotlib", reason="pip install 'mt3lite[plot]'", exc_type=ImportError)

    def draw(piece, duration_seconds=4.0, title="a.wav", bar_seconds=None, **sides):
        settings = {
            "title": title,
            "duration_seconds": duration_seconds,
            "granularity": "full",
            "bar_seconds": bar_seconds,
        }
        return plot.piano_roll({"": piece, **sides}, **settings)

    return draw


def legend(panel) -> list[str]:
    return [text.get_text() for text in panel.get_legend().get_texts()]


def boxes(panel) -> np.ndarray:
    """Return left, right, low and high of each bar."""
    corners = np.array([path.vertices for path in panel.collections[-1].get_paths()])
    return np.column_stack(
        [corners[..., 0].min(1), corners[..., 0].max(1), corners[..., 1].min(1), corners[..., 1].max(1)]
    )


def test_notes_are_bars_in_their_instruments_colour(figure):
    from matplotlib.colors import to_hex

    pitched, drums = figure(PIECE).axes
    assert (legend(pitched), legend(drums)) == (["Acoustic Grand Piano (2)", "Acoustic Bass (1)"], ["Drums (1)"])
    bass, loud, soft = boxes(pitched)  # by onset
    assert loud[0] == 0.5 and loud[1] == pytest.approx(2.0, abs=0.02) and (loud[2] + loud[3]) / 2 == 60
    assert loud[3] - loud[2] > bass[3] - bass[2] > soft[3] - soft[2] > 0.4
    colours = [to_hex(colour).upper() for colour in pitched.collections[-1].get_facecolors()]
    assert colours == [drawing.COLOURS[1], drawing.COLOURS[0], drawing.COLOURS[0]]
    assert len(boxes(drums)) == 1 and boxes(drums)[0, 0] == 1.0


def test_axes_are_named(figure):
    pitched, drums = figure(PIECE).axes
    assert pitched.get_title(loc="left") == "a.wav"
    assert drums.get_xlabel() == "time (s)" and drums.get_xlim() == pitched.get_xlim() == (0.0, 4.0)
    assert [label.get_text() for label in drums.get_yticklabels()] == ["Acoustic Snare"]
    assert [label.get_text() for label in pitched.get_yticklabels()] == ["C2", "C3", "C4"]


def test_bars_have_lines_in_place_of_seconds(figure):
    bars = np.arange(0.25, 50.0, 2.0)
    for system in figure(PIECE[:3], 50.0, bar_seconds=bars).axes:
        start, end = system.get_xlim()
        drawn = [segment[0, 0] for segment in system.collections[-1].get_segments()]
        assert drawn == bars[(bars >= start) & (bars < end)].tolist()
        assert not any(line.get_visible() for line in system.get_xgridlines())
    for nothing in (None, np.zeros(0)):
        assert all(line.get_visible() for line in figure(PIECE, bar_seconds=nothing).axes[0].get_xgridlines())


def test_no_notes_and_no_time_can_be_drawn(figure):
    (panel,) = figure(notes.empty(), 0.0).axes
    assert [text.get_text() for text in panel.texts] == ["no notes"] and panel.get_xlim() == (0.0, 1.0)


def test_drums_alone_need_no_keys(figure):
    (drums,) = figure(PIECE[3:]).axes
    assert legend(drums) == ["Drums (1)"]


def test_a_long_piece_goes_on_below(figure):
    figures = {seconds: figure(PIECE[:3], seconds) for seconds in (45.0, 61.0, 600.0, 3600.0, 360000.0)}
    assert [len(each.axes) for each in figures.values()] == [1, 3, 10, 12, 12]
    assert all(each.get_figheight() <= plot.MOST_INCHES and each.get_figwidth() < 20 for each in figures.values())
    spans = [axes.get_xlim() for axes in figures[61.0].axes]
    assert spans == [(0, 30), (30, 60), (60, 90)]
    assert [len(axes.collections[-1].get_paths()) for axes in figures[61.0].axes] == [3, 0, 0]


def test_many_instruments_share_several_panels_and_no_legend_overlaps_another(figure):
    rows = [(0.1 * program, 20.0, 40 + program // 4, 80, program, False) for program in range(0, 120, 4)]
    rows += [(1.0, 1.1, pitch, 90, 0, True) for pitch in range(35, 60)]
    drawn = figure(notes.from_rows(rows), 30.0)
    *pitched, drums = drawn.axes
    assert [len(legend(panel)) for panel in pitched] == [6] * 5 and len(drums.get_yticklabels()) == 25
    drawn.canvas.draw()
    legends = [panel.get_legend().get_window_extent() for panel in drawn.axes]
    for one, other in itertools.combinations(legends, 2):
        assert not one.overlaps(other)
    assert all(each.x1 <= drawn.bbox.x1 and each.y0 >= 0 for each in legends)
    assert all(label.get_window_extent().x0 >= 0 for label in drums.get_yticklabels())


def test_in_unison_the_later_instrument_is_a_thinner_bar_on_top(figure):
    piece = notes.from_rows(
        [(0.0, 2.0, 60, 80, 40, False), (0.0, 2.0, 60, 80, 73, False), (0.0, 2.0, 72, 80, 73, False)]
    )
    (panel,) = figure(piece).axes
    violin, flute_alone, flute = boxes(panel)
    assert flute[3] - flute[2] < 0.7 * (violin[3] - violin[2]) and (flute[:2] == violin[:2]).all()
    assert (flute_alone[3] - flute_alone[2]) == pytest.approx(violin[3] - violin[2])


def test_layers_are_of_other_instruments_that_go_on():
    piece = notes.from_rows([(0.0, 1.0, 60, 80, 0, False), (0.5, 1.5, 60, 80, 0, False), (0.98, 2.0, 60, 80, 1, False)])
    assert drawing.layers(piece, piece["program"]).tolist() == [0, 0, 1]
    assert drawing.layers(piece[[0, 2]], piece["program"][[0, 2]]).tolist() == [0, 0]


@needs_matplotlib
@pytest.mark.parametrize(
    "title", ["$\\frac{", "a$b$c^{", "two\nlines", "\udcff.wav", "\N{CJK UNIFIED IDEOGRAPH-97F3}.mp3", "x" * 5000]
)
def test_any_file_name_can_be_a_title(tmp_path, title):
    plot.write_piano_roll(PIECE, tmp_path / "a.png", title=title, duration_seconds=4.0, granularity="flat")
    assert os.listdir(tmp_path) == ["a.png"]


def test_colours_can_be_told_apart_by_all_eyes():
    """CIE 1976 differences under Machado et al. (2009), table 1 of severity 1: protanopia, deuteranopia, tritanopia."""
    eyes = (
        ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
        ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
        ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
        ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
    )
    for eye in eyes:
        seen = [lab(np.clip(np.array(eye) @ linear(colour), 0, 1)) for colour in (*drawing.COLOURS, "#FFFFFF")]
        assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 16


def linear(colour: str) -> np.ndarray:
    """Return the linear light of an sRGB colour."""
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(light: np.ndarray) -> np.ndarray:
    """Return CIE L*a*b* of linear sRGB light, D65."""
    to_xyz = np.array([[0.41246, 0.35758, 0.18044], [0.21267, 0.71515, 0.07218], [0.01933, 0.11919, 0.95030]])
    x, y, z = np.where((t := to_xyz @ light / (0.95047, 1, 1.08883)) > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_without_matplotlib_the_cure_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"a picture needs matplotlib: pip install 'mt3lite\[plot\]'"):
        plot.write_piano_roll(PIECE, tmp_path / "a.png", title="", duration_seconds=1.0, granularity="full")


def test_what_was_played_above_what_was_found(figure, tmp_path):
    """Two rolls on the same axes in the same colours, and the drums of both though only one side has some."""
    played = figure(PIECE, found=PIECE[2:3])
    panels = played.axes
    assert [panel.get_ylabel() for panel in panels] == ["", "", "found", "found"]
    assert panels[0].get_ylim() == panels[2].get_ylim() and panels[0].get_xlim() == panels[3].get_xlim()
    assert [len(panel.collections[-1].get_paths()) for panel in panels] == [3, 1, 1, 0]
    bass = panels[2].collections[-1].get_facecolors()[0]
    assert (bass == panels[0].collections[-1].get_facecolors()[0]).all()
    plot.write_comparison(
        PIECE, PIECE[:1], tmp_path / "both.png", title="a", duration_seconds=4.0, granularity="midi_class"
    )
    assert (tmp_path / "both.png").read_bytes().startswith(b"\x89PNG")


@needs_matplotlib
def test_the_command_draws_files_and_folders(tmp_path, capsys):
    folder = tmp_path / "in" / "deep"
    folder.mkdir(parents=True)
    notes.write_midi(PIECE, tmp_path / "in" / "a.mid")
    outputs.write_csv(PIECE, tmp_path / "in" / "a.csv", granularity="full")  # beside a MIDI file: that one is drawn
    outputs.write_csv(PIECE[:1], folder / "b.csv", granularity="full")
    assert cli.main(["plot", str(tmp_path / "in"), "--output-dir", str(tmp_path / "out")]) == 0
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*.png"))] == [
        "out/a.png",
        "out/deep/b.png",
    ]
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"{tmp_path}/in/a.mid -> {tmp_path}/out/a.png: 4 notes" and told[1].endswith(": 1 note")

    shutil.copy(tmp_path / "in" / "a.mid", tmp_path / "c.mid")
    (tmp_path / "bad.mid").write_bytes(b"no MIDI")
    assert cli.main(["plot", *(str(tmp_path / name) for name in ("bad.mid", "lost.mid", "c.mid"))]) == 1
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 2 and "lost.mid: no such file" in err[0] and "bad.mid: not a readable MIDI file" in err[1]
    assert (tmp_path / "c.png").exists() and not (tmp_path / "bad.png").exists()
    assert cli.main(["plot", str(tmp_path / "c.mid")]) == 1
    assert "exists already; give --overwrite" in capsys.readouterr().err


@needs_matplotlib
@pytest.mark.parametrize(("name", "beginning"), [("a.svg", b"<?xml"), ("a.pdf", b"%PDF"), ("a.PNG", b"\x89PNG")])
def test_the_command_writes_other_formats(tmp_path, name, beginning):
    notes.write_midi(PIECE, tmp_path / "a.mid")
    assert cli.main(["plot", str(tmp_path / "a.mid"), "-o", str(tmp_path / name), "--granularity", "midi_class"]) == 0
    written = tmp_path / name if (tmp_path / name).exists() else tmp_path / name.lower()
    assert written.read_bytes().startswith(beginning)


@pytest.mark.parametrize("arguments", [["a.mid", "b.mid", "-o", "c.png"], ["a.mid", "-o", "c.gif"], []])
def test_wrong_usage(arguments):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["plot", *arguments])
