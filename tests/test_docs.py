"""What README.md and docs/ show is run, or at least understood; and the site builds without a warning.

Blocks are run page by page, in their order, in an empty folder with the small files of `world`. Where a block cannot be
run, the line before it says why: ``<!-- not run: it would train for an hour -->``. Its commands are still parsed.
"""

import argparse
import functools
import html
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

import mt3lite
from mt3lite import cli, notes, transcriber
from mt3lite.commands import compilation
from mt3lite.training import importers

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in DOCS.glob("*.md")))
BLOCK = re.compile(r"(?:^ *<!-- not run: ([^\n]+) -->\n+)?^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
# Blocks that are not run, so that none is added without a thought.
NOT_RUN = {
    "README.md": 2,
    "docs/data.md": 5,
    "docs/evaluation.md": 3,
    "docs/from-magenta-mt3.md": 1,
    "docs/t5x.md": 9,
    "docs/training.md": 15,
}
# What the Python blocks of a page print, where a page says so in words.
PRINTED = {"docs/data.md": [r"(samples \(4, 38368\) tokens \(4, \d+\)\n){3}", r"tokens \(4, \d+\)\n"]}


@dataclass(frozen=True)
class Block:
    """Something between two fences."""

    page: str
    line: int  # of its opening fence
    language: str  # "" for none
    text: str
    why_not: str | None  # not run
    printed: str | None  # what the block after it says that it prints

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"


@functools.cache
def blocks(page: str) -> tuple[Block, ...]:
    text = (ROOT / page).read_text(encoding="utf-8")
    found = []
    for match in BLOCK.finditer(text):
        body = "".join(line.removeprefix(match[2]) for line in match[4].splitlines(keepends=True))
        after = re.match(r"\n\n```text\n(.*?)^```$", text[match.end() :], re.MULTILINE | re.DOTALL)
        line = text[: match.start(2)].count("\n") + 1
        found.append(Block(page, line, match[3], body, match[1], after and after[1]))
    return tuple(found)


ALL = [block for page in PAGES for block in blocks(page)]


def lines_of(block: Block) -> list[list[str]]:
    """Return the words of each line of a shell block, comments left out."""
    lines = (shlex.split(line, comments=True) for line in block.text.replace("\\\n", " ").splitlines())
    return [words for words in lines if words]


# --- what is written in them ---


def extras() -> set[str]:
    return set(re.findall(r'^    "(\w+)": \[', (ROOT / "setup.py").read_text(encoding="utf-8"), re.MULTILINE))


def check_words(words: list[str], where: str) -> None:
    """Hold a line of a shell block against the parser, setup.py and the Makefile."""
    match words:
        case ["mt3lite", *arguments]:
            parse(arguments, where)
        case ["pip", "install", *wanted]:
            asked = {name for each in wanted for name in re.findall(r"\[(.+)\]", each) for name in name.split(",")}
            assert asked <= extras() | {"dev", "all"}, where
        case ["make", target, *_]:
            makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{where}: make has no {target}"
        case ["python", script, *_] if script.endswith(".py") and "/" in script:
            assert (ROOT / script).exists(), f"{where}: there is no {script}"


def parse(arguments: list[str], where: str) -> None:
    try:
        given = [f"--gin_binding={each[6:]}" if each.startswith("--gin.") else each for each in arguments]
        parsed = cli.make_parser().parse_args(given)
        parsed.check(parsed)
    except SystemExit as stop:
        assert not stop.code, f"{where}: mt3lite {' '.join(arguments)}"


@pytest.mark.parametrize("block", [block for block in ALL if block.language == "sh"], ids=lambda block: block.where)
def test_commands_are_understood(block):
    for words in lines_of(block):
        check_words(words, block.where)


def test_a_wrong_command_is_noticed():
    with pytest.raises(AssertionError, match="README"):
        check_words(["mt3lite", "transcribe", "--no-such-option", "song.mp3"], "README.md:1")
    with pytest.raises(AssertionError):
        check_words(["pip", "install", "mt3lite[nosuch]"], "README.md:1")
    with pytest.raises(AssertionError, match="no such"):
        check_words(["make", "such"], "README.md:1")


def parsers(parser: argparse.ArgumentParser, names: tuple[str, ...] = ()) -> dict:
    """Return every parser below `parser` by the words that lead to it."""
    found = {names: parser}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, each in action.choices.items():
                found |= parsers(each, (*names, name))
    return found


@pytest.mark.parametrize("page", PAGES)
def test_options_named_in_the_text_exist(page):
    known = parsers(cli.make_parser())
    outside = BLOCK.sub("", (ROOT / page).read_text(encoding="utf-8"))
    for span in re.findall(r"`mt3lite ([^`]+)`", outside):
        words = span.split()
        names = max((key for key in known if tuple(words[: len(key)]) == key), key=len)
        assert names or words[0].startswith("-"), f"{page}: mt3lite {span}"
        options = {option for action in known[names]._actions for option in action.option_strings}
        used = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
        assert used <= options | {"--version", "--help"}, f"{page}: mt3lite {span}"


def test_json_is_json():
    lines = [line for block in ALL if block.language == "json" for line in block.text.splitlines()]
    assert lines and all(json.loads(line) for line in lines)


def test_blocks_that_are_not_run_are_counted():
    assert Counter(block.page for block in ALL if block.why_not) == NOT_RUN
    assert {block.language for block in ALL} <= {"", "sh", "python", "json", "text"}


def test_the_guide_to_data_tells_of_every_dataset():
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|", (DOCS / "data.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(importers.IMPORTERS) <= set(rows)


# --- running them ---


@pytest.fixture
def kept_programs(monkeypatch, compilation_cache):
    """Let `mt3lite.load` find what the command compiled, or each block would compile it again."""
    keep = functools.partial(transcriber.load, program_folder=compilation.folder())
    monkeypatch.setattr(transcriber, "load", keep)


@pytest.fixture
def world(tmp_path, monkeypatch, kept_programs):
    """Make the folder that the pages suppose: some recordings with their notes, and this repository's data."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    samples, rate = soundfile.read(ROOT / "data" / "demo" / "clip.flac", frames=4 * 16000)
    soundfile.write("song.mp3", samples, rate)
    played = notes.read_midi(ROOT / "data" / "demo" / "clip.mid")
    notes.write_midi(notes.crop(played, 0, 4), "waltz.mid")
    for folder in ("recordings", "DATASET"):
        Path(folder).mkdir()
        for name in ("waltz", "two-part"):
            noise = np.random.default_rng(0).normal(0, 0.1, (5 * 44100, 2))
            soundfile.write(f"{folder}/{name}.wav", noise, 44100)
            rows = [(0.25 * i, 0.25 * i + 0.2, 60 + i, 90, 0, False) for i in range(20)]
            notes.write_midi(notes.from_rows(rows), f"{folder}/{name}.mid")
    assert cli.main(["data", "import", "folder", "DATASET", "--split", "test"]) == 0
    pretty_midi = pytest.importorskip("pretty_midi", reason="pip install 'mt3lite[train]'", exc_type=ImportError)
    Path("FluidR3_GM.sf2").symlink_to(Path(pretty_midi.__file__).parent / "TimGM6mb.sf2")
    return tmp_path


def needed(page: str) -> None:
    """Skip a page whose blocks need what is not installed."""
    text = "".join(block.text for block in blocks(page) if not block.why_not)
    wanted = {
        "--plot": "matplotlib",
        "mt3lite render": "fluidsynth",
        "--listen": "fluidsynth",
        "--sonify": "fluidsynth",
        "loader": "grain",
        "--to-t5x": "orbax.checkpoint",
    }
    for sign, library in wanted.items():
        if sign in text:
            pytest.importorskip(library, reason="pip install 'mt3lite[train,plot,synth]'", exc_type=ImportError)


def is_run(block: Block) -> bool:
    return block.why_not is None and block.language in ("sh", "python") and not is_of_seqio(block)


def is_of_seqio(block: Block) -> bool:
    """Whether a test of its own runs it, where seqio is installed."""
    return block.language == "python" and "seqio" in block.text


@pytest.mark.parametrize("page", [page for page in PAGES if any(is_run(block) for block in blocks(page))])
def test_a_page_works_as_written(page, world, capsys):
    needed(page)
    names: dict = {"__name__": "__main__"}  # a page's Python is one session
    printed = iter(PRINTED.get(page, ()))
    for block in filter(is_run, blocks(page)):
        capsys.readouterr()
        if block.language == "python":
            exec(compile(block.text, block.where, "exec"), names)
            out = capsys.readouterr().out
            assert block.printed in (None, out), block.where
            assert page not in PRINTED or re.fullmatch(next(printed), out), (block.where, out)
            continue
        for words in lines_of(block):
            assert words[0] in ("mt3lite", "pip", "make"), f"{block.where}: nothing here runs {words[0]}"
            if words[0] == "mt3lite":
                assert cli.main(words[1:]) == 0, (block.where, words, capsys.readouterr().err)


def test_the_section_on_seqio(world, capsys):
    for library in ("seqio", "tensorflow_datasets"):
        pytest.importorskip(library, reason="pip install 'mt3lite[seqio]'", exc_type=ImportError)
    soundfile.write("recordings/waltz.wav", np.random.default_rng(0).normal(0, 0.1, 8 * 16000), 16000)
    assert cli.main(["data", "import", "folder", "recordings", "--split", "train"]) == 0
    capsys.readouterr()
    tasks, prepared = filter(is_of_seqio, blocks("docs/data.md"))
    exec(compile(tasks.text, tasks.where, "exec"), {})
    names, *lines = capsys.readouterr().out.splitlines()
    assert "recordings_notes_ties_vb1_validation" in names.split()
    assert len(lines) == 3 and all(line.startswith("inputs (256, 512) targets (") for line in lines)
    exec(compile(prepared.text, prepared.where, "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == ["tensorflow_datasets/recordings/1.0.0", "(4, 38368)"]


# --- the site ---


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Build the site as `make docs` does."""
    for library in ("material", "mkdocstrings"):
        pytest.importorskip(library, reason="pip install 'mt3lite[docs]'", exc_type=ImportError)
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return folder


def words_of(page: Path) -> str:
    return html.unescape(page.read_text(encoding="utf-8"))


def test_the_site_fetches_nothing_when_it_is_read(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        for tag in re.findall(r"<(?:script|img|iframe|link)\b[^>]*>", words_of(page)):
            assert "://" not in tag or 'rel="canonical"' in tag, f"{page.name}: {tag}"


def test_the_command_line_page_has_every_option(site):
    page = words_of(site / "command-line.html")
    for names, parser in parsers(cli.make_parser()).items():
        if any(isinstance(action, argparse._SubParsersAction) for action in parser._actions):
            continue
        assert f'id="mt3lite-{"-".join(names)}"' in page
        for action in parser._actions:
            for option in action.option_strings:
                assert option in ("-h", "--help") or f"<code>{option}" in page, (names, option)


def test_the_architecture_page_names_every_module(site):
    page = words_of(site / "architecture.html")
    for path in (ROOT / "mt3lite").rglob("*.py"):
        if path.stem != "__init__":
            module = ".".join(path.relative_to(ROOT / "mt3lite").with_suffix("").parts)
            assert f"<code>{module}</code>" in page, module


def test_the_reference_has_every_public_name(site):
    page = words_of(site / "api.html")
    for name in mt3lite.__all__:
        assert name == "__version__" or f'id="mt3lite.{name}"' in page, name
    assert "of those: digital silence, not shown to the network" in page  # a field's comment


def test_links_of_the_readme_lead_somewhere():
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert targets and [target for target in targets if not (ROOT / target).exists()] == []


def test_every_model_card_is_shown(site):
    for card in (ROOT / "data" / "models").glob("*/README.md"):
        assert (site / "models" / f"{card.parent.name}.html").exists()


def test_scores_are_those_that_were_measured(site):
    page = words_of(site / "comparison.html")
    groups = json.loads((ROOT / "benchmarks" / "results" / "scores.json").read_text(encoding="utf-8"))["groups"]
    for music, tools in groups.items():
        if "basic-pitch" in tools:
            ours, theirs = (tools[tool]["Onset F1"][0] for tool in ("mt3lite", "basic-pitch"))
            assert re.search(rf"<td>{music}</td>\s*<td>[^\n]*\({ours:.2f} : {theirs:.2f}\)", page), music


# --- the rest ---


def test_pictures_are_those_that_the_script_draws(tmp_path, kept_programs):
    pytest.importorskip("matplotlib", reason="pip install 'mt3lite[plot]'", exc_type=ImportError)
    script = runpy.run_path(str(DOCS / "scripts" / "pictures.py"))
    script["main"](tmp_path)
    drawn = {path.name for path in tmp_path.iterdir()}
    assert drawn == {path.name for path in (DOCS / "pictures").iterdir()}
    text = (DOCS / "how-it-works.md").read_text(encoding="utf-8")
    assert drawn == set(re.findall(r"\(pictures/([a-z]+\.png)\)", text))
    assert all((tmp_path / name).stat().st_size > 10_000 for name in drawn)


def test_the_citation_names_this_version():
    yaml = pytest.importorskip("yaml", reason="pip install 'mt3lite[data]'", exc_type=ImportError)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == mt3lite.__version__ and citation["license"] == "Apache-2.0"
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
