"""Builds the sdist and the wheel into dist/, looks into both, and uses the wheel as somebody new would, offline.

For the newest of the Pythons that setup.py names and this machine has, or those given (tests run on an older one):
an empty virtual environment gets the wheel and what it asks for, no extras; then, in an empty folder and without a
network, the example clip is transcribed by the command, by ``python -m mt3lite`` and from Python, and wrong input is
told in one line.

    .venv/bin/python .ci/check_wheel.py [3.11 3.12 ...]
"""

import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
CLIP = ROOT / "data" / "demo" / "clip.flac"
MIB = 2**20
# A transcription from Python, where a warning is an error: libraries shall not greet the user with any.
FROM_PYTHON = """
import sys
import mt3lite
assert not {"jax", "note_seq", "numpy"} & set(sys.modules), "import mt3lite loads heavy libraries"
sequence = mt3lite.transcribe("clip.flac")
print(type(sequence).__name__, len(sequence.notes), mt3lite.__file__)
"""
# Lines of command, exit code, and what its one line on standard error must hold.
REFUSED = [
    (["transcribe", "broken.wav"], 1, "broken.wav: "),
    (["transcribe", "missing.wav"], 1, "missing.wav: "),
    (["transcribe", "clip.flac"], 1, "clip.mid"),  # which is there already
    (["transcribe", "clip.flac", "--overwrite", "--plot"], 1, "pip install 'mt3lite[plot]'"),
    (["train", "--data", ".", "--workdir", "run", "--minutes", "1"], 1, "pip install 'mt3lite[train]'"),
]


def main(wanted: list[str]) -> None:
    """Build, look into, install and use the wheel under the Pythons `wanted`."""
    started = time.perf_counter()
    wheel, sdist = build()
    check_contents(wheel, sdist)
    named = declared_pythons(wheel)
    found = {version: path for version in named if (path := find_python(version))}
    chosen = wanted or list(found)[-1:]
    if missing := [version for version in chosen if version not in found]:
        sys.exit(f"no Python {', '.join(missing)} found")
    for version in chosen:
        try_python(version, found[version], wheel)
    for version in named:
        if version not in chosen:
            why = "a run by its name would try it" if version in found else "it is not on this machine"
            print(f"== Python {version} was not tried: {why}")
    print(f"== {wheel.name} works on Python {', '.join(chosen)} ({time.perf_counter() - started:.0f} s in all)")


def build() -> tuple[Path, Path]:
    """Make the sdist, from it the wheel, and from the unpacked sdist another sdist with the same files."""
    print("== Building sdist and wheel into dist/", flush=True)
    for old in DIST.glob("mt3lite-*"):
        old.unlink()
    run([sys.executable, "-m", "build", "--outdir", DIST, ROOT])
    (wheel,), (sdist,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    run([sys.executable, "-m", "twine", "check", "--strict", wheel, sdist])
    with tempfile.TemporaryDirectory() as folder, tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
        (unpacked,) = Path(folder).iterdir()
        run([sys.executable, "-m", "build", "--sdist", "--outdir", folder, unpacked])
        assert names_in(next(Path(folder).glob("*.tar.gz"))) == names_in(sdist), "an sdist of the sdist differs"
    return wheel, sdist


def names_in(archive: Path) -> set[str]:
    """Return the files of a wheel, or of an sdist without its top folder."""
    if archive.suffix == ".whl":
        return set(zipfile.ZipFile(archive).namelist())
    with tarfile.open(archive) as opened:
        return {member.name.partition("/")[2] for member in opened if member.isfile()}


def check_contents(wheel: Path, sdist: Path) -> None:
    """See that the wheel holds package, weights, recipes, the clip and metadata, and neither archive anything else."""
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "mt3lite").rglob("*.py")}
    package |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "mt3lite" / "assets").glob("*/*")}
    package |= {"mt3lite/py.typed"}
    assert {"mt3lite/assets/small/model.safetensors", "mt3lite/assets/small/config.json"} <= package
    recipes = {path.relative_to(ROOT).as_posix() for path in (ROOT / "gin").glob("*.gin")}
    clip = {f"data/demo/{name}" for name in ("clip.flac", "clip.mid")}
    assert recipes
    metadata = re.compile(r"mt3lite-[\d.]+\.dist-info/")
    in_wheel = {name for name in names_in(wheel) if not metadata.match(name)}
    same("the wheel", in_wheel, package | {f"mt3lite/{name.removeprefix('data/')}" for name in recipes | clip})
    in_sdist = {name for name in names_in(sdist) if not name.startswith("mt3lite.egg-info/")}
    files = {"setup.py", "setup.cfg", "pyproject.toml", "PKG-INFO", "README.md", "LICENSE", "CHANGELOG.md"}
    same("the sdist", in_sdist - {"MANIFEST.in"}, package | recipes | clip | files)
    print(f"   {wheel.name}: {wheel.stat().st_size / MIB:.1f} MiB, {len(in_wheel)} files;", end=" ")
    print(f"{sdist.name}: {sdist.stat().st_size / MIB:.1f} MiB", flush=True)


