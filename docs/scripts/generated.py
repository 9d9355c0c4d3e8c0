"""Parts of pages that follow from the code and from what was measured, as Markdown."""

import argparse
import ast
import html
import json
from collections.abc import Iterator
from pathlib import Path

from mt3lite import cli

# What is compared, by its key in benchmarks/results/scores.json.
COMPARED = {"Onset F1": "onset", "Onset + offset F1": "onset + offset", "Frame F1": "frame"}
OURS, PEER = "mt3lite", "basic-pitch"

# What each floor is about, lowest first, in the order of FLOORS in tests/test_floors.py.
FLOOR_NAMES = (
    "Words and numbers that all share",
    "Notes, sound and scores, each by itself",
    "From one to the other",
    "The network, and the search for tokens",
    "Settings",
    "Model folders",
    "The whole line",
    "Training",
    "Bridges to TensorFlow, seqio and t5x",
    "The command line",
)


# --- the command line ---


def command_line(root: Path) -> str:
    """Return every command with its usage, arguments and options, out of the real parser."""
    del root
    commands = list(commands_of(cli.make_parser()))
    overview = ["| command | what it does |", "|---|---|"]
    overview += [
        f"| [`{parser.prog}`](#{parser.prog.replace(' ', '-')}) | {_text(help)} |" for parser, help in commands
    ]
    return "\n".join([*overview, "", *(line for parser, _ in commands for line in _command(parser))])


def commands_of(parser: argparse.ArgumentParser) -> Iterator[tuple[argparse.ArgumentParser, str]]:
    """Yield the parser and help line of each command that runs something; actions in place of commands with actions."""
    for group in parser._actions:
        if not isinstance(group, argparse._SubParsersAction):
            continue
        helps = {choice.dest: choice.help or "" for choice in group._choices_actions}
        for name, each in group.choices.items():
            below = list(commands_of(each))
            yield from below or [(each, helps[name])]


def _command(parser: argparse.ArgumentParser) -> Iterator[str]:
    formatter = argparse.HelpFormatter(parser.prog, width=80)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups, prefix="")
    yield from (f"## {parser.prog}", "", _text(parser.description or ""), "")
    yield from ("```text", formatter.format_help().strip(), "```", "")
    for group in parser._action_groups:
        actions = [each for each in group._group_actions if not isinstance(each, argparse._HelpAction)]
        if actions:
            title = (group.title or "options").removeprefix("positional ")
            yield from (f"| {title} | |", "|---|---|")
            yield from (f"| {_name(each)} | {_text(formatter._expand_help(each))} |" for each in actions)
            yield ""


def _name(action: argparse.Action) -> str:
    """Return how an argument or option is written."""
    if not action.option_strings:
        return f"`{action.metavar or action.dest}`"
    value = ""
    if action.nargs != 0:
        choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper()
        value = " " + (action.metavar or choices)
    return ", ".join(f"`{option}{value}`".replace("|", "\\|") for option in action.option_strings)


def _text(words: str) -> str:
    """Return words as Markdown that shows them as they are, in a table too; code between backquotes stays code."""
    for sign in "\\*|":
        words = words.replace(sign, "\\" + sign)
    return html.escape(words.replace("``", "`"), quote=False)


# --- the modules ---


def modules(root: Path) -> str:
    """Return the modules of the package by floor, lowest first, with the first sentence of each."""
    lines = []
    for number, (name, floor) in enumerate(zip(FLOOR_NAMES, floors(root), strict=True)):
        lines += [f"### Floor {number}: {name}", "", "| module | what it is |", "|---|---|"]
        lines += [f"| `{module}` | {_text(_first_line(root, module))} |" for module in floor] + [""]
    return "\n".join(lines)


def floors(root: Path) -> list[list[str]]:
    """Return the modules of each floor as tests/test_floors.py has them, those of `adapters` by name."""
    tree = ast.parse((root / "tests" / "test_floors.py").read_text(encoding="utf-8"))
    (table,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FLOORS"
    )
    adapters = sorted((root / "mt3lite" / "adapters").glob("*.py"))
    named = [f"adapters.{path.stem}" for path in adapters if path.stem != "__init__"]
    return [[name for module in floor for name in (named if module == "adapters" else [module])] for floor in table]


def _first_line(root: Path, module: str) -> str:
    path = (root / "mt3lite" / Path(*module.split("."))).with_suffix(".py")
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


# --- wins and losses ---


def wins_and_losses(root: Path) -> str:
    """Return a table of where we are ahead of basic-pitch and where behind, by the scores that were measured."""
    groups = json.loads((root / "benchmarks" / "results" / "scores.json").read_text(encoding="utf-8"))["groups"]
    lines = ["| music | " + " | ".join(COMPARED.values()) + " |", "|---" * (1 + len(COMPARED)) + "|"]
    for music, tools in groups.items():
        if PEER in tools:
            lines.append(f"| {music} | " + " | ".join(_verdict(tools, score) for score in COMPARED) + " |")
    return "\n".join(lines)


def _verdict(tools: dict, score: str) -> str:
    """Return who is ahead in a score; "level" where each one's value lies within the other's interval."""
    (ours, our_low, our_high), (theirs, their_low, their_high) = tools[OURS][score], tools[PEER][score]
    word = "**ahead**" if ours > theirs else "behind"
    if their_low <= ours <= their_high and our_low <= theirs <= our_high:
        word = "level"
    return f"{word} ({ours:.2f} : {theirs:.2f})"


PARTS = {"command line": command_line, "modules": modules, "wins and losses": wins_and_losses}
