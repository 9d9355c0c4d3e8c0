"""How long transcribing takes, and where the time goes; results as JSON, and as a table on standard output.

    python benchmarks/speed.py process --peer basic-pitch="/path/to/basic-pitch OUTPUT_DIR RECORDING"
    python benchmarks/speed.py warm --peer-python /path/to/python-with-basic-pitch
    python benchmarks/speed.py mt3 --ancestor-python PYTHON --ancestor-source MT3
    python benchmarks/speed.py long folder pages
    python benchmarks/speed.py accelerator

Several may be named, with the options of all of them. Each measurement goes to benchmarks/results/speed-<name>.json
with a description of the machine. What is compared runs in turn, so compare the ratios within a file; seconds of CPU
time tell more than those of the clock where others use the machine. `mt3` measures random weights: every segment has
the length that is forced on it.
"""

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine

# Those that start processes come first: the peak memory of one counts from what its parent has had at the start.
MEASUREMENTS = ("process", "long", "folder", "pages", "warm", "mt3", "accelerator")
ROOT = Path(__file__).parent.parent
CLIP = ROOT / "data" / "demo" / "clip.flac"
RESULTS = Path(__file__).parent / "results"
LONG_SECONDS = 1200
PEER_WARM = """
import json, sys, time
from basic_pitch import ICASSP_2022_MODEL_PATH
from basic_pitch.inference import Model, predict
model = Model(ICASSP_2022_MODEL_PATH)
predict(sys.argv[1], model)
for _ in range(int(sys.argv[2])):
    wall, cpu = time.perf_counter(), time.process_time()
    predict(sys.argv[1], model)
    print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]), file=sys.stderr)
"""


def run_process(command: list[str], cache: Path, **variables: str) -> dict:
    """Run a command; return its seconds by the clock and of CPU time, and its peak memory in MB."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(ROOT), **variables}
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    with process.stderr:
        complaint = process.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)}: exit status {os.waitstatus_to_exitcode(status)}\n{complaint}")
    return {
        "wall_s": time.perf_counter() - started,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
    }


def middle(runs: list[dict]) -> dict:
    """Return the best and the median of each number."""
    return {
        name: {"best": min(of), "median": statistics.median(of)} for name in runs[0] if (of := [r[name] for r in runs])
    }


def ours(recording: Path, folder: Path, *options: str) -> list[str]:
    """Return the command that transcribes a recording with mt3lite."""
    return [sys.executable, "-m", "mt3lite", "transcribe", str(recording), "--output-dir", str(folder), *options]


def measure_process(arguments: argparse.Namespace) -> dict:
    """The whole process on the 31 s clip: with an empty cache, again, and peers in turn."""
    runs: dict[str, list[dict]] = {"mt3lite first": [], "mt3lite second": []}
    with tempfile.TemporaryDirectory() as temporary:
        for turn in range(arguments.turns):
            cache, out = Path(temporary, f"cache{turn}"), Path(temporary, f"out{turn}")
            runs["mt3lite first"].append(run_process(ours(CLIP, out), cache))
            runs["mt3lite second"].append(run_process(ours(CLIP, out, "--overwrite"), cache))
            for name, _, command in (peer.partition("=") for peer in arguments.peer):
                peer_out = Path(temporary, f"{name}{turn}")
                peer_out.mkdir()
                words = command.replace("OUTPUT_DIR", str(peer_out)).replace("RECORDING", str(CLIP)).split()
                if not turn:
                    run_process(words, cache)  # its own caches, as ours
                runs.setdefault(name, []).append(run_process(words, cache))
    return {name: middle(each) for name, each in runs.items()}


def measure_warm(arguments: argparse.Namespace) -> dict:
    """A loaded model on the 31 s clip, in seconds a second of audio, and a peer's."""
    from mt3lite import transcriber

    loaded = transcriber.load("small")
    seconds = loaded.transcribe(CLIP).duration_seconds
    runs, split = [], {}
    for _ in range(arguments.turns):
        wall, cpu = time.perf_counter(), time.process_time()
        split = loaded.transcribe(CLIP).timings
        runs.append({"wall_s": (time.perf_counter() - wall) / seconds, "cpu_s": (time.process_time() - cpu) / seconds})
    results = {"mt3lite": middle(runs) | {"stops_s": split}}
    if arguments.peer_python:
        command = [arguments.peer_python, "-c", PEER_WARM, str(CLIP), str(arguments.turns)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("[")]
        results["basic-pitch"] = middle([{"wall_s": wall / seconds, "cpu_s": cpu / seconds} for wall, cpu in rows])
    return results


