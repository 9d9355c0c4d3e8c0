"""The scripts that make instruments by physical models and by emulated chips, with players that are made up."""

import dataclasses
import math
import shutil
import subprocess
import sys
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile

FOLDER = Path(__file__).parents[1] / "data" / "models" / "small"
sys.path.insert(0, str(FOLDER))
import fm  # noqa: E402
import physical  # noqa: E402

sys.path.remove(str(FOLDER))

HELD = physical.Instrument(60, 72, "Reed", {2: 64})
RINGING = physical.Instrument(60, 72, "String", {}, rings=True)


class Player:
    """Plays a sine that is `sharp` semitones above what is asked for, and notes what that was."""

    def __init__(self, sharp: float = 0.0, decay: float = 0.0, attack: float = 0.01, gain: float = 0.5):
        self.sharp, self.decay, self.attack, self.gain = sharp, decay, attack, gain
        self.asked: list[float] = []

    def __call__(self, request: list, count: int) -> np.ndarray:
        _, rate, hz, *_ = request
        self.asked.append(69 + 12 * math.log2(hz / 440))
        seconds = np.arange(count) / rate
        loudness = self.gain * np.minimum(1, seconds / self.attack) * np.exp(-self.decay * seconds)
        return loudness * np.sin(2 * np.pi * hz * 2 ** (self.sharp / 12) * seconds)


def test_a_note_is_asked_for_until_it_is_in_tune():
    player = Player(sharp=0.4)
    samples, fault = physical._in_tune([HELD], 64, player)
    assert fault == "" and samples.dtype == np.float32
    assert player.asked[0] == pytest.approx(64) and player.asked[-1] == pytest.approx(63.6, abs=0.04)
    assert len(player.asked) <= 3
    heard = librosa.yin(samples[:22050], fmin=200, fmax=500, sr=22050)
    assert np.median(librosa.hz_to_midi(heard)) == pytest.approx(64, abs=0.05)


def test_held_notes_last_and_ringing_ones_end():
    held, _ = physical._in_tune([HELD], 69, Player())
    assert len(held) == pytest.approx(4 * 22050, abs=22050 // 50) and np.abs(held).max() == pytest.approx(0.9, abs=1e-6)
    ringing, fault = physical._in_tune([RINGING], 69, Player(decay=6.0))
    assert fault == "" and len(ringing) == pytest.approx(22050 * math.log(1 / 0.002) / 6, rel=0.05)
    assert abs(ringing[-1]) < 1e-3  # it is faded out


@pytest.mark.parametrize(
    ("player", "why"),
    [
        (Player(gain=0.0), "silent"),
        (Player(decay=6.0), "does not last"),
        (Player(attack=2.0), "slow to speak"),
    ],
)
def test_what_is_no_note_is_left_out_and_told(player, why):
    _, fault = physical._in_tune([HELD], 64, player)
    assert why in fault


def test_what_does_not_speak_is_played_otherwise():
    good, bad = Player(), Player(gain=0.0)
    other = physical.Instrument(60, 72, "Other", {})

    def play(request: list, count: int) -> np.ndarray:
        return (good if request[0] == "Other" else bad)(request, count)

    samples, fault = physical._in_tune([HELD, other], 64, play)
    assert fault == "" and len(samples) and good.asked and bad.asked


def test_every_instrument_can_be_drawn():
    rng = np.random.default_rng(0)
    for name, family in physical.INSTRUMENTS.items():
        assert family.lowest < family.highest, name
        drawn = dataclasses.replace(family, **physical.drawn(vars(family), rng))
        samples = physical._played(drawn, 60.0, Player(decay=2.0 * drawn.rings))
        assert np.isfinite(samples).all() and np.abs(samples).max() > 0, name


CHIP = r"""
#include <math.h>
#include <stdio.h>
static int pitch = -1, program, rate; static long at;
void *PREFIX_init(long wanted) { rate = wanted; return &rate; }
void PREFIX_switchEmulator(void *player, int emulator) {}
int PREFIX_openBankFile(void *player, const char *path) {
  FILE *file = fopen(path, "r");
  return file ? fclose(file) : -1;
}
void PREFIX_rt_controllerChange(void *player, int channel, int number, int value) { pitch = -1; }
void PREFIX_rt_patchChange(void *player, int channel, int number) { program = number; }
int PREFIX_rt_noteOn(void *player, int channel, int note, int velocity) { pitch = note; at = 0; return 1; }
void PREFIX_rt_noteOff(void *player, int channel, int note) { pitch = -1; }
int PREFIX_generate(void *player, int count, short *out) {
  for (int i = 0; i < count; i += 2, at++) {
    double hz = 440 * pow(2, (pitch - 69) / 12.0);
    out[i] = out[i + 1] = pitch < 0 || program == 1 ? 0 : 9000 * sin(6.283185307 * hz * at / rate);
  }
  return count;
}
"""


def test_a_chip_plays_a_folder_of_each_program(tmp_path, monkeypatch, capsys):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("a made-up chip needs a C compiler: apt install gcc")
    sources = tmp_path / "sources"
    (sources / "chip" / "build").mkdir(parents=True)
    (tmp_path / "chip.c").write_text(CHIP.replace("PREFIX", "adl"))
    library = sources / "chip" / "build" / "chip.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, tmp_path / "chip.c", "-lm"], check=True)
    (sources / "chip" / "patches").touch()
    monkeypatch.setattr(fm, "BANKS", [("fm-1", "adl_", "chip/build/chip.so", 2, "patches")])
    monkeypatch.setattr(fm, "PROGRAMS", range(3))
    monkeypatch.setattr(sys, "argv", ["fm.py", str(sources), str(tmp_path / "out")])
    fm.main()
    assert "3 programs; 6 notes do not sound and were left out" in capsys.readouterr().out
    written = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.flac"))
    assert len(written) == 12 and written[:2] == ["fm-1/program-0/C2.flac", "fm-1/program-0/C3.flac"]
    samples, rate = soundfile.read(tmp_path / "out" / "fm-1" / "program-2" / "C4.flac")
    heard = librosa.yin(samples[:rate], fmin=200, fmax=400, sr=rate)
    assert np.median(librosa.hz_to_midi(heard)) == pytest.approx(60, abs=0.05) and len(samples) == 4.5 * rate
    (sources / "chip" / "patches").unlink()
    with pytest.raises(OSError, match="chip.so can't read these patches"):
        fm.main()