def same(what: str, came: set[str], wanted: set[str]) -> None:
    """Stop where an archive lacks files or has some too many."""
    assert came == wanted, f"{what} lacks {sorted(wanted - came)[:5]}, and has {sorted(came - wanted)[:5]} too many"


def declared_pythons(wheel: Path) -> list[str]:
    """Return the Pythons that the wheel says it is for, oldest first."""
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    classifiers = email.message_from_bytes(archive.read(name)).get_all("Classifier")
    found = [each for line in classifiers for each in re.findall(r"Python :: (3\.\d+)$", line)]
    return sorted(found, key=lambda version: int(version.partition(".")[2]))


def find_python(version: str) -> str | None:
    """Return the program of a Python: this one, one on the path, or one of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    places = [sys.executable, shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"))]
    for place in filter(None, places):
        asked = [place, "-c", "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"]
        answer = subprocess.run(asked, capture_output=True, text=True, check=False)  # pyenv's stand-ins may refuse
        if answer.stdout.strip() == version:
            return os.fspath(place)
    return None


def try_python(version: str, python: str, wheel: Path) -> None:
    """Install the wheel into an empty environment, and use it in an empty folder without a network."""
    print(f"== Python {version}: installing the wheel and what it needs into an empty environment", flush=True)
    with tempfile.TemporaryDirectory(prefix="mt3lite-wheel-") as folder:
        environment, work = Path(folder) / "venv", Path(folder) / "a folder of Zoë's"
        work.mkdir()
        began = time.perf_counter()
        run([python, "-m", "venv", environment])
        before = size_of(environment)
        program = environment / "bin" / "python"
        run([program, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel])
        run([program, "-m", "pip", "check"])
        installed = (size_of(environment) - before) / MIB
        print(f"   {installed:.0f} MiB installed in {time.perf_counter() - began:.0f} s", flush=True)
        use(environment / "bin", work, wheel)


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def use(programs: Path, work: Path, wheel: Path) -> None:
    """Go through what the README promises."""
    shutil.copy(CLIP, work / "clip.flac")
    (work / "broken.wav").write_text("no sound in here\n")
    began = time.perf_counter()
    told = offline([programs / "mt3lite", "transcribe", "clip.flac"], work)
    (count,) = re.findall(r"^clip.flac -> clip.mid: (\d+) notes", told)
    first = time.perf_counter() - began
    began = time.perf_counter()
    again = offline([programs / "python", "-m", "mt3lite", "transcribe", "clip.flac", "--output-dir", "again"], work)
    second = time.perf_counter() - began
    assert f" {count} notes" in again, again
    midi = (work / "clip.mid").read_bytes()
    assert midi.startswith(b"MThd") and (work / "again" / "clip.mid").read_bytes() == midi
    from_python = offline([programs / "python", "-W", "error", "-c", FROM_PYTHON], work)
    assert from_python.startswith(f"NoteSequence {count} {programs.parent}"), from_python
    scores = offline([programs / "mt3lite", "evaluate", "clip.mid", "again/clip.mid"], work)
    assert "1.000" in scores, scores
    version = offline([programs / "mt3lite", "--version"], work)
    assert version == f"mt3lite {wheel.name.split('-')[1]}\n", version
    for arguments, code, wanted in REFUSED:
        refusal = offline([programs / "mt3lite", *arguments], work, code=code)
        assert refusal.count("\n") == 1 and wanted in refusal, f"{arguments}: {refusal}"
    print(
        f"   {count} notes in the clip, transcribed in {first:.1f} s, again in {second:.1f} s; refusals as they", end=""
    )
    print(f" should be; no network{'' if without_network() else ' asked for (it could not be cut off)'}", flush=True)


def offline(command: list, work: Path, *, code: int = 0) -> str:
    """Run a command in `work` without a network; return what it wrote, on standard error for a wanted failure."""
    nowhere = "http://127.0.0.1:9"  # the port of "discard", for libraries that ask when there is no other way
    environment = clean_environment() | {"https_proxy": nowhere, "http_proxy": nowhere}
    environment["XDG_CACHE_HOME"] = str(work.parent / "cache")  # nothing is compiled yet
    ran = subprocess.run(
        [*without_network(), *command], cwd=work, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == code, f"{command}: exit code {ran.returncode}, wanted {code}\n{ran.stdout}{ran.stderr}"
    if code:
        return ran.stderr
    assert not ran.stderr, f"{command} complained: {ran.stderr}"
    return ran.stdout


def without_network() -> list[str]:
    """Return what to put before a command so that it has no network; nothing where that is not allowed."""
    for prefix in (["unshare", "--net"], ["unshare", "--user", "--map-root-user", "--net"]):
        if (
            shutil.which("unshare")
            and subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
        ):
            return prefix
    return []


def clean_environment() -> dict[str, str]:
    """Return the variables without those that lead Python to this checkout, or JAX to settings of this machine."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "JAX", "XLA"))}


def run(command: list) -> None:
    """Run a command; stop with all that it wrote when it fails."""
    ran = subprocess.run(
        command, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if ran.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit code {ran.returncode}\n{ran.stdout}")


if __name__ == "__main__":
    main(sys.argv[1:])
