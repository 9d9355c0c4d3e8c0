from mt3lite import metrics, notes, pooling, score_tables

PIANO = [(0.0, 1.0, 60, 80, 0, False), (1.0, 2.0, 64, 90, 0, False), (2.0, 3.0, 67, 100, 0, False)]


def test_tables():
    piece = notes.from_rows(PIANO)
    found = metrics.counts(piece, piece[:2], granularities=["full"])
    lines = score_tables.table(metrics.from_counts(found)).splitlines()
    assert lines[0].split() == ["precision", "recall", "F1"]
    assert lines[1].split() == ["Onset", "1.000", "0.667", "0.800"]
    assert "Frame" in lines[5]
    assert lines[7].startswith("Drum onset (full)") and lines[7].split()[-3:] == ["-", "-", "-"]
    assert not any("0.01" in line for line in lines)
    assert "0.667 [0.667, 0.667]" in score_tables.table(pooling.pooled([found]))
    rows = score_tables.row_table(metrics.by_instrument(piece, piece[:2])).splitlines()
    assert rows[1].split() == ["Acoustic", "Grand", "Piano", "3", "2", "1.000", "0.667", "0.800", "0.800"]


def test_confusion_table():
    confusion = {
        "Bass": {"Bass": 1, metrics.NOTHING: 2},
        "Piano": {"Piano": 7, "Organ": 1},
        metrics.NOTHING: {"Organ": 4},
    }
    lines = [line.split() for line in score_tables.confusion_table(confusion).splitlines()]
    assert lines == [
        ["played", "as", "Piano", "Bass", "Organ", "(nothing)"],
        ["Piano", "7", "1"],
        ["Bass", "1", "2"],
        ["(nothing)", "4"],
    ]
