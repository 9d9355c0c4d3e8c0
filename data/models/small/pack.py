#!/usr/bin/env python3
"""Packs what training needs and a machine without network lacks, into folders small enough to be carried there.

    python3.12 data/models/small/pack.py KIT MIDI SOUNDFONT... [--model FOLDER] [--megabytes 48]

KIT gets the folders 1, 2, ... with the packages that `mt3lite[train,synth]` needs and on_box.txt does not name, the
FluidSynth of this machine with the libraries it needs, the MIDI files, the model to go on from, and the soundfonts, in
that order: with the first folder music can be rendered. A SOUNDFONT is a file, or several in layers joined by ":".
on_box.sh unpacks them there. To be run on x86-64 Linux, best with the Python of that machine: pip asks the Python that
runs it which requirements hold.
"""

import argparse
import contextlib
import ctypes
import ctypes.util
import hashlib
import json
import lzma
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
THERE = HERE / "on_box.txt"
FIRST = ("site.tar.xz", "libraries.tar.xz", "midi.tar.xz", "model.tar.xz")
_ROOM = 8000  # bytes, for the lists
LIST = "sha256.txt"  # of a folder's parts
SOUNDFONTS = "soundfonts.txt"  # what music can be played with from that folder on, see on_box.sh
# pip takes wheels whose tag is named and no others: glibc 2.35 back to 2.17, then the tags without a number.
TAGS = [*(f"2_{minor}" for minor in range(35, 16, -1)), "2014", "2010", "1"]
FOR_THERE = [
    *("--only-binary=:all:", "--implementation=cp", "--python-version=3.12"),
    *(f"--platform=manylinux{'_' * ('_' in tag)}{tag}_x86_64" for tag in TAGS),
]
# Every Linux has these, and jaxlib needs them as new as they are there.
SYSTEM = ("libc.", "libm.", "libpthread.", "libdl.", "librt.", "libstdc++.", "libgcc_s.")


# What packages bring along that nothing here reads: jedi's stubs of other packages, bokeh's scripts for browsers,
# pretty_midi's soundfont (which scores are made with, and nothing may be trained on), tests, and manual pages.
NEEDLESS = ("jedi/third_party", "bokeh/server/static", "pretty_midi/*.sf2", "**/tests", "share", "bin")
# grain imports these names from array_record, whose library of 10 MB reads files that are not read here.
NO_ARRAY_RECORD = """from typing import Any

PathLikeOrFileInstruction = Any


class ArrayRecordDataSource:
    def __init__(self, *_: Any, **__: Any) -> None:
        raise RuntimeError("array_record was left out by pack.py of mt3lite")
"""
XZ = [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]


def main() -> int:
    """Make the kit; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kit", metavar="KIT", type=Path, help="folder to make")
    parser.add_argument("midi", metavar="MIDI", type=Path, help="folder of folders of MIDI files, see render.sh")
    parser.add_argument("soundfonts", metavar="SOUNDFONT", nargs="+")
    parser.add_argument("--model", metavar="FOLDER", type=Path, help="the model to go on from")
    parser.add_argument("--megabytes", metavar="N", type=float, default=48, help="in a folder (default: %(default)g)")
    arguments = parser.parse_args()
    files = list(dict.fromkeys(Path(layer) for layers in arguments.soundfonts for layer in layers.split(":")))
    missing = [path for path in (arguments.midi, *files) if not path.exists()]
    if missing:
        sys.exit(f"pack.py: {missing[0]}: no such file or folder")
    if arguments.kit.exists():
        sys.exit(f"pack.py: {arguments.kit}: is there already; remove it, or name another folder")
    with tempfile.TemporaryDirectory() as made:
        parts, site = Path(made) / "parts", Path(made) / "site"
        parts.mkdir()
        install(site)
        pack_folder(site, "site", parts / "site.tar.xz")
        pack_fluidsynth(parts / "libraries.tar.xz")
        pack_folder(arguments.midi, "midi", parts / "midi.tar.xz")
        if arguments.model:
            pack_folder(arguments.model, "model", parts / "model.tar.xz")
        for path in files:
            shutil.copy(path, parts)
        # What rendering cannot begin without comes first, then the soundfonts in the order in which they are named.
        names = [name for name in FIRST if (parts / name).exists()] + [path.name for path in files]
        layered = [[Path(layer).name for layer in layers.split(":")] for layers in arguments.soundfonts]
        fill(arguments.kit, parts, names, layered, round(1e6 * arguments.megabytes))
    return 0


def canonical(name: str) -> str:
    """Return the name of a package as all of its spellings have it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def there() -> set[str]:
    """Return the names of the packages that need not be carried."""
    lines = (line.partition("#")[0].strip() for line in THERE.read_text().splitlines())
    return {canonical(line.partition("==")[0]) for line in lines if line}


