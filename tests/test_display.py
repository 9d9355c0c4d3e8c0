"""What a transcription shows in a notebook."""

import base64
import importlib.util
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile

from mt3lite import display, instruments, notes, render, soundfonts, transcriber
from mt3lite.errors import InputError

PIECE = notes.from_rows(
    [
        (0.5, 2.0, 60, 100, 0, False),
        (1.0, 1.5, 67, 90, 0, False),
        (0.0, 3.0, 36, 90, 32, False),
        (1, 1.1, 38, 99, 0, True),
    ]
)
TABLE = ["instrument", "notes", "pitches (MIDI)", "Piano", "2", "60 to 67", "Bass", "1", "36 to 36", "Drums", "1", ""]


class Page(HTMLParser):
    """Tags with attributes, the texts of table cells, and all text; fails where tags are not closed in order."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.cells, self.text, self._open = [], [], "", []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag != "img":
            self._open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, text):
        self.text += text
        if self._open and self._open[-1] in ("td", "th"):
            self.cells[-1] += text


def shown(piece=PIECE, duration_seconds=4.0, **changes) -> Page:
    """Return what a transcription with these notes shows."""
    fields = {"num_segments": 2, "silent_segments": 0, "invalid_events": 0, "dropped_events": 0, "timings": {}}
    fields |= {"granularity": "midi_class", **changes}
    return Page(transcriber.Transcription(notes=piece, duration_seconds=duration_seconds, **fields)._repr_html_())


def content(page: Page, tag: str) -> bytes:
    """Return what is inside the data URI of the only tag of that kind."""
    (attributes,) = (attributes for name, attributes in page.tags if name == tag)
    return base64.b64decode(attributes["src"].partition(";base64,")[2])


@pytest.fixture
def silent(monkeypatch):
    """Let FluidSynth be missing, which saves time, too."""

    def missing(*_, **__):
        raise InputError("rendering needs <FluidSynth>")

    monkeypatch.setattr(render, "render", missing)


@pytest.fixture
def no_pictures(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find_spec(name))


def test_instruments_are_counted(silent, no_pictures):
    page = shown()
    assert page.cells == TABLE
    assert page.text.startswith("4 notes in 4.0 s")


def test_what_is_missing_is_named_and_the_rest_is_shown(silent, no_pictures):
    page = shown()
    assert "a picture needs matplotlib: pip install 'mt3lite[plot]'" in page.text
    assert "rendering needs <FluidSynth>" in page.text  # escaped, or it would be a tag
    assert {"img", "audio"}.isdisjoint(name for name, _ in page.tags)


def test_no_notes(silent, no_pictures):
    page = shown(notes.empty(), 0.0)
    assert page.text.startswith("0 notes in 0.0 s") and page.cells == []
    assert "FluidSynth" not in page.text


def test_names_are_escaped(silent, no_pictures, monkeypatch):
    monkeypatch.setattr(instruments, "FAMILY_NAMES", ("<script>alert(1)</script>", *instruments.FAMILY_NAMES[1:]))
    page = shown()
    assert "<script>alert(1)</script>" in page.cells and "script" not in {name for name, _ in page.tags}


def test_the_roll_is_a_picture_within_the_page(silent):
    pytest.importorskip("matplotlib", reason="pip install 'mt3lite[plot]'", exc_type=ImportError)
    from matplotlib import image

    pixels = image.imread(io.BytesIO(content(shown(), "img")))
    assert pixels.shape[0] > 100 and pixels.shape[1] > 400 and pixels.min() < 0.5


def test_a_page_of_hours_stays_light(silent, monkeypatch):
    pytest.importorskip("matplotlib", reason="pip install 'mt3lite[plot]'", exc_type=ImportError)
    monkeypatch.setattr(display, "MOST_PICTURE_BYTES", 100_000)
    rng = np.random.default_rng(0)
    onsets = rng.uniform(0, 7200, 20_000)
    rows = zip(onsets, onsets + 0.4, rng.integers(21, 109, 20_000), rng.integers(1, 128, 20_000), strict=True)
    piece = notes.sort(notes.from_rows((*row, 8 * (index % 16), False) for index, row in enumerate(rows)))
    assert 10_000 < len(content(shown(piece, 7200.0), "img")) <= 100_000


def test_the_player_plays_the_notes(no_pictures, monkeypatch):
    pytest.importorskip("fluidsynth", reason="pip install 'mt3lite[synth]' and libfluidsynth", exc_type=ImportError)
    monkeypatch.setattr(soundfonts, "FOLDERS", ())  # the small one that pretty_midi brings
    page = shown()
    samples, rate = soundfile.read(io.BytesIO(content(page, "audio")))
    assert rate == 22050 and 4.5 <= len(samples) / rate < 5 and np.abs(samples).max() > 0.01
    assert not re.search("the first", page.text)

    monkeypatch.setattr(display, "PLAYED_SECONDS", 0.75)
    page = shown()
    samples, rate = soundfile.read(io.BytesIO(content(page, "audio")))
    assert len(samples) / rate < 2.6 and "the first 1 s" in page.text
