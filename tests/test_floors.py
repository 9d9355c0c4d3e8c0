"""The floors of the design: a module imports only what lies below it, and only libraries that are declared."""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "mt3lite"

# Lowest first. A module may import those of lower floors, and those before it on its own floor.
FLOORS = (
    ("errors", "standard_error", "files", "reading", "processes", "instruments", "vocabulary", "stopwatch", "example"),
    (
        "beat_activity",
        "beats",
        "tempo_map",
        "midi_tracks",
        "midi_writing",
        "notes",
        "note_files",
        "audio",
        "spectrogram",
        "tuning",
        "segments",
        "matching",
        "metrics",
        "pooling",
        "score_tables",
    ),
    (
        "codec",
        "timbre",
        "render",
        "soundfonts",
        "outputs",
        "drawing",
        "plot",
        "display",
        "scoring",
        "score_files",
        "score_page",
    ),
    (
        "frontend",
        "carrying",
        "panels",
        "rounding",
        "layers",
        "note_heads",
        "hearing",
        "network",
        "stepping",
        "decoding",
        "single_beam",
        "kept_programs",
        "lanes",
        "crews",
    ),
    ("config",),
    ("weights",),
    ("incoming", "offsets", "agreement", "transcriber"),
    (
        "training.arranging",
        "training.procedural",
        "training.datasets",
        "training.checks",
        "training.importing",
        "training.slakh",
        "training.drum_datasets",
        "training.importers",
        "training.midi_sources",
        "training.voicing",
        "training.synthetic",
        "training.settings",
        "training.losses",
        "training.effects",
        "training.examples",
        "training.showing",
        "training.loader",
        "training.device_effects",
        "training.resident",
        "training.evaluation",
        "training.optimizers",
        "training.sharding",
        "training.growing",
        "training.update",
        "training.validation",
        "training.checkpoints",
        "training.reports",
        "training.trainer",
        "training.forecast",
    ),
    ("adapters",),
    (
        "commands.huge_pages",
        "commands.quiet",
        "commands.compilation",
        "commands.jobs",
        "commands.sonify",
        "commands.render",
        "commands.beside",
        "commands.transcribe",
        "commands.pairs",
        "commands.plot",
        "commands.evaluate",
        "commands.progress",
        "commands.data_import",
        "commands.data_check",
        "commands.data_show",
        "commands.data_synthesize",
        "commands.train",
        "commands.convert",
        "arguments.types",
        "arguments.transcribe",
        "arguments.evaluate",
        "arguments.plot",
        "arguments.train",
        "arguments.render",
        "arguments.data",
        "arguments.convert",
        "cli",
        "__main__",
    ),
)
SUBPACKAGES = ("training", "adapters", "commands", "arguments")
PLACE = {module: (floor, place) for floor, names in enumerate(FLOORS) for place, module in enumerate(names)}

# Import names of libraries that come with extras, each by the extra; the core never loads them by itself.
OPTIONAL = {
    "matplotlib": "plot",
    "fluidsynth": "synth",
    "optax": "train",
    "orbax": "train",
    "absl": "train",
    "grain": "train",
    "pretty_midi": "train",
    "tensorboardX": "train",
    "tensorstore": "train",
    "gin": "train",
    "jams": "data",
    "yaml": "data",
    "seqio": "seqio",
    "tensorflow": "seqio",
    "tensorflow_datasets": "seqio",
}
ONLY_IN_ADAPTERS = {"tensorflow", "tensorflow_datasets", "seqio", "t5x", "gin"}
NOT_ON_PYPI = {"t5x"}  # setup.py cannot ask for it; docs/t5x.md says how to install it
DISTRIBUTIONS = {
    "gin": "gin-config",
    "absl": "absl-py",
    "fluidsynth": "pyfluidsynth",
    "note_seq": "note-seq",
    "google": "protobuf",
    "orbax": "orbax-checkpoint",
    "yaml": "pyyaml",
    "tensorflow_datasets": "tensorflow-datasets",
}