def lacking(report: dict, there: set[str]) -> list[str]:
    """Return, as "name==version", what pip reports that it would install, but for this project and what is there."""
    about = [entry["metadata"] for entry in report["install"] if "dir_info" not in entry["download_info"]]
    return sorted(f"{each['name']}=={each['version']}" for each in about if canonical(each["name"]) not in there)


def install(site: Path) -> None:
    """Resolve what is needed there, with the versions that are there, and install into a folder what is lacking.

    Packed together, the packages take less room than their wheels, and that machine needs no pip.
    """
    pip = [sys.executable, "-m", "pip", "--quiet", "install", f"--target={site}", *FOR_THERE]
    print("== Asking pip what is needed")
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        options = ["--dry-run", "--ignore-installed", f"--report={report.name}", f"--constraint={THERE}"]
        subprocess.run([*pip, *options, f"{REPOSITORY}[train,synth]"], check=True)
        names = lacking(json.load(report), there())
    print(f"== Packing {len(names)} packages")
    subprocess.run([*pip, "--no-deps", "--no-compile", *names], check=True)
    for needless in [path for pattern in NEEDLESS for path in site.glob(pattern)]:
        shutil.rmtree(needless) if needless.is_dir() else needless.unlink(missing_ok=True)
    shutil.rmtree(site / "array_record")
    (site / "array_record" / "python").mkdir(parents=True)
    (site / "array_record" / "python" / "array_record_data_source.py").write_text(NO_ARRAY_RECORD)


def pack_fluidsynth(path: Path) -> None:
    """Pack this machine's FluidSynth and the libraries it needs, as lib/NAME."""
    name = ctypes.util.find_library("fluidsynth")
    if name is None:
        sys.exit("pack.py: there is no FluidSynth on this machine (Debian: apt install libfluidsynth3)")
    ctypes.CDLL(name)
    loaded = (line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines())
    library = next(each for each in loaded if "/libfluidsynth." in each)
    listed = subprocess.run(["ldd", library], check=True, capture_output=True, text=True).stdout
    needed = dict(re.findall(r"(\S+) => (/\S+)", listed))
    with packed(path) as tar:
        for each, source in {name: library, **needed}.items():
            if not each.startswith(SYSTEM):
                tar.add(Path(source).resolve(), f"lib/{each}")
        # Where there is no compiler to ask for a library's place, pyfluidsynth looks for this name: see on_box.sh.
        link = tarfile.TarInfo("lib/libfluidsynth.dylib")
        link.type, link.linkname = tarfile.SYMTYPE, name
        tar.addfile(link)


@contextlib.contextmanager
def packed(path: Path) -> Iterator[tarfile.TarFile]:
    """Write a .tar.xz file, in a tenth less room than tarfile's own where it holds programs."""
    with lzma.open(path, "wb", filters=XZ) as file, tarfile.open(fileobj=file, mode="w") as tar:
        yield tar


def pack_folder(folder: Path, name: str, path: Path) -> None:
    """Pack a folder under a name of its own."""
    print(f"== Packing {folder}")
    with packed(path) as tar:
        tar.add(folder, name)


def divide(sizes: dict[str, int], most_bytes: int) -> list[list[str]]:
    """Return groups of names with at most so many bytes each: in their order, each where there is room first.

    Raises:
        SystemExit: one alone is too large.
    """
    groups: list[list[str]] = []
    room: list[int] = []
    for name in sizes:
        if sizes[name] > most_bytes:
            sys.exit(f"pack.py: {name}: {sizes[name] / 1e6:.1f} MB do not fit into {most_bytes / 1e6:.1f} MB")
        place = next((i for i, left in enumerate(room) if left >= sizes[name]), len(groups))
        if place == len(groups):
            groups.append([])
            room.append(most_bytes)
        groups[place].append(name)
        room[place] -= sizes[name]
    return groups


def fill(kit: Path, parts: Path, names: list[str], soundfonts: list[list[str]], most_bytes: int) -> None:
    """Move files into numbered folders of a kit, the first ones first, each with the sums of what it holds.

    Each tells the soundfonts (names of their layers) that are whole with it, and were not before.
    """
    sizes = {name: (parts / name).stat().st_size for name in names}
    there: set[str] = set()
    for number, group in enumerate(divide(sizes, most_bytes - _ROOM), start=1):
        folder = kit / str(number)
        folder.mkdir(parents=True)
        for name in group:
            shutil.move(parts / name, folder / name)
        before, there = there, there | set(group)
        new = [layers for layers in soundfonts if set(layers) <= there and not set(layers) <= before]
        (folder / SOUNDFONTS).write_text("".join(":".join(layers) + "\n" for layers in new))
        sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(folder.iterdir())]
        (folder / LIST).write_text("".join(sums))
        print(
            f"{folder}: {sum(sizes[name] for name in group) / 1e6:.1f} MB in {len(group)} files, {len(new)} soundfonts"
        )


if __name__ == "__main__":
    sys.exit(main())
