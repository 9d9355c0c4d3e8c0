"""Draws the pictures of "How it works" from the example clip and what the bundled model makes of it.

    python docs/scripts/pictures.py [FOLDER]     (default: docs/pictures)

Nothing in them is made up: the tokens are those that the network writes for one segment, the notes those it finds.
"""

import functools
import sys
from pathlib import Path

import jax
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

import mt3lite
from mt3lite import audio, decoding, network, notes, plot, segments, spectrogram, vocabulary

ROOT = Path(__file__).resolve().parents[2]
CLIP, PLAYED = ROOT / "data" / "demo" / "clip.flac", ROOT / "data" / "demo" / "clip.mid"
SEGMENT = 2  # the one that is looked at closely
TOKENS_A_ROW = 8
COLOURS = {  # of kinds of tokens
    "shift": "#d9d9d9",
    "pitch": "#9ecae9",
    "velocity": "#ffdd9e",
    "tie": "#e3b5d9",
    "program": "#b5dfad",
    "drum": "#f5b7ab",
    "": "#ffffff",
}


def main(folder: Path) -> None:
    """Draw all pictures into a folder, which is made when missing."""
    folder.mkdir(parents=True, exist_ok=True)
    transcriber = mt3lite.load("small")
    settings = transcriber.model.config
    samples = audio.load(CLIP, settings.spectrogram.sample_rate)
    draw_waveform(samples, settings, folder / "waveform.png")
    cut = list(segments.iter_segments([samples], settings.spectrogram, settings.segments, batch_segments=8))
    frames = np.concatenate([batch.frames for batch in cut])
    draw_spectrogram(frames[SEGMENT], settings, folder / "spectrogram.png")
    draw_tokens(tokens_of(transcriber, frames[SEGMENT]), settings, folder / "tokens.png")
    found = transcriber.transcribe(samples)
    plot.write_comparison(
        notes.read_midi(PLAYED),
        found.notes,
        folder / "roll.png",
        title="The example clip",
        duration_seconds=found.duration_seconds,
        granularity=settings.codec.granularity,
    )


def tokens_of(transcriber: mt3lite.Transcriber, frames: np.ndarray) -> list[int]:
    """Return the tokens that the network writes for one segment, as `mt3lite transcribe` decodes it."""
    settings = transcriber.model.config
    words = vocabulary.Vocabulary(settings.vocabulary)
    grammar = decoding.Grammar(words, settings.codec, settings.segment_steps, None, True)
    generate = functools.partial(
        decoding.generate,
        network.Transformer(settings.network),
        max_tokens=settings.segments.max_tokens,
        grammar=grammar,
    )
    (tokens,) = jax.jit(generate)(transcriber.model.params, frames[None])
    tokens = np.asarray(tokens).tolist()
    return tokens[: tokens.index(vocabulary.EOS) + 1]


def _panel(width: float, height: float):
    """Return a figure, and its one panel without the box."""
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    panel = figure.subplots()
    panel.spines[["top", "right"]].set_visible(False)
    return figure, panel


def _segment_seconds(settings: mt3lite.Config) -> float:
    """Return how much of a recording is new in a segment."""
    return settings.segments.num_frames / float(settings.spectrogram.frames_per_second)


def draw_waveform(samples: np.ndarray, settings: mt3lite.Config, path: Path) -> None:
    """Draw the loudest and quietest sample of each 10 ms, the segments, and that which is looked at in orange."""
    figure, panel = _panel(11, 2.4)
    hop, rate = settings.spectrogram.hop_samples, settings.spectrogram.sample_rate
    blocks = samples[: len(samples) // hop * hop].reshape(-1, hop)
    seconds = np.arange(len(blocks)) * hop / rate
    length = _segment_seconds(settings)
    inside = (seconds >= SEGMENT * length) & (seconds < (SEGMENT + 1) * length)
    for chosen, colour in ((~inside, "#4c78a8"), (inside, "#d95f02")):
        panel.fill_between(seconds, blocks.min(1), blocks.max(1), where=chosen, linewidth=0, color=colour)
    for border in np.arange(0, len(samples) / rate, length):
        panel.axvline(border, color="#bbbbbb", linewidth=0.6)
    panel.set(xlim=(0, len(samples) / rate), xlabel="time (s)", ylabel="sample", ylim=(-0.8, 0.8))
    figure.savefig(path)


def draw_spectrogram(frames: np.ndarray, settings: mt3lite.Config, path: Path) -> None:
    """Draw the frames of one segment with the context around them, pitches by name."""
    figure, panel = _panel(11, 4.2)
    pitches = 69 + 12 * np.log2(spectrogram.bin_frequencies(settings.spectrogram) / 440)
    per_second = float(settings.spectrogram.frames_per_second)
    start = SEGMENT * _segment_seconds(settings)
    seconds = start + (np.arange(len(frames)) - settings.segments.context_frames) / per_second
    shades = {"vmin": np.percentile(frames, 30), "vmax": frames.max()}
    panel.pcolormesh(seconds, pitches, frames.T, cmap="magma", shading="nearest", rasterized=True, **shades)
    for border in (start, start + _segment_seconds(settings)):
        panel.axvline(border, color="white", linewidth=1.2, linestyle=(0, (4, 3)))
    octaves = range(24, 109, 12)
    panel.set_yticks(octaves, [f"C{pitch // 12 - 1}" for pitch in octaves])  # MIDI 60 is C4
    panel.set(xlabel="time (s)", ylabel="pitch")
    figure.savefig(path)


def draw_tokens(tokens: list[int], settings: mt3lite.Config, path: Path) -> None:
    """Draw tokens as labelled boxes, to be read like text, a colour for each kind."""
    words = vocabulary.Vocabulary(settings.vocabulary)
    num_rows = -(-len(tokens) // TOKENS_A_ROW)
    figure, panel = _panel(11, 0.62 * num_rows + 0.3)
    panel.set(xlim=(0, TOKENS_A_ROW), ylim=(num_rows, 0))
    panel.axis("off")
    for index, token in enumerate(tokens):
        row, column = divmod(index, TOKENS_A_ROW)
        event = words.event(token)
        colour = COLOURS[event.type if event else ""]
        corner = (column + 0.06, row + 0.12)
        panel.add_patch(
            FancyBboxPatch(corner, 0.88, 0.76, boxstyle="round,pad=0,rounding_size=0.08", fc=colour, ec="#888888")
        )
        panel.text(column + 0.5, row + 0.4, label(words, token), ha="center", va="center", fontsize=9.5)
        panel.text(column + 0.5, row + 0.72, str(token), ha="center", va="center", fontsize=7, color="#555555")
    figure.savefig(path)


def label(words: vocabulary.Vocabulary, token: int) -> str:
    """Return what a token says, a pitch also by its name."""
    event = words.event(token)
    if event is None or event.type != "pitch":
        return words.describe(token)
    names = ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B")
    return f"pitch {event.value} ({names[event.value % 12]}{event.value // 12 - 1})"


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures")