def sources() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def place_of(module: str) -> tuple[int, int]:
    """Return the place of a module; those of a subpackage without places of their own share the subpackage's."""
    return PLACE[module] if module in PLACE else PLACE[module.split(".")[0]]


def imports(path: Path) -> list[tuple[str, ast.AST]]:
    """Return the dotted name of everything imported anywhere in a file, except for type checkers only."""
    found = []
    for node in ast.walk(_without_type_checking(ast.parse(path.read_text(encoding="utf-8")))):
        if isinstance(node, ast.Import):
            found += [(alias.name, node) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import; write the whole name"
            found += [(f"{node.module}.{alias.name}", node) for alias in node.names]
    return found


def _without_type_checking(tree: ast.Module) -> ast.Module:
    tree.body = [
        node for node in tree.body if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    ]
    return tree


def imported_modules(path: Path) -> set[str]:
    """Return the modules of this package that a file imports."""
    modules = set()
    for name, _ in imports(path):
        if name.startswith("mt3lite."):
            parts = name.split(".")[1:]
            while parts and not (
                (PACKAGE / Path(*parts)).with_suffix(".py").exists() or (PACKAGE / Path(*parts)).is_dir()
            ):
                parts.pop()  # the last part is a name inside the module
            modules.add(".".join(parts))
    return modules - {""}


def declared() -> dict[str, set[str]]:
    """Return what setup.py asks for: distributions by extra, "" for the core."""
    calls: dict = {}
    setup_source = (ROOT / "setup.py").read_text(encoding="utf-8")
    setup_source = setup_source.replace("from setuptools import find_packages, setup", "")
    fakes = {"setup": calls.update, "find_packages": lambda **_: [], "__file__": str(ROOT / "setup.py")}
    exec(compile(setup_source, "setup.py", "exec"), fakes)
    asked = {"": calls["install_requires"], **calls["extras_require"]}
    return {extra: {re.split(r"[<>=~! ]", line)[0] for line in lines} for extra, lines in asked.items()}


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_a_module_imports_only_from_below(path):
    module = module_name(path)
    if module == "__init__":
        pytest.skip("the package itself names everything; tests/test_imports.py holds that it loads nothing")
    for other in imported_modules(path):
        if other in SUBPACKAGES:
            continue  # the empty subpackage itself, on the way to one of its modules
        assert place_of(other) < place_of(module) or other.split(".")[0] == module.split(".")[0] == "adapters", (
            f"{module} imports {other}, which is not below it"
        )


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_libraries_are_declared(path):
    asked = declared()
    for name, node in imports(path):
        library = name.split(".")[0]
        if library == "mt3lite" or library in sys.stdlib_module_names:
            continue
        where = f"{path.relative_to(ROOT)}:{node.lineno}: {library}"
        if library in ONLY_IN_ADAPTERS:
            assert path.is_relative_to(PACKAGE / "adapters"), f"{where} belongs into adapters/"
        if library in NOT_ON_PYPI:
            continue
        extra = OPTIONAL.get(library, "")
        assert DISTRIBUTIONS.get(library, library) in asked[extra], f"{where} is not declared in setup.py"
        in_its_rooms = extra == "train" and path.is_relative_to(PACKAGE / "training")
        if extra and not in_its_rooms and library not in ONLY_IN_ADAPTERS:
            assert node.col_offset > 0, f"{where} is optional: import it in the function that needs it"


def test_all_is_everything():
    asked = declared()
    assert asked["all"] == set.union(*(lines for extra, lines in asked.items() if extra not in ("", "all")))


def test_every_module_has_a_place():
    missing = [name for name in map(module_name, sources()) if name not in ("__init__", *SUBPACKAGES)]
    assert [name for name in missing if name not in PLACE and not name.startswith("adapters.")] == []
