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


WITHOUT_TENSORFLOW = """
import importlib, pkgutil, sys

asked = []

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {refused}:
            asked.append(name)
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Refusing())
import mt3lite
names = [module.name for module in pkgutil.walk_packages(mt3lite.__path__, "mt3lite.")]
names = [name for name in names if not name.startswith("mt3lite.adapters.") and not name.endswith("__main__")]
for name in names:
    importlib.import_module(name)

import numpy as np
from mt3lite import audio, config, metrics, notes, segments
from mt3lite.training import datasets, examples, loader

played = notes.from_rows([(0.5, 1.0, 60, 80, 0, False)])
notes.write_midi(played, "a.mid")
audio.write_wav("a.wav", np.zeros(48000, np.float32), 16000)
tiny = config.preset("tiny")
track = datasets.Track("a", "train", "a.wav", "a.mid", 3.0)
example = loader.example_dataset([track], tiny, examples.AugmentConfig(), seed=0)[0]
assert segments.compute_frames(example["samples"], tiny.spectrogram, tiny.segments).shape == (228, 294)
assert metrics.score(played, notes.read_midi("a.mid"))["Onset F1"] == 1.0
print(len(names), *asked)
"""


def test_nothing_outside_adapters_asks_for_tensorflow(tmp_path):
    """Every module is imported, and data goes its way, where TensorFlow and what needs it cannot be imported."""
    script = WITHOUT_TENSORFLOW.replace("{refused}", repr(("tensorflow", "tensorflow_datasets", "seqio", "t5x", "gin")))
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    number, *asked = ran.stdout.split()
    assert int(number) > 40
    assert asked == []


def test_every_public_name_is_there():
    for name in mt3lite.__all__:
        assert getattr(mt3lite, name) is not None
    assert set(mt3lite.__all__) <= set(dir(mt3lite))


def test_other_names_are_refused():
    with pytest.raises(AttributeError, match="module 'mt3lite' has no attribute 'transcibe'"):
        mt3lite.transcibe  # noqa: B018


def test_a_note_sequence_comes_without_warnings():
    """What note-seq imports warns of ffmpeg, and of a module that Python drops; here a warning is an error."""
    script = "from mt3lite import notes; print(len(notes.to_note_sequence(notes.empty()).notes))"
    ran = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("0\n", "")
