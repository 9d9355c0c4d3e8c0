"""Write when the beats of the benchmark set are, for `benchmarks/beats.py`.

    python data/models/beats/annotate.py --midi MIDI_ROOT --pop POP909 --scores FOLDER... --out data/benchmark/beats

MIDI_ROOT is that of `benchmarks/make_set.py`, POP909 a clone of its repository, the other folders clones of those of
the scores (README.md names them). What is left out: performances, whose beats nobody noted; sequences that nobody
aligned with beats; scores whose MusicXML has not as many onsets as the MIDI file that the set was made from.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import prepare  # beside this file

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))  # which has a `train`, too
import make_set  # noqa: E402

from mt3lite.training import arranging, midi_sources  # noqa: E402

SAME_SECONDS, SAME_QUARTERS = 0.004, 0.01  # onsets as near to each other are one


def separate(onsets: np.ndarray, least: float) -> np.ndarray:
    """Return sorted onsets without those that are as near to the one before."""
    onsets = np.unique(onsets.round(4))
    return onsets[np.append(True, np.diff(onsets) > least)]


def source_beats(source: Path, parts: list[np.ndarray], pop: Path, scores: dict[str, Path]) -> list[np.ndarray] | str:
    """Return the beats and downbeats of a whole MIDI file in its seconds, or why there are none."""
    kind = source.parent.name
    if kind == "piano-performances":
        return "a performance"
    if kind == "pop-piano":
        return list(prepare.read_pop(pop / source.stem)[1:])
    if kind == "game-band":
        played, *found = prepare.read_band(source)
        on_beat = prepare.on_beat(played, found[0])
        return found if on_beat >= prepare.LEAST_ON_BEAT else f"{on_beat:.2f} of its notes begin with beats"
    name = max((name for name in scores if source.stem.endswith(f"_{name}")), key=len)
    written, *found = prepare.read_score(scores[name])
    quarters = separate(written["onset"], SAME_QUARTERS)
    seconds = separate(np.concatenate([part["onset"] for part in parts]), SAME_SECONDS)
    if len(quarters) != len(seconds):
        return f"{len(quarters)} onsets in MusicXML, {len(seconds)} in MIDI"
    inside = [each[(each >= quarters[0]) & (each <= quarters[-1])] for each in found]
    return [np.interp(each, quarters, seconds) for each in inside]


def excerpt(found: list[np.ndarray], parts: list[np.ndarray], start: float, seed: int) -> list[np.ndarray]:
    """Return beats and downbeats of the excerpt that is played, as `make_set.arrange` plays it."""
    found = [each[(each >= start - 1e-3) & (each < start + make_set.MUSIC_SECONDS)] - start for each in found]
    inside = [part for part in (make_set.cut(part, start) for part in parts) if len(part)]
    if arranging.is_notated(inside):
        drift = arranging.tempo_drift(inside, np.random.default_rng(seed))
        found = [drift(each) for each in found]
    return [each[each < make_set.MUSIC_SECONDS] for each in found]


def lines(beats: np.ndarray, downbeats: np.ndarray) -> str:
    """Return a line for each beat: seconds, and its number in the bar; 0 before the first bar line."""
    written, number = [], 0
    for beat in beats.tolist():
        is_downbeat = bool((np.abs(downbeats - beat) < 1e-3).any())
        number = 1 if is_downbeat else number + (number > 0)
        written.append(f"{max(beat, 0):.3f}\t{number}\n")
    return "".join(written)


def main() -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--midi", type=Path, required=True)
    parser.add_argument("--pop", type=Path, required=True)
    parser.add_argument("--scores", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    scores = {path.stem: path for folder in arguments.scores for path in folder.rglob("*.mxl")}
    for piece in make_set.read_pieces():
        parts = midi_sources.read_parts(arguments.midi / piece["source"])
        found = source_beats(arguments.midi / piece["source"], parts, arguments.pop, scores)
        if isinstance(found, str):
            print(f"{piece['id']}: left out: {found}")
            continue
        written = lines(*excerpt(found, parts, piece["start_seconds"], piece["seed"]))
        (arguments.out / f"{piece['id']}.beats").write_text(written, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