class Forced:
    """In a grammar's place: a segment ends after as many tokens as its first token says, and not before."""

    def __init__(self, lengths: tuple[int, ...]):
        self._lengths = lengths

    def __hash__(self):
        return hash(self._lengths)

    def __eq__(self, other):
        return isinstance(other, Forced) and self._lengths == other._lengths

    def init(self, batch):
        """Return the state before the first token, int32 [B, 2]."""
        import jax.numpy as jnp

        return jnp.zeros((batch, 2), jnp.int32)  # tokens so far, tokens wanted

    def choose(self, state, logits):
        """Return the likeliest token that means something, or EOS when it is time."""
        import jax.numpy as jnp

        best = logits.at[:, :3].set(-jnp.inf).argmax(axis=-1)
        return jnp.where((state[:, 0] > 0) & (state[:, 0] + 1 >= state[:, 1]), 1, best)

    def update(self, state, tokens):
        """Count a token; the first one says how many there will be."""
        import jax.numpy as jnp

        wanted = jnp.asarray(self._lengths)[tokens % len(self._lengths)]
        return jnp.stack([state[:, 0] + 1, jnp.where(state[:, 0] == 0, wanted, state[:, 1])], axis=1)


def real_lengths(settings) -> tuple[int, ...]:
    """Return how many tokens each segment of the demo clip's notes takes."""
    from mt3lite import codec, notes, vocabulary

    piece = notes.trim_overlaps(notes.read_midi(CLIP.with_suffix(".mid")))
    frames_per_second = settings.spectrogram.frames_per_second
    targets = codec.encode_piece(
        piece,
        int(31 * frames_per_second),
        settings.segments.num_frames,
        frames_per_second=frames_per_second,
        vocabulary=vocabulary.Vocabulary(settings.vocabulary),
        config=settings.codec,
    )
    return tuple(len(target) for target in targets)


def random_params(net, rng) -> dict:
    """Return a parameter tree of a network, float32: normal numbers whose variance is one over the inputs."""
    import jax
    import numpy as np

    from mt3lite import network

    return jax.tree.map(
        lambda leaf: rng.normal(0, leaf.shape[0] ** -0.5, leaf.shape).astype(np.float32), network.parameter_shapes(net)
    )


def decode_mt3(settings, params: dict, frames, lengths: tuple[int, ...], precision: str, turns: int) -> dict:
    """Decode segments (frames [N, F, bins]) of forced lengths by 8 lanes; return the best and median seconds."""
    import jax

    from mt3lite import crews, lanes, network, stepping, stopwatch

    in_panels = jax.default_backend() == "cpu"
    params = jax.device_put(stepping.params_for_steps(params, precision) if in_panels else params)
    num_crews, num_lanes = crews.share(8)
    transformer = network.Transformer(settings.network)
    search = lanes.Search(transformer, Forced(lengths), 1024, in_panels=in_panels, precision=precision)
    programs = lanes.Programs(search, params, frames.shape[1:], num_lanes=num_lanes, encode_batch=2)
    programs.prepare()
    for ring, longer in zip(programs.rings, [*programs.rings[1:], None], strict=True):
        programs("run", ring)
        if longer:
            programs("resize", ring, longer)
    runs = []
    for _ in range(turns):
        watch, wall, cpu = stopwatch.Stopwatch(), time.perf_counter(), time.process_time()
        decoded = dict(crews.Crews(programs, num_crews).decode(params, enumerate(frames), watch))
        spent = time.perf_counter() - wall
        runs.append({"wall_s": spent, "cpu_s": time.process_time() - cpu, "decode_s": watch.seconds["decode"]})
    return middle(runs) | {"tokens": int(sum((each.tokens != 0).sum() for each in decoded.values()))}


