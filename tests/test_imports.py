"""What importing the package brings in, seen from a fresh interpreter."""

import subprocess
import sys

import pytest

import mt3lite

HEAVY = ("numpy", "scipy", "jax", "flax", "tensorflow", "note_seq", "librosa", "matplotlib", "fluidsynth", "mir_eval")


def loaded_after(statement: str) -> list[str]:
    """Return which heavy libraries a fresh interpreter has loaded after a statement."""
    script = f"import sys\n{statement}\nprint(*(name for name in {HEAVY} if name in sys.modules))"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()


def test_the_package_loads_nothing_heavy():
    assert loaded_after("import mt3lite; mt3lite.__version__; mt3lite.InputError; dir(mt3lite)") == []


@pytest.mark.parametrize("arguments", [["--help"], ["transcribe", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments):
    statement = "import contextlib, io; from mt3lite import cli\n"
    statement += (
        f"with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit): cli.main({arguments})"
    )
    assert loaded_after(statement) == []


def test_transcribing_loads_only_what_it_needs():
    unwanted = {"tensorflow", "note_seq", "librosa", "matplotlib", "fluidsynth", "mir_eval"}
    assert unwanted.isdisjoint(loaded_after("from mt3lite.commands import transcribe"))


def test_every_public_name_is_there():
    for name in mt3lite.__all__:
        assert getattr(mt3lite, name) is not None
    assert set(mt3lite.__all__) <= set(dir(mt3lite))


def test_other_names_are_refused():
    with pytest.raises(AttributeError, match="module 'mt3lite' has no attribute 'transcibe'"):
        mt3lite.transcibe  # noqa: B018
