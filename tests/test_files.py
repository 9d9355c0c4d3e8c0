"""Files are whole or not there."""

import errno
import os
from pathlib import Path

import pytest

from mt3lite import files
from mt3lite.errors import InputError


def test_writes_and_replaces(tmp_path):
    target = tmp_path / "song.mid"
    for text in ("first", "second"):
        with files.atomic_path(target) as temporary:
            assert temporary.parent == tmp_path and temporary.suffix == ".mid"
            temporary.write_text(text)
        assert target.read_text() == text
    assert os.listdir(tmp_path) == ["song.mid"]


def test_new_files_follow_the_umask(tmp_path):
    with files.atomic_path(tmp_path / "a"):
        pass
    (tmp_path / "b").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    target = tmp_path / "song.mid"
    target.write_text("old")
    with pytest.raises(error), files.atomic_path(target) as temporary:
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["song.mid"]


def test_unwritable_places_are_named(tmp_path):
    (tmp_path / "file").touch()
    cases = {
        tmp_path / "missing" / "a.mid": "there is no folder",
        tmp_path / "file" / "a.mid": "is not a folder",
        tmp_path: "is a folder",
        Path("/proc/a.mid"): "cannot be written",
    }
    for path, message in cases.items():
        with pytest.raises(InputError, match=message), files.atomic_path(path):
            pytest.fail("the block ran")
        with pytest.raises(InputError, match=message):
            files.check_writable(path)


def test_checking_leaves_nothing_behind(tmp_path):
    files.check_writable(tmp_path / "song.mid")
    assert os.listdir(tmp_path) == []


def test_folders_are_made_or_it_is_said_why_not(tmp_path):
    files.make_folder(tmp_path / "a" / "b")
    files.make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "c").write_text("")
    with pytest.raises(InputError, match="c: this folder cannot be made: file exists"):
        files.make_folder(tmp_path / "c")
    with pytest.raises(InputError, match="d: this folder cannot be made: not a directory"):
        files.make_folder(tmp_path / "c" / "d")


@pytest.mark.parametrize("length", [245, 251])
def test_names_as_long_as_names_may_be(tmp_path, length):
    target = tmp_path / ("x" * length + ".mid")
    with files.atomic_path(target) as temporary:
        temporary.write_text("whole")
    assert target.read_text() == "whole"
    with pytest.raises(InputError, match="cannot be written: file name too long"):
        files.check_writable(tmp_path / ("x" * 300))


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path):
    target = tmp_path / "a.txt"
    with pytest.raises(InputError, match=r"a\.txt: cannot be written: no space left on device"):
        with files.atomic_path(target):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(FileNotFoundError), files.atomic_path(target):  # of another file: not the writer's matter
        (tmp_path / "other").read_text()
    assert os.listdir(tmp_path) == []


def test_a_folder_is_held_by_one_at_a_time(tmp_path):
    with files.held(tmp_path):
        with pytest.raises(InputError, match="another process works in this folder"), files.held(tmp_path):
            pytest.fail("held twice")
    with files.held(tmp_path):
        pass
    assert os.listdir(tmp_path) == []
