"""``mt3lite transcribe``: recordings to files of notes, pictures and sound.

Recordings are decoded together; threads read those that come next and write what is done. Whatever the order in which
all that ends, it is told in the order of the recordings.
"""

import argparse
import contextlib
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import tqdm

from mt3lite import audio, beats, notes, outputs, plot, standard_error, stopwatch, transcriber, tuning
from mt3lite.beats import Beats
from mt3lite.commands import beside, compilation, jobs, sonify
from mt3lite.errors import InputError, printable
from mt3lite.transcriber import Transcriber, Transcription

PNG, WAV = "png", jobs.SONIFIED_SUFFIX.removeprefix(".")
_DRAWING = threading.Lock()  # matplotlib is not made for several threads
# What --verbose tells, in this order: the command's own stops and those of `Transcription.timings`.
STOPS = ("start", "load", "compile", "read", "spectrogram", "encode", "decode", "assemble", "beats", "write")


@dataclass
class _Screen:
    """What the user sees: lines on stdout, problems on stderr, and below them one progress bar for all recordings."""

    bar: tqdm.tqdm
    quiet: bool
    num_problems: int = 0

    def say(self, line: str) -> None:
        """Print a line, unless --quiet."""
        if not self.quiet:
            with self.bar.external_write_mode():
                print(printable(line), flush=True)

    def complain(self, line: str) -> None:
        """Print one line about something that could not be done."""
        self.num_problems += 1
        with self.bar.external_write_mode():
            standard_error.tell(line)


def run(arguments: argparse.Namespace) -> int:
    """Do the command; return the exit code.

    Raises:
        InputError: something that concerns all of the work: an output in the way, no such model.
    """
    watch = stopwatch.Stopwatch()
    watch.seconds["start"] = time.perf_counter() - arguments.started
    recordings, problems = jobs.find_recordings(arguments.paths)
    planned = _plan(recordings, arguments)
    soundfont = sonify.check_installed(arguments.soundfont) if arguments.sonify else None
    hidden = arguments.quiet or not sys.stderr.isatty()
    with tqdm.tqdm(unit="s", desc="audio", disable=hidden, leave=False) as bar:
        screen = _Screen(bar, arguments.quiet)
        for problem in problems:
            screen.complain(problem)
        if planned:
            _transcribe_all(planned, arguments, soundfont, screen, watch)
    if arguments.verbose:
        print(_time_split(watch.seconds, time.perf_counter() - arguments.started))
    return 1 if screen.num_problems else 0


def _transcribe_all(
    planned: list[jobs.Job],
    arguments: argparse.Namespace,
    soundfont: Path | None,
    screen: _Screen,
    watch: stopwatch.Stopwatch,
) -> None:
    """Load the model, transcribe each recording and write what comes of it; report those that are bad."""
    with watch.measure("load"):
        loaded = transcriber.load(arguments.model, program_folder=compilation.folder(), precision=arguments.precision)
        loaded.prepare(only=arguments.instruments, batch_size=arguments.batch_size)
    if not screen.bar.disable:
        threading.Thread(target=_count_seconds, args=(planned, screen.bar), daemon=True).start()

    def tell(done: tuple[str, dict[str, float]] | InputError) -> None:
        if isinstance(done, InputError):
            screen.complain(str(done))
        else:
            line, seconds = done
            screen.say(line)
            watch.add(seconds)

    with beside.in_order(arguments.jobs, tell) as writing:

        def progress(done_seconds: float) -> None:
            screen.bar.update(round(done_seconds) - screen.bar.n)
            writing.tell()

        results = loaded.transcribe_all(
            [job.recording for job in planned],
            only=arguments.instruments,
            batch_size=arguments.batch_size,
            tuning_hz=arguments.tuning,
            jobs=arguments.jobs,
            progress=progress,
        )
        with contextlib.closing(results):
            for job, result in zip(planned, results, strict=True):
                writing.put(_finish, result, job, loaded, soundfont, arguments)


def _count_seconds(planned: list[jobs.Job], bar: tqdm.tqdm) -> None:
    """Tell the bar how long all recordings are together, by their headers; those of some formats take long to read."""
    bar.total = round(sum(_duration_seconds(job.recording) for job in planned))


