"""T5X checkpoints with damage, and the cache of compiled programs."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutation import DEEP, VALUES, damaged
from surviving import fuzz, survive

from mt3lite import kept_programs

pytest.importorskip("tensorstore", reason="pip install 'mt3lite[train]'", exc_type=ImportError)

LEGACY = Path(__file__).parent.parent / "golden" / "network" / "ckpt_legacy" / "checkpoint_1234"
ZARR = "target.decoder.layers_0.mlp.wo.kernel"


@pytest.fixture(scope="module")
def opened():
    """Return what reads a checkpoint whole, with the settings that fit the golden one."""
    import dataclasses

    from mt3lite import config
    from mt3lite.adapters import t5x_checkpoint

    mt3 = config.preset("mt3")
    sizes = {"emb_dim": 64, "num_heads": 4, "head_dim": 16, "num_encoder_layers": 2, "num_decoder_layers": 2}
    settings = dataclasses.replace(mt3, network=dataclasses.replace(mt3.network, **sizes, mlp_dim=128))

    def read(folder) -> dict:
        return t5x_checkpoint.load(t5x_checkpoint.open_checkpoint(folder), settings)

    assert read(LEGACY)
    return read


def shown_damaged(copy: Path, name: str, read, cases: int) -> None:
    """Read a checkpoint of which one file is damaged."""
    whole = (copy / name).read_bytes()
    header = len(whole) if len(whole) < 20_000 else 4096

    @fuzz(cases)
    @given(st.one_of(damaged(whole, header=header), st.sampled_from(DEEP).map(str.encode)))
    def shown(content):
        (copy / name).write_bytes(content)
        survive(f"T5X checkpoints, damaged: {name.rpartition('/')[2]}", read, copy)

    shown()


@pytest.mark.parametrize(("name", "cases"), [("checkpoint", 60), (f"{ZARR}/.zarray", 60), (f"{ZARR}/0.0", 25)])
def test_damaged_files(tmp_path, opened, name, cases):
    shown_damaged(Path(shutil.copytree(LEGACY, tmp_path / "copy")), name, opened, cases)


def test_headers_of_other_values(tmp_path, opened):
    import json

    copy = Path(shutil.copytree(LEGACY, tmp_path / "copy"))
    header = json.loads((copy / ZARR / ".zarray").read_text())

    @fuzz(60)
    @given(st.sampled_from(sorted(header)), st.one_of(VALUES, st.lists(VALUES, max_size=3)))
    def shown(key, value):
        (copy / ZARR / ".zarray").write_text(json.dumps({**header, key: value}))
        survive("T5X checkpoints, damaged: .zarray", opened, copy)

    shown()


def test_a_damaged_program_is_never_unpickled(tmp_path, monkeypatch):
    """What of a kept program is not whole is not looked into."""
    monkeypatch.setattr(kept_programs.pickle, "loads", lambda content: pytest.fail("unpickled what is not whole"))
    kept = kept_programs.Folder(tmp_path, ["one"])
    path, whole = kept._file(("run",)), bytes(range(256)) * 8

    @fuzz(60)
    @given(damaged(whole))
    def shown(content):
        path.write_bytes(content)
        assert survive("kept programs, damaged", kept.read, ("run",)) is None

    shown()
