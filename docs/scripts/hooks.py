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

# Files outside of docs/ that are shown on the site, by their place there.
FROM_ELSEWHERE = {
    "data/models/small/README.md": "models/small.md",
    "data/models/small/log.md": "models/small-log.md",
    "data/benchmark/README.md": "benchmark-set.md",
    "data/demo/picture.png": "pictures/demo.png",
    "CHANGELOG.md": "changelog.md",
}
# Files that are no page of their own: where links to them lead.
LINKS = {"README.md": "index.md", "benchmarks/results/scores.md": "comparison.md"}

LINK = re.compile(r"\]\((?![a-z]+:|#|<)([^)\s#]+)(#[^)\s]*)?\)")
MARK = re.compile(r"^<!-- generated: (.+) -->$", re.MULTILINE)


def on_files(files, config):
    """Add the files from elsewhere to the site."""
    for source, place in FROM_ELSEWHERE.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Fill in what is generated, and let links between files of the repository lead to their pages."""
    source = Path(page.file.abs_src_path).resolve()

    def lead(match: re.Match) -> str:
        path, anchor = match[1], match[2] or ""
        return f"]({_on_site(source, path, page.file.src_uri, Path(config.docs_dir))}{anchor})"

    def fill(match: re.Match) -> str:
        if match[1] not in generated.PARTS:
            raise PluginError(f"{page.file.src_uri}: nothing generates {match[1]!r}")
        return generated.PARTS[match[1]](ROOT)

    return MARK.sub(fill, LINK.sub(lead, markdown))


def _on_site(source: Path, link: str, page: str, docs: Path) -> str:
    """Return where a link of the file `source`, to another file, leads from its page; as it is where it leads nowhere.

    mkdocs then warns of it, which ends a strict build.
    """
    target = (source.parent / link).resolve()
    places = {**FROM_ELSEWHERE, **LINKS}
    if target.is_relative_to(docs):
        place = target.relative_to(docs).as_posix()
    elif target.is_relative_to(ROOT) and target.relative_to(ROOT).as_posix() in places:
        place = places[target.relative_to(ROOT).as_posix()]
    else:
        return link
    return posixpath.relpath(place, posixpath.dirname(page) or ".")