def _plan(recordings: list[jobs.Recording], arguments: argparse.Namespace) -> list[jobs.Job]:
    """Settle all outputs and see that they can be made."""
    if arguments.plot:
        plot.check_installed()
    kinds = [*arguments.format, *[PNG] * arguments.plot, *[WAV] * arguments.sonify]
    planned = jobs.plan(recordings, kinds, output=arguments.output, output_dir=arguments.output_dir)
    jobs.check_outputs(planned, overwrite=arguments.overwrite, make_folders=arguments.output_dir is not None)
    return planned


def _duration_seconds(recording: Path) -> float:
    """Return how long a recording is by its header, 0 for one that will be complained about in its turn."""
    try:
        return audio.info(recording).duration_seconds
    except InputError:
        return 0.0


def _finish(
    result: Transcription | InputError,
    job: jobs.Job,
    loaded: Transcriber,
    soundfont: Path | None,
    arguments: argparse.Namespace,
) -> tuple[str, dict[str, float]]:
    """Write the outputs of a job; return what to say of it and how long it took.

    Raises:
        InputError: it is the result; or an output cannot be written.
    """
    if isinstance(result, InputError):
        raise result
    watch = stopwatch.Stopwatch()
    watch.add(result.timings)
    found = None
    if arguments.beats or arguments.tempo or arguments.bar:
        with watch.measure("beats"):
            found = beats.track(result.notes, per_minute=arguments.tempo, per_bar=arguments.bar)
    with watch.measure("write"):
        _write(result, found, job, loaded, soundfont)
    return _summary(result, found, job, loaded, arguments.verbose), watch.seconds


def _write(
    transcription: Transcription, found: Beats | None, job: jobs.Job, loaded: Transcriber, soundfont: Path | None
) -> None:
    """Write the outputs of a job, with the beats that were found."""
    granularity = loaded.model.config.codec.granularity
    about = {
        "recording": job.recording.name,
        "model": loaded.model.config.name,
        "duration_seconds": round(transcription.duration_seconds, 6),
        "tuning_hz": round(transcription.tuning_hz, 3),
    }
    if found:
        about["beats_seconds"] = found.seconds.round(6).tolist()
        about["downbeats_seconds"] = found.downbeat_seconds.round(6).tolist()
    for kind, path in job.outputs.items():
        if kind == "mid":
            notes.write_midi(transcription.notes, path, beats=found)
        elif kind == "csv":
            outputs.write_csv(transcription.notes, path, granularity=granularity)
        elif kind == "json":
            outputs.write_json(transcription.notes, path, granularity=granularity, about=about)
        elif kind == PNG:
            with _DRAWING:
                plot.write_piano_roll(
                    transcription.notes,
                    path,
                    title=job.recording.name,
                    duration_seconds=transcription.duration_seconds,
                    granularity=granularity,
                    bar_seconds=found.downbeat_seconds if found else None,
                )
        else:
            sonify.write(transcription.notes, job.recording, path, soundfont, transcription.tuning_hz)


def _summary(
    transcription: Transcription, found_beats: Beats | None, job: jobs.Job, loaded: Transcriber, verbose: bool
) -> str:
    """Tell what was found and where it is, in one line."""
    groups = outputs.by_instrument(transcription.notes, loaded.model.config.codec.granularity)
    if groups:
        counts = ", ".join(f"{name} {len(mine)}" for name, mine in groups.items())
        plural = "s" * (len(transcription.notes) != 1)
        found = f"{len(transcription.notes)} note{plural} in {transcription.duration_seconds:.1f} s ({counts})"
    elif transcription.silent_segments == transcription.num_segments:
        found = "no notes: the recording is silent"
    else:
        found = "no notes found"
    if transcription.tuning_hz != tuning.A4_HZ:
        found += f"; its A is at {transcription.tuning_hz:.0f} Hz"
    if found_beats:
        tempo = found_beats.per_minute
        found += f"; {tempo:.0f} beats a minute" if tempo > 0 else "; no beats found"
        found += f", {found_beats.per_bar} in a bar" * (found_beats.per_bar > 0)
    if verbose:
        found += f"; tokens skipped: {transcription.invalid_events} invalid, {transcription.dropped_events} dropped"
    return f"{job.recording} -> {', '.join(map(str, job.outputs.values()))}: {found}"


def _time_split(seconds: dict[str, float], all_seconds: float) -> str:
    """Tell where the time went. Reading, the spectrogram and writing run beside the rest: the rows may sum to more."""
    rows = [(name, seconds[name]) for name in STOPS if name in seconds]
    return "\n".join(f"{name:<12} {spent:7.2f} s" for name, spent in [*rows, ("all", all_seconds)])
