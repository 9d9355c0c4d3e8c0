"""Wrong usage: exit code 2, and what was wrong."""

import pytest

from mt3lite import cli

TRAIN = ("train", "--data", "x", "--workdir", "y")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["transcribe"], "required: PATH"),
        (["transcribe", "a.wav", "b.wav", "-o", "c.mid"], "-o names the output of one file"),
        (["transcribe", ".", "-o", "c.mid"], "-o names the output of one file"),
        (["transcribe", "a.wav", "-o", "c.mid", "--output-dir", "d"], "not allowed with"),
        (["transcribe", "a.wav", "-o", "c.wav"], "-o c.wav: the name must end with .mid or .json or .csv"),
        (["transcribe", "a.wav", "-o", "c.mid", "--format", "csv"], "-o c.mid: the name must end with .csv"),
        (["transcribe", "a.wav", "--format", "mid,xml"], "'xml' is not one of mid, json, csv"),
        (["transcribe", "a.wav", "--instruments", "kazoo"], "unknown instrument 'kazoo'; choose from: "),
        (["transcribe", "a.wav", "--ensemble", "kazoo"], "unknown instrument 'kazoo'; choose from: "),
        (["transcribe", "a.wav", "--ensemble", "cello", "--instruments", "cello"], "not allowed with argument"),
        (["transcribe", "a.wav", "--batch-size", "0"], "'0' is not a whole number of at least 1"),
        (["transcribe", "a.wav", "--soundfont", "x.sf2"], "--soundfont is for --sonify"),
        (["transcribe", "a.wav", "--quiet", "--verbose"], "not allowed with"),
        (["transcribe", "a.wav", "--tuning", "466"], "'466' is not a frequency from 390 to 453 Hz"),
        (["transcribe", "a.wav", "--tempo", "12"], "'12' is not a tempo from 20 to 300 beats a minute"),
        (["transcribe", "a.wav", "--bar", "1"], "'1' is not a whole number of at least 2"),
        (["transcribe", "a.wav", "--tuning", "flat"], "'flat' is not a frequency from 390 to 453 Hz"),
        (["evaluate", "dataset", "--tuning", "466"], "'466' is not a frequency from 390 to 453 Hz"),
        (["evaluate", "a.mid", "b.mid", "--tuning", "415"], "--tuning: for scoring a model on a dataset"),
        (["data", "show", "d", "--plot", "a.mid"], "--plot a.mid: the name must end with .png or .svg or .pdf"),
        (["transcribe", "a.wav", "--fast"], "unrecognized arguments: --fast"),
        (["train", "--data", "x"], "--workdir"),
        ([*TRAIN, "--minutes", "0"], "'0' is not a number above 0"),
        ([*TRAIN, "--steps", "2", "--minutes", "1"], "not allowed with"),
        (
            ["data", "synthesize", "x", "--soundfont", "y", "--hours", "1", "--midi", "z=-1"],
            "'-1' is not a number above 0",
        ),
        ([*TRAIN, "--steps=" + "9" * 30], "is more than 1000000000"),
        ([*TRAIN, "--steps=" + "9" * 5000], "is more than 1000000000"),
        ([*TRAIN, "--minutes=1e400"], "is not a number above 0 and up to"),
        ([*TRAIN, "--minutes=nan"], "is not a number above 0"),
        ([*TRAIN, "--seed=-1"], "is not a whole number of at least 0"),
        ([*TRAIN, "--workers=1025"], "is more than 1024"),
    ],
)
def test_wrong_usage(capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
