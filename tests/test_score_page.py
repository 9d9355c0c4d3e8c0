import html.parser
import re

import numpy as np
import pytest

from mt3lite import notes, score_page, scoring
from mt3lite.errors import InputError

PLAYED = notes.from_rows(
    [
        (0.0, 1.0, 60, 80, 0, False),
        (1.0, 2.0, 62, 80, 0, False),
        (2.0, 2.5, 64, 80, 0, False),
        (0.0, 0.1, 36, 80, 0, True),
        (0.5, 0.6, 38, 80, 0, True),
    ]
)
FOUND = notes.from_rows([(0.0, 0.9, 60, 80, 0, False), (0.0, 4.0, 72, 80, 40, False), (0.0, 0.1, 36, 80, 0, True)])


def scored(id, reference, estimate):
    return scoring.Scored(scoring.score_piece(id, reference, estimate), reference, estimate)


def page_of(tmp_path, *pieces):
    path = tmp_path / "page.html"
    summary = scoring.summarise([piece.score for piece in pieces])
    score_page.write(path, title="A <title>", remarks=["1 & 2"], pieces=pieces, summary=summary)
    return path.read_text()


class Balance(html.parser.HTMLParser):
    """Checks that what is opened is closed."""

    def __init__(self):
        super().__init__()
        self.opened = []

    def handle_starttag(self, tag, attrs):
        if tag != "meta":
            self.opened.append(tag)

    def handle_endtag(self, tag):
        assert self.opened.pop() == tag


def boxes(page, kind):
    """Return left, width and top of every box of a kind that is in a piano roll."""
    paths = re.findall(rf'<path class="{kind}" d="([^"]*)"', page[page.index("<details") :])
    found = re.findall(r"M([\d.]+) ([\d.]+)h([\d.]+)v[\d.]+h-[\d.]+z", "".join(paths))
    return [(float(left), float(width), float(top)) for left, top, width in found]


def test_errors_are_drawn_where_they_are(tmp_path):
    page = page_of(tmp_path, scored("a", PLAYED, FOUND))
    assert (len(boxes(page, "hit")), len(boxes(page, "miss")), len(boxes(page, "extra"))) == (2, 3, 1)
    assert len(boxes(page, "note")) == len(PLAYED) + len(FOUND)
    assert "2 hits, 3 misses, 1 extras" in page and "Piano 3, Drums 2" in page
    second = score_page.NARROWEST_PIXELS / 4  # the last note ends after 4 s
    (left, width, _) = boxes(page, "extra")[0]
    assert left == score_page.MARGIN_PIXELS and width == pytest.approx(4 * second, abs=1)
    missed = [left - score_page.MARGIN_PIXELS for left, _, _ in boxes(page, "miss")]
    assert sorted(missed) == pytest.approx([0.5 * second, second, 2 * second], abs=0.1)
    # a whole tone is two lines of four pixels, and drums are below all pitches
    tops = [top for _, _, top in boxes(page, "note")[: len(PLAYED)]]
    assert np.diff(tops[:3]).tolist() == [-8, -8]
    assert min(tops[3:]) > max(tops[:3]) and tops[3] > tops[4]


def test_the_page_is_whole_and_needs_nothing_else(tmp_path):
    page = page_of(tmp_path, *(scored(f"piece <{index}>", PLAYED, FOUND) for index in range(5)))
    balance = Balance()
    balance.feed(page)
    assert balance.opened == []
    assert "A &lt;title&gt;" in page and "1 &amp; 2" in page and "piece &lt;4&gt;" in page and "<4>" not in page
    assert not re.search(r'(?:src|href)="(?!#)', page) and "url(" not in page and "<script" not in page
    assert page.count("<details") == 5 and "<details open" not in page
    for number in range(5):
        assert f'href="#piece-{number}"' in page and f'id="piece-{number}"' in page


def test_one_piece_is_open_and_has_no_intervals(tmp_path):
    page = page_of(tmp_path, scored("a", PLAYED, FOUND))
    assert " open><summary>" in page and "<small>" not in page
    assert "<td>Onset</td><td>0.500</td><td>0.333</td><td>0.400</td>" in page


def test_scores_without_notes_are_left_out(tmp_path):
    assert "Drum onset" not in page_of(tmp_path, scored("a", PLAYED[:3], FOUND[:2]))


def test_pieces_without_notes_and_notes_from_before(tmp_path):
    page = page_of(tmp_path, scored("silence", notes.empty(), notes.empty()), scored("drums", PLAYED[3:], PLAYED[3:]))
    assert "no notes" in page
    early = PLAYED.copy()
    early["onset"][0] = -0.5  # sounds on from before a crop
    page = page_of(tmp_path, scored("a", early, FOUND))
    assert min(left for left, _, _ in boxes(page, "note")) == score_page.MARGIN_PIXELS


def test_the_three_kinds_differ_in_lightness():
    def luminance(kind):
        colour = re.search(rf"\.{kind} {{[^}}]*?(?:stroke|fill): (#\w+);[^}}]*}}", score_page._STYLE)
        stroke = re.search(rf"\.{kind} {{[^}}]*stroke: (#\w+);", score_page._STYLE)
        text = (stroke or colour).group(1)[1:]
        text = "".join(2 * each for each in text) if len(text) == 3 else text
        red, green, blue = (int(text[index : index + 2], 16) / 255 for index in (0, 2, 4))
        return 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2  # of sRGB

    values = sorted(luminance(kind) for kind in ("hit", "miss", "extra"))
    assert np.min(np.diff(values)) > 0.15


def test_a_folder_that_is_not_there(tmp_path):
    piece = scored("a", PLAYED, FOUND)
    with pytest.raises(InputError, match="there is no folder"):
        score_page.write(
            tmp_path / "no" / "p.html", title="", remarks=[], pieces=[piece], summary=scoring.summarise([piece.score])
        )
