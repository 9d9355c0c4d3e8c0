"""For mkdocstrings: the comment beside a dataclass's field, where this code explains its fields, as its description."""

import ast
import re

import griffe

COMMENT = re.compile(r"#\s*(.+)$")


class CommentsOfFields(griffe.Extension):
    """Gives each field of a class that has no docstring the comment behind it, or the comment lines above it."""

    def on_attribute_instance(self, *, node, attr: griffe.Attribute, **_) -> None:
        """Read the comment of one field."""
        if not isinstance(node, ast.AnnAssign) or attr.docstring or not attr.parent.is_class:
            return
        lines = attr.parent.filepath.read_text(encoding="utf-8").splitlines()
        behind = COMMENT.search(lines[node.end_lineno - 1][node.end_col_offset :])
        words = [behind[1]] if behind else []
        above = node.lineno - 2
        while not behind and (line := lines[above].strip()).startswith("#"):
            words.insert(0, COMMENT.match(line)[1])
            above -= 1
        if words:
            attr.docstring = griffe.Docstring(" ".join(words), lineno=node.lineno, parent=attr)
