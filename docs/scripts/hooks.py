"""What mkdocs does besides building the pages in docs/: pages from elsewhere in the repository, and generated parts.

A line such as ``<!-- generated: command line -->`` in a page is replaced by what the function of that name gives.
Nothing of that is kept in the repository, so it cannot fall behind the code.
"""

import posixpath
import re
import sys
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT)]

import generated  # noqa: E402  (beside this file)

# Files outside of docs/ that are shown on the site, by their place there; those that exist.
FROM_ELSEWHERE = {
    "data/models/small/README.md": "models/small.md",
    "data/models/small/log.md": "models/small-log.md",
    "data/models/beats/README.md": "models/beats.md",
    "data/benchmark/README.md": "benchmark-set.md",
    "data/demo/picture.png": "pictures/demo.png",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
FROM_ELSEWHERE = {source: place for source, place in FROM_ELSEWHERE.items() if (ROOT / source).exists()}
# Files that are no page of their own, and where links to them lead.
LINKS = {
    "README.md": "index.md",
    "benchmarks/results/scores.md": "comparison.md",
    "benchmarks/results/times.md": "comparison.md",
}

LINK = re.compile(r"(!?\[[^\]\n]*(?:\n[^\]\n]+)?\])\((?![a-z]+:|#|<)([^)\s#]+)(#[^)\s]*)?\)")
MARK = re.compile(r"^<!-- generated: (.+) -->$", re.MULTILINE)


def on_config(config):
    """Put pages that the navigation does not name at its end, so that a new page is found at once."""
    pages = [path.name for path in sorted(Path(config.docs_dir).glob("*.md"))]
    pages += [place for place in FROM_ELSEWHERE.values() if place.endswith(".md")]
    more = [page for page in pages if f"'{page}'" not in str(config.nav)]
    config.nav += [{"More": more}] if more else []
    return config


def on_files(files, config):
    """Add the files from elsewhere to the site."""
    for source, place in FROM_ELSEWHERE.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Fill in what is generated, and let links between files of the repository lead to their pages."""
    source = Path(page.file.abs_src_path).resolve()

    def lead(match: re.Match) -> str:
        words, path, anchor = match[1], match[2], match[3] or ""
        target = (source.parent / path).resolve()
        place = _place(target, Path(config.docs_dir))
        if place is not None:
            return f"{words}({posixpath.relpath(place, posixpath.dirname(page.file.src_uri) or '.')}{anchor})"
        if target.is_relative_to(ROOT) and target.exists():
            return f"{words[1:-1]} (`{target.relative_to(ROOT).as_posix()}`)"  # a file that the site does not have
        return match[0]  # mkdocs warns of it, which ends a strict build

    def fill(match: re.Match) -> str:
        if match[1] not in generated.PARTS:
            raise PluginError(f"{page.file.src_uri}: nothing generates {match[1]!r}")
        return generated.PARTS[match[1]](ROOT)

    return MARK.sub(fill, LINK.sub(lead, markdown))


def _place(target: Path, docs: Path) -> str | None:
    """Return where on the site a file is, or None."""
    if target.is_relative_to(docs):
        return target.relative_to(docs).as_posix()
    places = {**FROM_ELSEWHERE, **LINKS}
    return places.get(target.relative_to(ROOT).as_posix()) if target.is_relative_to(ROOT) else None
