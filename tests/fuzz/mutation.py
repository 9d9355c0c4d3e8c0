"""Damage, drawn by hypothesis: bytes of files and values of JSON, from slightly wrong to absurd."""

import copy
import struct

from hypothesis import strategies as st

# What headers are made of when somebody means harm: nothing, ends of ranges, and far too much.
NUMBERS = (0, 1, 2, 3, 7, 16, 127, 128, 255, 256, 1000, 32767, 32768, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
NUMBERS += (2**53, 2**63 - 1, 2**64 - 1)
_WIDTHS = ("<H", ">H", "<I", ">I", "<Q", ">Q")


def _packed(number: int, width: str) -> bytes:
    return struct.pack(width, number & (2 ** (8 * struct.calcsize(width)) - 1))


NUMBER_BYTES = st.builds(_packed, st.sampled_from(NUMBERS), st.sampled_from(_WIDTHS))
PIECES = st.one_of(NUMBER_BYTES, st.binary(min_size=1, max_size=16), st.sampled_from([b"\0" * 64, b"\xff" * 64]))


@st.composite
def damaged(draw, whole: bytes, *, header: int = 64) -> bytes:
    """Draw a file with some damage: cut short, bytes replaced, put in, taken out or said twice; often in the header."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 6))):
        end = draw(st.sampled_from([min(header, len(content)), len(content)]))
        place = draw(st.integers(0, max(0, end)))
        kind = draw(st.sampled_from(["replace", "replace", "replace", "insert", "remove", "repeat", "cut"]))
        if kind == "replace":
            piece = draw(PIECES)
            content[place : place + len(piece)] = piece
        elif kind == "insert":
            content[place:place] = draw(PIECES)
        elif kind == "remove":
            del content[place : place + draw(st.integers(1, 64))]
        elif kind == "repeat":
            piece = content[place : place + draw(st.integers(1, 64))]
            content[place:place] = piece * draw(st.integers(1, 20))
        else:
            del content[place:]
    return bytes(content)


# --- JSON ---

TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "",
            "\0",
            "\ud800",
            "a\nb",
            "../../escaped",
            "/etc/passwd",
            "x" * 300,
            "y" * 5000,
            ".",
            "..",
            "/",
            "~",
            "train",
        ]
    ),
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([*NUMBERS, *(-number for number in NUMBERS), 10**30, 10**400]),
    st.floats(),
    st.sampled_from([1e300, -1e300, 5e-324, float("nan"), float("inf")]),
    TEXTS,
    st.lists(st.integers(-3, 3), max_size=5),
    st.dictionaries(TEXTS, st.integers(-3, 3), max_size=3),
)


def places(value: object, path: tuple = ()) -> list[tuple]:
    """Return the paths to everything in a JSON value, itself left out."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for key, inner in items:
        found += [(*path, key), *places(inner, (*path, key))]
    return found


@st.composite
def changed(draw, value: object, *, most: int = 3) -> object:
    """Draw a JSON value with some of its values replaced, taken out, renamed or said anew."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, most))):
        paths = places(value)
        if not paths:
            break
        *way, last = draw(st.sampled_from(paths))
        parent = value
        for key in way:
            parent = parent[key]
        kind = draw(st.sampled_from(["replace", "replace", "replace", "scale", "remove", "add"]))
        old = parent[last]
        if kind == "remove":
            del parent[last]
        elif kind == "add" and isinstance(parent, dict):
            parent[draw(TEXTS)] = draw(VALUES)
        elif kind == "add":
            parent.append(draw(VALUES))
        elif kind == "scale" and type(old) in (int, float):
            parent[last] = old * draw(st.sampled_from([-1, 0, 2, 3, 1000, 10**9]))
        else:
            parent[last] = draw(VALUES)
    return value


DEEP = ("[" * 100_000, '{"a":' * 100_000, '{"notes": ' + "[" * 100_000, "9" * 10_000, '{"a": ' + "9" * 10_000 + "}")
