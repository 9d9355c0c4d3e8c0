"""A virtual environment for each tool that is measured, made from what its authors publish.

    python benchmarks/environments.py VENVS [TOOL ...]

makes VENVS/TOOL for each tool, or leaves one alone that was made by the same steps. Some steps need a reason:

* basic-pitch asks for TensorFlow on Python 3.11, although it runs on ONNX as well; so it is installed without its
  dependencies, and those it uses are named here.
* transkun imports ``pkg_resources``, which setuptools 81 no longer has, and asks for packages that only its training
  needs; so the same is done for it. Of torchaudio it calls one function, which is Python; the compiled part of PyPI's
  torchaudio fits PyPI's torch alone, that for GPUs, and keeps torchaudio from loading beside any other. It is deleted.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAMP = "made-by.json"


@dataclass(frozen=True)
class Environment:
    """What to install, one ``pip install`` a step."""

    steps: tuple[tuple[str, ...], ...]
    distribution: str  # whose version is told
    deleted: tuple[str, ...] = ()  # globs below site-packages


ENVIRONMENTS = {
    "mt3lite": Environment(((str(ROOT),),), "mt3lite"),
    "basic-pitch": Environment(
        (
            ("--no-deps", "basic-pitch==0.4.0"),
            (
                "numpy<2", "librosa>=0.8", "mir_eval>=0.6", "pretty_midi>=0.2.9", "resampy>=0.2.2,<0.4.3",
                "scikit-learn", "scipy", "typing-extensions", "onnxruntime", "setuptools<81",
            ),
        ),
        "basic-pitch",
    ),
    "transkun": Environment(
        (
            ("torch==2.13.0",),  # the CPU's, where pip is told of one; from PyPI it is the GPU's, some gigabytes more
            ("--no-deps", "transkun==2.0.1", "torchaudio==2.11.0"),
            (
                "numpy", "scipy", "ncls", "pretty_midi", "mir_eval", "pydub", "soxr", "moduleconf", "torch-optimizer",
                "tqdm", "setuptools<81",
            ),
        ),
        "transkun",
        deleted=("torchaudio/lib/*.so",),
    ),
}  # fmt: skip


def make(tool: str, folder: Path) -> Path:
    """Make the environment of a tool in ``folder/tool``, unless it is there; return its Python.

    Raises:
        SystemExit: a step fails; pip has then told why.
    """
    home = folder / tool
    python = home / "bin" / "python"
    made_by = _made_by(tool)
    stamp = home / STAMP
    before = json.loads(stamp.read_text()) if stamp.is_file() else {}
    if before == made_by:
        return python
    steps = ENVIRONMENTS[tool].steps
    if before | {"sources": None} == made_by | {"sources": None}:
        steps = (("--no-deps", "--force-reinstall", str(ROOT)),)  # what it needs is there
    else:
        print(f"making {home}", file=sys.stderr)
        if home.exists():
            shutil.rmtree(home)
        venv.create(home, with_pip=True)
    for step in steps:
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *step]
        if subprocess.run(command).returncode:
            raise SystemExit(f"{tool}: this step failed: {' '.join(command)}")
    for pattern in ENVIRONMENTS[tool].deleted:
        for path in packages_folder(tool, folder).glob(pattern):
            path.unlink()
    stamp.write_text(json.dumps(made_by, indent=1))
    return python


def _made_by(tool: str) -> dict:
    """What an environment follows from: its steps and, for mt3lite, the package's files."""
    made_by = {"python": sys.version.split()[0], "steps": [list(step) for step in ENVIRONMENTS[tool].steps]}
    if tool == "mt3lite":
        made_by["setup"] = hashlib.sha256((ROOT / "setup.py").read_bytes()).hexdigest()
        made_by["sources"] = sources_digest()
    return made_by


def sources_digest() -> str:
    """Return the SHA-256 of the package's files."""
    digest = hashlib.sha256()
    for path in sorted(path for path in (ROOT / "mt3lite").rglob("*") if path.is_file() and path.suffix != ".pyc"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def packages_folder(tool: str, folder: Path) -> Path:
    """Return where the packages of an environment are."""
    (packages,) = (folder / tool / "lib").glob("python*/site-packages")
    return packages


def version(tool: str, folder: Path) -> str:
    """Return the version that is installed."""
    code = f"import importlib.metadata as m; print(m.version({ENVIRONMENTS[tool].distribution!r}))"
    command = [str(folder / tool / "bin" / "python"), "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def installed_megabytes(tool: str, folder: Path) -> float:
    """Return the size of the environment's packages, without pip and setuptools; hard links count once."""
    packages = packages_folder(tool, folder)
    sizes = {}
    for path in packages.rglob("*"):
        if path.relative_to(packages).parts[0].startswith(("pip", "setuptools", "pkg_resources")):
            continue
        if path.is_file() and not path.is_symlink() and path.suffix != ".pyc":
            sizes[path.stat().st_ino] = path.stat().st_size
    return sum(sizes.values()) / 1e6


def main() -> None:
    """Make the environments that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("venvs", type=Path)
    parser.add_argument("tools", nargs="*", help=f"of {', '.join(ENVIRONMENTS)} (default: all)")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.tools) - set(ENVIRONMENTS))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    for tool in arguments.tools or ENVIRONMENTS:
        make(tool, arguments.venvs)
        print(f"{tool} {version(tool, arguments.venvs)}: {installed_megabytes(tool, arguments.venvs):.0f} MB")


if __name__ == "__main__":
    main()