def measure_mt3(arguments: argparse.Namespace) -> dict:
    """The ancestor's sizes with random weights: 8 segments of 1024 tokens; 60 s at the demo clip's token counts."""
    import jax
    import numpy as np

    from mt3lite import config, stepping

    settings = config.preset("mt3")
    rng = np.random.default_rng(0)
    params = random_params(settings.network, rng)
    shape = settings.segments.input_frames, settings.spectrogram.num_bins
    frames = rng.normal(-3, 2, (30, *shape)).astype(np.float32)  # 30 segments: 61 s
    real = real_lengths(settings)
    results = {"tokens_a_segment": statistics.mean(real)}
    forced = f"forced {arguments.tokens}"
    rows = {"60 s of music": (frames, real), forced: (frames[:8], (arguments.tokens,))}
    precisions = {stepping.FLOAT32: ""}
    if jax.default_backend() == "cpu":
        precisions[stepping.INT8] = ", int8"
    rates = {}
    for name, (segments, lengths) in rows.items():
        for precision, remark in precisions.items():
            row = decode_mt3(settings, params, segments, lengths, precision, arguments.turns)
            if name == forced:
                row["steps_per_s"] = rates[precision] = arguments.tokens / row["wall_s"]["best"]
            results[name + remark] = row
            print(name + remark, json.dumps(row), flush=True)
    if arguments.ancestor_python:
        runner = Path(__file__).parent / "runners" / "run_ancestor.py"
        command = [arguments.ancestor_python, str(runner), arguments.ancestor_source, "8", str(arguments.tokens)]
        environment = {**os.environ, "PYTHONPATH": arguments.ancestor_path}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        theirs = json.loads(done.stdout.splitlines()[-1])
        theirs["steps_per_s"] = theirs["tokens"] / min(theirs["seconds"])
        results["ancestor"] = theirs
        for precision, rate in rates.items():
            theirs[f"ours_over_theirs{precisions[precision].replace(', ', '_')}"] = rate / theirs["steps_per_s"]
    return results


def measure_accelerator(arguments: argparse.Namespace) -> dict:
    """The ancestor's sizes with random weights in many lanes, and the bytes that must move over the rate of a copy."""
    import dataclasses

    import jax
    import jax.numpy as jnp
    import numpy as np

    from mt3lite import config, crews, lanes, network, stopwatch

    rng, length, num_lanes = np.random.default_rng(0), lanes.FIRST_RING, arguments.lanes
    results = {"device": jax.devices()[0].device_kind, "lanes": num_lanes, "tokens_a_segment": length}
    block = jnp.ones(1 << 28, jnp.float32)
    copy = jax.jit(lambda array: array + 1)
    rate = results["copy_bytes_per_s"] = 2 * block.nbytes / best_seconds(lambda: copy(block), arguments.turns)
    for dtype in ("bfloat16", "float32"):
        settings = config.preset("mt3")
        net = dataclasses.replace(settings.network, dtype=dtype)
        shape = settings.segments.input_frames, settings.spectrogram.num_bins
        params = jax.tree.map(functools.partial(jnp.asarray, dtype=dtype), random_params(net, rng))
        search = lanes.Search(network.Transformer(net), Forced((length,)), length)
        programs = lanes.Programs(search, params, shape, num_lanes=num_lanes, encode_batch=min(32, num_lanes))
        frames = rng.normal(-3, 2, (num_lanes, *shape)).astype(np.float32)
        decode_seconds = []
        for _ in range(1 + arguments.turns):
            watch = stopwatch.Stopwatch()
            decoded = dict(crews.Crews(programs, 1).decode(params, enumerate(frames), watch))
            decode_seconds.append(watch.seconds["decode"])
        assert all((each.tokens != 0).sum() == length for each in decoded.values())
        step = min(decode_seconds[1:]) / length
        width = jnp.dtype(dtype).itemsize
        row = 2 * net.num_decoder_layers * net.num_heads * net.head_dim * width  # keys and values of a position
        weights = sum(leaf.nbytes for leaf in jax.tree.leaves(params["decoder"]))
        moved = weights + num_lanes * row * (shape[0] + length / 2)  # of the rings what is filled, on average half
        results[dtype] = {
            "step_s": step,
            "tokens_per_s": num_lanes / step,
            "bytes_a_step": moved,
            "share_of_floor": moved / rate / step,
            "decode_s": decode_seconds,
        }
        print(dtype, json.dumps(results[dtype]), flush=True)
    return results


def best_seconds(call, turns: int) -> float:
    """Return the least time that a call with a JAX array as its result takes, after a first one."""
    call().block_until_ready()
    seconds = []
    for _ in range(turns):
        began = time.perf_counter()
        call().block_until_ready()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def clips_end_to_end(folder: Path, minutes: list[int]) -> dict[str, tuple[Path, int]]:
    """Write recordings of some minutes, the demo clip over and over; return path and seconds by name."""
    import soundfile

    samples, rate = soundfile.read(CLIP, dtype="int16")
    recordings = {f"{number} minutes": (folder / f"{number}.flac", 60 * number) for number in minutes}
    for path, seconds in recordings.values():
        with soundfile.SoundFile(path, "w", rate, 1) as file:
            for start in range(0, seconds * rate, len(samples)):
                file.write(samples[: seconds * rate - start])
    return recordings


