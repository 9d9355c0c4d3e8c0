"""Write the counts of a full run into docs/reliability.md: `make fuzz` does, after its tests."""

import json
import sys
from pathlib import Path

BEGIN, END = "<!-- counts of make fuzz -->", "<!-- end of counts -->"


def table(stored: dict) -> str:
    """Return the counts as a Markdown table, and above it what run they are of."""
    about, rows = stored["about"], []
    total = 0
    for kind, counter in stored["counts"].items():
        outcomes = {name: number for name, number in counter.items() if name not in ("slowest_ms", "scale")}
        cases = sum(number for name, number in outcomes.items() if name != "skipped")
        total += cases
        told = ", ".join(f"{number} {name}" for name, number in sorted(outcomes.items(), key=lambda each: -each[1]))
        slowest = f"{counter['slowest_ms'] / 1000:.1f} s" if "slowest_ms" in counter else ""
        rows.append(f"| {kind} | {cases} | {told} | {slowest} |")
    scales = sorted({counter["scale"] for counter in stored["counts"].values()})
    heading = (
        f"{total} cases, {' or '.join(f'{scale:g}' for scale in scales)} times the slice of `make test`, "
        f"Python {about['python']} on {about['system']}:"
    )
    return "\n".join([heading, "", "| tried | cases | what came of them | slowest, CPU |", "|---|---|---|---|", *rows])


def main(counts: Path, document: Path) -> None:
    """Replace what stands between the marks."""
    text = document.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    stored = json.loads(counts.read_text(encoding="utf-8"))
    document.write_text(f"{before}{BEGIN}\n{table(stored)}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
