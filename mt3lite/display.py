"""Notes as a piece of HTML, for notebooks: a piano roll, something to hear them by, and a table of instruments."""

import base64
import html
import io
from collections.abc import Callable, Mapping

import numpy as np

from mt3lite import drawing, outputs, plot, render, soundfonts
from mt3lite.errors import InputError

PLAYED_SECONDS = 120.0  # of a longer recording only the beginning can be heard: a page shall stay light
SAMPLE_RATE = 22050  # of the player, in Hz
INLINE_DPI = 80
MOST_PICTURE_BYTES = 1_500_000  # a larger picture is drawn again with fewer pixels
_CELL = "text-align:left;padding:2px 12px 2px 0"


def to_html(found: np.ndarray, *, duration_seconds: float, granularity: str) -> str:
    """Return a ``<div>`` with all that can be shown here; a line says what to install for the rest.

    Args:
        found: array of ``notes.NOTE_DTYPE``.
        duration_seconds: of the recording.
        granularity: how finely instruments are named, one of ``instruments.GRANULARITIES``.
    """
    groups = outputs.by_instrument(found, granularity)
    plural = "s" * (len(found) != 1)
    parts = [f"<p><b>{len(found)} note{plural}</b> in {duration_seconds:.1f} s</p>"]
    parts.append(_or_reason(_roll, found, duration_seconds, granularity))
    if len(found):
        parts += [_or_reason(_player, found), _table(groups)]
    return f'<div class="mt3lite">{"".join(parts)}</div>'


def _or_reason(make: Callable[..., str], *arguments: object) -> str:
    """Return what `make` makes, or the reason why it cannot, escaped."""
    try:
        return make(*arguments)
    except InputError as error:
        return f"<p><i>{html.escape(str(error))}</i></p>"


def _roll(found: np.ndarray, duration_seconds: float, granularity: str) -> str:
    """Return the piano roll as an ``<img>``."""
    figure = plot.piano_roll({"": found}, title="", duration_seconds=duration_seconds, granularity=granularity)
    dots_per_inch = INLINE_DPI
    while len(picture := drawing.to_png(figure, dots_per_inch)) > MOST_PICTURE_BYTES:
        dots_per_inch //= 2
    return f'<img alt="piano roll" style="max-width:100%" src="{_data_uri("image/png", picture)}">'


def _player(found: np.ndarray) -> str:
    """Return an ``<audio>`` with the notes as FluidSynth plays them.

    Raises:
        InputError: FluidSynth or a soundfont is missing, or what writes MP3.
    """
    import soundfile

    if "MP3" not in soundfile.available_formats():
        raise InputError("the player needs a newer libsndfile, which writes MP3: pip install --upgrade soundfile")
    heard = found[found["onset"] < PLAYED_SECONDS]
    heard["offset"] = np.minimum(heard["offset"], PLAYED_SECONDS)
    samples = render.render(heard, soundfonts.find(), render.RenderConfig(sample_rate=SAMPLE_RATE, reverb=0.2))
    stream = io.BytesIO()
    soundfile.write(stream, samples, SAMPLE_RATE, format="MP3")
    player = f'<audio controls preload="none" src="{_data_uri("audio/mpeg", stream.getvalue())}"></audio>'
    shortened = f" the first {PLAYED_SECONDS:.0f} s" if len(heard) < len(found) else ""
    return f"<p>{player}{shortened}</p>"


def _table(groups: Mapping[str, np.ndarray]) -> str:
    """Return how many notes each instrument has, and how low and high they are."""
    heads = "".join(f'<th style="{_CELL}">{head}</th>' for head in ("instrument", "notes", "pitches (MIDI)"))
    rows = []
    for name, mine in groups.items():
        pitches = "" if mine["is_drum"].all() else f"{mine['pitch'].min()} to {mine['pitch'].max()}"
        cells = (html.escape(name), str(len(mine)), pitches)
        rows.append("<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells) + "</tr>")
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