def measure_long(arguments: argparse.Namespace) -> dict:
    """Whole processes on 10 minutes and on an hour of the demo clip, programs compiled before."""
    runs: dict[str, list[dict]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        cache, out = Path(temporary, "cache"), Path(temporary, "out")
        recordings = clips_end_to_end(Path(temporary), arguments.minutes)
        run_process(ours(CLIP, out), cache)
        for name, (path, seconds) in recordings.items():
            run = run_process(ours(path, out), cache)
            per_second = {"wall_per_s": run["wall_s"] / seconds, "cpu_per_s": run["cpu_s"] / seconds}
            runs[name] = [run | per_second]
    return {name: middle(each) for name, each in runs.items()}


def measure_pages(arguments: argparse.Namespace) -> dict:
    """Whole processes on the clip and on long recordings, with and without memory in pages of 2 MB, in turns."""
    runs: dict[str, list[dict]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        cache, out = Path(temporary, "cache"), Path(temporary, "out")
        recordings = {"clip": (CLIP, 31), **clips_end_to_end(Path(temporary), arguments.minutes)}
        run_process(ours(CLIP, out), cache)
        for turn in range(arguments.turns):
            for name, (path, seconds) in recordings.items():
                if turn and seconds > LONG_SECONDS:
                    continue  # once is enough
                for pages, tunable in (("small", "0"), ("2 MB", "1")):
                    variables = {"GLIBC_TUNABLES": f"glibc.malloc.hugetlb={tunable}"}
                    run = run_process(ours(path, out, "--overwrite"), cache, **variables)
                    runs.setdefault(f"{name}, {pages} pages", []).append(run)
    return {name: middle(each) for name, each in runs.items()}


def measure_folder(arguments: argparse.Namespace) -> dict:
    """A folder of short files against one file with the same sound."""
    import soundfile

    samples, rate = soundfile.read(CLIP, dtype="int16")
    results = {}
    with tempfile.TemporaryDirectory() as temporary:
        cache, folder, one = Path(temporary, "cache"), Path(temporary, "short"), Path(temporary, "one.flac")
        folder.mkdir()
        run_process(ours(CLIP, Path(temporary, "out")), cache)
        length, count = 2 * rate, arguments.files
        pieces = [samples[start : start + length] for start in range(0, len(samples) - length, length)]
        for number in range(count):
            soundfile.write(folder / f"{number}.flac", pieces[number % len(pieces)], rate)
        with soundfile.SoundFile(one, "w", rate, 1) as file:
            for number in range(count):
                file.write(pieces[number % len(pieces)])
        results["one file"] = run_process(ours(one, Path(temporary, "out")), cache)
        results[f"{count} files of 2 s"] = run_process(ours(folder, Path(temporary, "out"), "--jobs", "2"), cache)
    return results


def main() -> None:
    """Make the measurement that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    measurements = {name: globals()[f"measure_{name}"] for name in MEASUREMENTS}
    parser.add_argument("what", choices=measurements, nargs="+")
    parser.add_argument("--turns", type=int, default=3, help="how often (default: %(default)s)")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND", help="for process, see above")
    parser.add_argument("--peer-python", metavar="FILE", help="for warm: a Python that has basic-pitch")
    parser.add_argument("--ancestor-python", metavar="FILE", help="for mt3: a Python with what t5x needs")
    parser.add_argument("--ancestor-source", metavar="FOLDER", help="for mt3: a checkout of magenta/mt3")
    parser.add_argument("--ancestor-path", metavar="FOLDER", default="", help="for mt3: where that Python finds t5x")
    parser.add_argument("--tokens", type=int, default=1024, help="for mt3: forced (default: %(default)s)")
    parser.add_argument("--lanes", type=int, default=256, help="for accelerator (default: %(default)s)")
    parser.add_argument("--minutes", type=int, nargs="+", default=[10, 60], help="for long and pages (default: 10 60)")
    parser.add_argument("--files", type=int, default=1000, help="for folder (default: %(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder (default: benchmarks/results)")
    arguments = parser.parse_args()
    arguments.results.mkdir(parents=True, exist_ok=True)
    for name in filter(arguments.what.__contains__, MEASUREMENTS):
        results = {
            "machine": machine.describe("mt3lite", "jax", "jaxlib", "flax", "numpy", "scipy"),
            "results": measurements[name](arguments),
        }
        text = json.dumps(results, indent=2) + "\n"
        (arguments.results / f"speed-{name}.json").write_text(text, encoding="utf-8")
        for row, found in results["results"].items():
            print(row, json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
