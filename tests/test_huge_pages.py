"""The command starts itself again with large pages: once, with its arguments, and only where it is a process's own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mt3lite.commands import huge_pages

# Every interpreter that starts adds a line.
RECORDER = """
import json, os, sys
with open(os.environ["STARTS"], "a") as file:
    seen = os.getpid(), sys.orig_argv[1:], sys.flags.utf8_mode, os.environ.get("GLIBC_TUNABLES")
    print(json.dumps(seen), file=file)
"""
needs_pages = pytest.mark.skipif(not huge_pages.offered(), reason="this system has no large pages to ask for")


def starts(tmp_path: Path, *arguments: str, **variables: str) -> tuple[int, list[list]]:
    """Run a command: its exit code, and what was seen at each start of its interpreter."""
    (tmp_path / "sitecustomize.py").write_text(RECORDER)
    root = Path(huge_pages.__file__).parents[2]
    inherited = {name: value for name, value in os.environ.items() if name != huge_pages.VARIABLE}
    path = f"{tmp_path}{os.pathsep}{root}"
    environment = inherited | {"PYTHONPATH": path, "STARTS": str(tmp_path / "starts")} | variables
    command = [sys.executable, "-X", "utf8", "-m", "mt3lite", *arguments]
    ended = subprocess.run(command, capture_output=True, timeout=120, env=environment)
    return ended.returncode, [json.loads(line) for line in (tmp_path / "starts").read_text().splitlines()]


@needs_pages
def test_training_starts_again_once_and_unharmed(tmp_path):
    arguments = ["train", "--data", "two words\n*", "--workdir", "", "--steps", "x"]
    code, (first, second) = starts(tmp_path, *arguments)
    assert code == 2  # of the one that started again: 'x' is no number
    assert first[1] == [
        "-X",
        "utf8",
        "-m",
        "mt3lite",
        "train",
        "--data",
        "two words\n*",
        "--workdir",
        "",
        "--steps",
        "x",
    ]
    assert first[:3] == second[:3]  # the process, its arguments and Python's own
    assert (first[3], second[3]) == (None, huge_pages.TUNABLES)


@needs_pages
@pytest.mark.parametrize(
    ("arguments", "variables"),
    [(["train"], {huge_pages.VARIABLE: ""}), (["--version"], {}), ([], {})],
    ids=["the user's choice", "another command", "no command"],
)
def test_what_is_to_be_left_alone_starts_once(tmp_path, arguments, variables):
    code, seen = starts(tmp_path, *arguments, **variables)
    assert code == (0 if arguments == ["--version"] else 2)
    assert len(seen) == 1


@pytest.fixture
def as_process(monkeypatch):
    """Let this process seem to be `mt3lite train` on a system with large pages; return the calls of execve."""
    calls = []
    monkeypatch.setattr(sys, "argv", ["mt3lite", "train", "--steps", "1"])
    monkeypatch.setattr(sys, "orig_argv", ["python", "/bin/mt3lite", "train", "--steps", "1"])
    monkeypatch.setattr(huge_pages, "offered", lambda: True)
    monkeypatch.setattr(os, "execve", lambda *call: calls.append(call))
    monkeypatch.delenv(huge_pages.VARIABLE, raising=False)
    return calls


def test_the_interpreter_is_the_same(as_process):
    huge_pages.restart()
    ((program, words, environment),) = as_process
    assert program == sys.executable
    assert words == [sys.executable, "/bin/mt3lite", "train", "--steps", "1"]
    assert environment == {**os.environ, huge_pages.VARIABLE: huge_pages.TUNABLES}


def test_arguments_that_are_not_the_process_s_own(as_process, monkeypatch):
    """Somebody's program sets sys.argv and calls the command: it must not be replaced."""
    monkeypatch.setattr(sys, "orig_argv", ["python", "train_all.py"])
    huge_pages.restart()
    assert as_process == []


def test_a_system_that_refuses_is_no_error(as_process, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "execve", refuse)
    huge_pages.restart()


@pytest.mark.parametrize(
    ("setting", "library", "expected"),
    [
        ("always [madvise] never\n", "glibc 2.36", True),
        ("always [madvise] never\n", "glibc 2.34", False),
        ("[always] madvise never\n", "glibc 2.36", False),
        ("always [madvise] never\n", None, False),
        (None, "glibc 2.36", False),
    ],
)
def test_where_large_pages_are_offered(monkeypatch, tmp_path, setting, library, expected):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(huge_pages, "KERNEL_SETTING", str(tmp_path / "enabled"))
    monkeypatch.setattr(os, "confstr", lambda _: library, raising=False)
    if setting is not None:
        (tmp_path / "enabled").write_text(setting)
    assert huge_pages.offered() is expected
