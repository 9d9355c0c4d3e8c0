"""benchmarks/walk.py holds what was predicted against what came: on a table and a curve that are known."""

import json
import sys
from pathlib import Path

import pytest
import test_forecast

from mt3lite.training import forecast
from mt3lite.training.reports import CURVE_COLUMNS
from mt3lite.training.settings import TrainConfig

pytest.importorskip("pretty_midi", reason="pip install 'mt3lite[train]'", exc_type=ImportError)
FOLDER = Path(__file__).parent.parent / "benchmarks"
sys.path.insert(0, str(FOLDER))
import walk  # noqa: E402

sys.path.remove(str(FOLDER))
TRAIN = TrainConfig(num_steps=20, batch_size=8, log_every=2)  # 4 updates listen, 6 read, 10 do both


@pytest.fixture
def run(tmp_path) -> Path:
    """A curve whose phases make 16, 40 and 8 examples a second, but for a slow first row; 100 tokens a batch."""
    lines = [",".join(CURVE_COLUMNS)]
    for step in range(2, 21, 2):
        speed = 1.0 if step == 2 else 16.0 if step <= 4 else 40.0 if step <= 10 else 8.0
        values = dict.fromkeys(CURVE_COLUMNS, 0.0) | {"step": step, "examples_per_second": speed}
        values["tokens_per_second"] = 0.0 if step <= 4 else speed / 8 * 100
        lines.append(",".join(str(values[name]) for name in CURVE_COLUMNS))
    (tmp_path / "curve.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_what_was_measured(run):
    found = walk.measured(run, TRAIN)
    assert found["examples_per_second"] == {"encoder": 8.5, "decoder": 40.0, "both": 8.0}  # the median of 1 and 16
    assert found["tokens_a_batch"] == pytest.approx(100)
    seconds = 4 * 8 / 8.5 + 6 * 8 / 40 + 10 * 8 / 8
    assert found["million_tokens_a_day"] == pytest.approx(86400 * 16 * 100 / seconds / 1e6)


def test_what_was_predicted_and_the_tables(run):
    told = walk.predicted(forecast.table(test_forecast.FOUND))
    assert told == {
        "examples_per_second": {"encoder": 16.0, "decoder": 40.0, "both": 8.0},
        "tokens_a_batch": 864.0,
        "peak_mib": 1024.0,
        "million_tokens_a_day": 90.48,
    }
    came = walk.measured(run, TRAIN) | {"peak_mib": 1000}
    known = {"tiny": {"seconds": {"train": 12.3}, "predicted": told, "measured": came}}
    lines = walk.tables(json.loads(json.dumps(known))).splitlines()
    assert "| `train` | 12 s |" in lines
    assert "| examples a second, the decoder alone | 40.0, 40.0 |" in lines
    assert "| memory of the process, MiB | 1024, 1000 |" in lines


def test_a_package_that_is_not_installed_has_no_version():
    """As mt3lite itself on a machine that it was only carried to."""
    versions = walk.machine.describe("jax", "no-such-package")["versions"]
    assert versions["no-such-package"] is None and versions["jax"][0].isdigit()
