"""Makes instruments by synthesis: a folder for each, with one FLAC file a note, as recorded.py reads them.

    data/models/small/voices.py OUT --seed N [--rate 22050]

Each seed draws other parameters for every instrument: a bank whose organs, pads, reeds and guitars differ from those of
other seeds as makes of an instrument do. Notes are 4 semitones apart and begin at the beginning of their file;
sustained ones last 5 seconds, others as long as they ring, 6 at most.
"""

import argparse
import zlib
from pathlib import Path

import librosa
import numpy as np
import soundfile
from scipy import signal
from synthesis import SUSTAINED_SECONDS, Drawbars, Modulated, Note, OneOf, Plucked, Struck, Sustained, body, drawn

_STEP = 4  # semitones between notes
_PEAK = 0.9
_INAUDIBLE = 0.002  # of the peak: what rings on more softly is cut off
_ON_OR_OFF = OneOf(0, (2.0, 8.0))
_ANY_BARS = [_ON_OR_OFF, _ON_OR_OFF, (5.0, 8.0), *[_ON_OR_OFF] * 6]
_CABINET = body(4, 90, 3500, quality=(1, 3))
_VIOLINS = body(9, 250, 6000, gain=(0.3, 2.0), quality=(5, 18))
_AAH = [[(600, 850), 7, 1.0], [(1000, 1300), 8, (0.4, 0.8)], [(2400, 3000), 10, (0.1, 0.5)], [(3300, 4000), 10, 0.2]]
_OOH = [[(280, 420), 5, 1.0], [(600, 900), 7, (0.2, 0.5)], [(2200, 2800), 10, (0.03, 0.15)]]
_VIBRATO = OneOf(0, (4, 25))
_PLUCKED_SWEEP = {"sweep": (0.003, 0.01), "sweep_decay": (0.08, 0.6), "sweep_sustain": (0.0, 0.4)}
# Their lowest and highest keys; the General MIDI programs, from 0, that they are akin to.
INSTRUMENTS = {
    "organ-drawbar": (28, 96, Drawbars(_ANY_BARS)),  # 16
    "organ-percussive": (  # 17
        28, 96, Drawbars([_ON_OR_OFF, 0, (6.0, 8.0), _ON_OR_OFF, *[0] * 5], percussion=(0.7, 1.8), click=(0.1, 0.6))
    ),
    "organ-rock": (  # 18
        28, 96, Drawbars(_ANY_BARS, rotor_hz=(5.8, 7.5), rotor_cents=(1.0, 3.5), rotor_tremolo=(0.1, 0.4), drive=(2, 6))
    ),
    "organ-church": (28, 96, Sustained(  # 19
        {-12: OneOf(0, 0, (0.2, 0.7)), 0: 1, 12: (0.3, 0.9), 19: OneOf(0, (0.1, 0.4)), 24: (0.1, 0.7),
         31: OneOf(0, (0.1, 0.4)), 36: OneOf(0, (0.1, 0.4))},
        layer_cents=(0.4, 2.0), tilt=(0.0, 1.8), cutoff_hz=(1200, 6000), attack=(0.02, 0.08), breath=(0.005, 0.04),
        chiff=(0.02, 0.4), sustain=1.0, wander_cents=(0.2, 0.8),
    )),
    "reed-organ": (28, 96, Sustained(  # 20 to 23
        {-12: OneOf(0, 0, (0.3, 0.8)), 0: 1, 12: OneOf(0, (0.2, 0.7))}, layer_cents=(0.5, 3), voices=OneOf(1, 2, 3),
        detune_cents=(2, 14), pulse=OneOf(0, 1, (0.3, 0.7)), width=(0.08, 0.4), tilt=(0.0, 0.6), attack=(0.02, 0.08),
        body=body(5, 300, 5000, quality=(2, 6)), floor=(0.3, 1.0), breath=(0.002, 0.02), tremolo=OneOf(0, (0.05, 0.2)),
    )),
    "pad-warm": (28, 96, Sustained(  # 89
        {0: 1, -12: OneOf(0, 0, (0.1, 0.35))}, voices=(2, 6), detune_cents=(4, 16), pulse=OneOf(0, (0.0, 0.6)),
        cutoff_hz=(500, 1800), closed=(0.3, 1.5), sweep=(0.1, 1.0), attack=(0.03, 0.11), motion=(0.05, 0.3),
    )),
    "pad-poly": (28, 96, Sustained(  # 88, 90
        {0: 1, 12: OneOf(0, (0.2, 0.7))}, voices=(2, 6), detune_cents=(5, 20), pulse=OneOf(0, (0.3, 1.0)),
        cutoff_hz=(1500, 6000), closed=(0.5, 3), resonance=(0.7, 2.5), sweep=(0.01, 0.2), sweep_decay=(0.3, 1.5),
        sweep_sustain=(0.3, 0.9), attack=(0.03, 0.1), motion=(0.0, 0.2),
    )),
    "pad-choir": (28, 96, Sustained(  # 91
        voices=(3, 8), detune_cents=(5, 18), pulse=OneOf(0, 1), width=(0.08, 0.3), body=OneOf(_AAH, _OOH),
        floor=(0.05, 0.3), attack=(0.03, 0.11), breath=(0.01, 0.1), vibrato_cents=(0.0, 15), motion=0.1,
    )),
    "pad-bowed": (28, 96, Sustained(  # 92
        {0: 1, 12: OneOf(0, (0.2, 0.8)), 19: OneOf(0, (0.1, 0.5)), 28: OneOf(0, (0.05, 0.3))}, layer_cents=(1, 5),
        voices=(2, 4), detune_cents=(2, 9), tilt=(0.7, 1.8), closed=(0.5, 2), sweep=(0.1, 0.8), attack=(0.04, 0.11),
        breath=(0.01, 0.08), tremolo=(0.0, 0.2), motion=0.2,
    )),
    "pad-metallic": (28, 96, Modulated(  # 93
        [[1, 1.0, OneOf(1.0, 2.0, 3.0), (0.4, 2.0), (0.3, 2.0)], [1, (0.2, 0.6), (2.1, 7.9), (0.2, 1.2), (0.3, 3.0)],
         [2, (0.1, 0.5), (1.3, 4.7), (0.1, 1.0), (0.5, 3.0)]],
        hold=(0.2, 0.8), voices=(2, 4), detune_cents=(3, 9), attack=(0.02, 0.1), sustain=(0.4, 0.9),
        seconds=SUSTAINED_SECONDS,
    )),
    "pad-sweep": (28, 96, Sustained(  # 95
        voices=(2, 6), detune_cents=(5, 18), pulse=OneOf(0, 1, (0.2, 0.8)), cutoff_hz=(2500, 7000), closed=(2, 4),
        resonance=(1.0, 4.0), sweep=OneOf(0.02, (0.5, 3.0)), sweep_decay=(1.0, 3.0), sweep_sustain=(0.0, 0.7),
        attack=(0.03, 0.1), motion=(0.1, 0.4),
    )),
    "lead-square": (28, 96, Sustained(  # 80
        voices=OneOf(1, 1, 2, 3), detune_cents=(2, 12), pulse=1, width=(0.3, 0.5), cutoff_hz=(1500, 9000),
        attack=(0.002, 0.02), vibrato_cents=_VIBRATO, sweep_sustain=(0.5, 1.0), closed=(0.0, 2.0), sweep=(0.005, 0.05),
        resonance=(0.7, 2), scoop_cents=OneOf(0, 0, (-80, 80)),
    )),
    "lead-saw": (28, 96, Sustained(  # 81
        {0: 1, -12: OneOf(0, 0, (0.1, 0.35)), 12: OneOf(0, 0, (0.2, 0.7))}, voices=OneOf(1, 2, 3, 5, 7),
        detune_cents=(3, 20), cutoff_hz=(2000, 9000), closed=(0.0, 2.5), resonance=(0.7, 3), sweep=(0.003, 0.05),
        sweep_sustain=(0.4, 1.0), attack=(0.002, 0.02), vibrato_cents=_VIBRATO, drive=OneOf(0, 0, (0.5, 2.5)),
    )),
    "lead-calliope": (28, 96, Sustained(  # 82
        {0: 1, 12: OneOf(0, (0.1, 0.5))}, voices=OneOf(1, 2), detune_cents=(2, 9), pulse=1, width=(0.3, 0.5),
        tilt=(0.5, 1.6), breath=(0.02, 0.12), chiff=(0.05, 0.4), attack=(0.01, 0.04), vibrato_cents=_VIBRATO,
    )),
    "lead-chiff": (28, 96, Sustained(  # 83
        {0: 1, 12: OneOf(0, (0.2, 0.7))}, voices=OneOf(1, 2, 3), detune_cents=(2, 12), pulse=OneOf(0, 1),
        tilt=(0.2, 1.2), chiff=(0.4, 1.5), noise_hz=(800, 2500), sustain=(0.3, 0.8), attack=(0.004, 0.02),
    )),
    "lead-fifth": (28, 96, Sustained(  # 86
        {0: 1, 7: (0.5, 1.0), -12: OneOf(0, 0, (0.1, 0.35))}, voices=OneOf(1, 2, 3), detune_cents=(3, 12),
        pulse=OneOf(0, 1), cutoff_hz=(1500, 8000), closed=(0.0, 2), sweep=(0.003, 0.05), attack=(0.003, 0.02),
    )),
    "synth-voice": (28, 96, Sustained(  # 54
        voices=OneOf(1, 2, 3), detune_cents=(3, 14), pulse=OneOf(0, 1), width=(0.05, 0.3), body=OneOf(_AAH, _OOH),
        floor=(0.03, 0.2), attack=(0.02, 0.08), vibrato_cents=_VIBRATO, scoop_cents=OneOf(0, (-60, 0)),
    )),
    "synth-strings": (28, 96, Sustained(  # 50, 51
        {0: 1, 12: OneOf(0, (0.2, 0.7)), -12: OneOf(0, 0, (0.1, 0.35))}, voices=(3, 8), detune_cents=(6, 20),
        cutoff_hz=(1500, 6000), closed=(0.0, 1.0), sweep=(0.05, 0.3), attack=(0.03, 0.12), body=body(4, 400, 5000),
        floor=(0.5, 1.0), vibrato_cents=(0.0, 8),
    )),
    "synth-brass": (28, 96, Sustained(  # 62, 63
        {0: 1, -12: OneOf(0, 0, (0.1, 0.35))}, voices=OneOf(1, 2, 3, 5), detune_cents=(4, 16), pulse=OneOf(0, 0, 0.5),
        cutoff_hz=(1500, 6000), closed=(1.5, 3.5), resonance=(0.7, 2.5), sweep=(0.03, 0.15), sweep_sustain=(0.3, 0.8),
        attack=(0.01, 0.05), scoop_cents=OneOf(0, (-70, 0)), vibrato_cents=OneOf(0, (2, 10)),
    )),
    "synth-bass": (24, 64, Sustained(  # 38, 39
        {0: 1, -12: OneOf(0, 0, (0.2, 0.7)), 12: OneOf(0, (0.2, 0.6))}, voices=OneOf(1, 1, 2), detune_cents=(3, 12),
        pulse=OneOf(0, 1), cutoff_hz=(1000, 5000), closed=(1.5, 4), resonance=(0.7, 5), **_PLUCKED_SWEEP,
        attack=(0.002, 0.006), decay=(0.3, 1.5), sustain=OneOf(0.0, (0.4, 0.9)), drive=OneOf(0, (0.5, 3)),
    )),
    "e-piano-tine": (28, 96, Struck(  # 4
        [[1, 1], [2, (0.02, 0.2)], [(5.5, 7.5), (0.05, 0.3)], [(15, 19), (0.02, 0.15)]], decay=(0.9, 2.2),
        hammer_hz=(2500, 8000), drive=(0.4, 2.5), tremolo=OneOf(0, (0.1, 0.5)),
    )),
    "e-piano-fm": (28, 96, Modulated([  # 5
        [1, 1, 1, (0.3, 1.5), (0.3, 1.2)], [1, (0.2, 0.8), OneOf(11, 13, 14, 15), (0.1, 0.8), (0.08, 0.4)],
        [OneOf(1, 2, 3), (0.0, 0.4), OneOf(1, 2), (0.1, 1.0), (0.2, 1.0)],
    ])),
    "harpsichord": (28, 92, Plucked(  # 6
        (0.5, 1.3), bright_hz=(4000, 9000), place=(0.07, 0.2), tilt=(0.2, 0.7), octave=OneOf(0, (0.2, 0.8)),
        damping_hz=(2500, 8000), click=(0.05, 0.3), click_hz=(1500, 2400), body=body(6, 150, 4000, gain=(0.1, 0.7)),
    )),
    "clavinet": (28, 92, Plucked(  # 7
        (0.4, 1.3), bright_hz=(3000, 9000), place=(0.04, 0.15), pickup=(0.06, 0.3), tilt=(0.1, 0.6), body=_CABINET,
        damping_hz=(1500, 6000), stiffness=(5e-5, 4e-4), drive=OneOf(0, (0.3, 2.0)),
    )),
    "celesta": (48, 96, Struck(  # 8
        [[1, 1], [(2.6, 4.1), (0.05, 0.4)], [(5.2, 7), (0.02, 0.2)], [(9, 12), (0.0, 0.1)]], decay=(0.5, 1.1)
    )),
    "glockenspiel": (60, 96, Struck(  # 9
        [[1, 1], [(2.65, 2.8), (0.2, 0.8)], [(5.2, 5.5), (0.1, 0.6)], [(8.5, 9.1), (0.05, 0.4)]], decay=(0.9, 2.4),
        hammer_hz=(4000, 9000), damping=(0.4, 1.0),
    )),
    "vibraphone": (40, 96, Struck(  # 11
        [[1, 1], [(3.9, 4.05), (0.1, 0.5)], [(9.2, 10.8), (0.03, 0.25)]], decay=(1.2, 3.5), damping=(0.9, 1.5),
        tremolo=OneOf(0, (0.15, 0.6)), hammer_hz=(1000, 5000),
    )),
    "marimba": (36, 96, Struck(  # 12
        [[1, 1], [(3.85, 4.1), (0.1, 0.5)], [(9.1, 10.6), (0.05, 0.3)]], decay=(0.15, 0.45), knock=(0.03, 0.3),
        hammer_hz=(800, 4000),
    )),
    "tubular-bells": (48, 84, Struck(  # 14: free bars, whose fourth to sixth modes are heard as 2, 3, 4 of a low tone
        [[0.62, (0.05, 0.3)], [1, (0.2, 0.6)], [1.21, (0.05, 0.2)], [2, 1], [2.99, (0.5, 1)], [4.17, (0.3, 0.9)],
         [5.56, (0.2, 0.6)], [7.14, (0.05, 0.4)]],
        decay=(1.8, 3.5), damping=(0.3, 0.8), hammer_hz=(2000, 7000), shortening=(0.2, 0.5),
    )),
    "kalimba": (40, 92, Struck(  # 108
        [[1, 1], [(2.0, 3.2), (0.0, 0.2)], [(5.3, 6.4), (0.1, 0.5)], [(13, 17.5), (0.0, 0.25)]], decay=(0.3, 0.9),
        knock=(0.05, 0.3), body=body(3, 150, 1200), drive=OneOf(0, (0.3, 1.0)),
    )),
    "steel-drums": (40, 92, Struck(  # 114
        [[1, 1], [(1.99, 2.02), (0.4, 1.0)], [(2.97, 3.05), (0.1, 0.5)], [(3.9, 4.2), (0.1, 0.5)],
         [(5.0, 6.4), (0.05, 0.3)], [(7.1, 9.3), (0.02, 0.2)]],
        decay=(0.25, 0.8), damping=(0.2, 0.8), beat_cents=(2, 12), drive=OneOf(0, (0.3, 1.2)),
    )),
    "strings-bowed": (28, 96, Sustained(  # 40 to 43
        tilt=(0.0, 0.5), cutoff_hz=(2500, 7000), closed=(0.5, 1.5), sweep=(0.04, 0.12), attack=(0.02, 0.08),
        vibrato_cents=(5, 25), vibrato_delay=(0.15, 0.7), wander_cents=(1, 4), breath=(0.01, 0.06), chiff=(0.05, 0.3),
        noise_hz=(1000, 2500), body=_VIOLINS, floor=(0.1, 0.6), scoop_cents=(-25, 0), tremolo=(0.0, 0.08), motion=0.1,
    )),
    "strings-section": (28, 96, Sustained(  # 48, 49
        {0: 1, -12: OneOf(0, 0, (0.1, 0.35)), 12: OneOf(0, 0, (0.2, 0.5))}, voices=(8, 12), detune_cents=(6, 18),
        tilt=(0.0, 0.6), cutoff_hz=(2000, 6000), closed=(0.5, 1.5), sweep=(0.05, 0.2), attack=(0.03, 0.1),
        vibrato_cents=(5, 18), wander_cents=(2, 6), breath=(0.005, 0.04), body=_VIOLINS, floor=(0.2, 0.7),
    )),
    "choir-aah": (36, 88, Sustained(  # 52
        voices=(4, 10), detune_cents=(6, 20), tilt=(0.2, 0.8), body=_AAH, floor=(0.03, 0.15), attack=(0.03, 0.1),
        breath=(0.01, 0.08), vibrato_cents=(6, 25), wander_cents=(3, 8), scoop_cents=(-50, 0),
    )),
    "choir-ooh": (36, 88, Sustained(  # 53
        voices=(3, 9), detune_cents=(5, 18), tilt=(0.4, 1.0), body=_OOH, floor=(0.03, 0.15), attack=(0.03, 0.1),
        breath=(0.01, 0.1), vibrato_cents=(6, 25), wander_cents=(3, 8), scoop_cents=(-50, 0),
    )),
    "trumpet-like": (44, 92, Sustained(  # 56, 57, 59
        tilt=(0.0, 0.3), cutoff_hz=(2000, 6000), track=0.2, closed=(1.0, 2.5), sweep=(0.03, 0.1), attack=(0.01, 0.04),
        body=[[(900, 1700), (1.5, 3), (0.5, 2)], [(2200, 3500), (2, 4), (0.2, 1)]], floor=(0.3, 0.8),
        scoop_cents=(-40, 10), vibrato_cents=OneOf(0, (3, 18)), sweep_sustain=(0.6, 1.0), breath=(0.002, 0.015),
    )),
    "horn-like": (32, 84, Sustained(  # 58, 60
        tilt=(0.1, 0.7), cutoff_hz=(600, 1600), track=0.3, closed=(1.0, 2.5), sweep=(0.04, 0.12), attack=(0.02, 0.07),
        body=[[(350, 600), (1.5, 3), (0.5, 1.5)]], floor=(0.4, 0.9), scoop_cents=(-40, 0), vibrato_cents=(0.0, 6),
        sweep_sustain=(0.5, 0.9), breath=(0.002, 0.015),
    )),
    "brass-section": (32, 92, Sustained(  # 61
        {0: 1, -12: OneOf(0, 0, (0.1, 0.35))}, voices=(3, 6), detune_cents=(4, 14), tilt=(0.0, 0.4),
        cutoff_hz=(1500, 5000), track=0.25, closed=(1.5, 3), sweep=(0.03, 0.1), sweep_sustain=(0.5, 0.9),
        attack=(0.015, 0.05), body=[[(800, 1600), (1.5, 3), (0.4, 1.5)]], floor=(0.4, 0.9), scoop_cents=(-50, 0),
        vibrato_cents=(0.0, 10), wander_cents=(1, 4),
    )),
    "reed-sax": (36, 88, Sustained(  # 64 to 67
        pulse=OneOf(0, (0.2, 0.7)), width=(0.1, 0.4), tilt=(0.0, 0.5), cutoff_hz=(2000, 5500), track=0.3,
        closed=(0.5, 1.5), sweep=(0.02, 0.08), body=[[(450, 900), (1.5, 3), 1], [(1100, 2200), (2, 4), (0.4, 1)]],
        floor=(0.2, 0.6), breath=(0.01, 0.08), vibrato_cents=(5, 25), tremolo=(0.0, 0.15), scoop_cents=(-60, 0),
    )),
    "reed-double": (32, 92, Sustained(  # 68 to 70
        pulse=OneOf(0, 1), width=(0.05, 0.2), cutoff_hz=(3000, 7000), track=0.2, floor=(0.1, 0.4),
        body=[[(450, 1300), (2, 4), 1], [(1800, 3400), (2, 5), (0.3, 1)]], vibrato_cents=(0.0, 18), tremolo=(0.0, 0.1),
        attack=(0.01, 0.05), breath=(0.002, 0.02),
    )),
    "reed-clarinet": (40, 96, Sustained(  # 71
        pulse=1, width=(0.46, 0.5), tilt=(0.0, 0.4), cutoff_hz=(1300, 4500), track=0.3, closed=(0.3, 1.5),
        attack=(0.015, 0.06), breath=(0.002, 0.03), vibrato_cents=OneOf(0, (2, 10)), body=body(3, 600, 4000),
    )),
    "flute-breathy": (48, 96, Sustained(  # 72 to 79
        pulse=OneOf(0, 1), width=(0.3, 0.5), tilt=(0.7, 2.2), breath=(0.03, 0.25), chiff=(0.05, 0.5),
        attack=(0.015, 0.07), vibrato_cents=(2, 20), tremolo=(0.02, 0.3), scoop_cents=(-30, 10),
    )),
    "guitar-nylon": (36, 88, Plucked((0.4, 1.1), bright_hz=(900, 2500), damping_hz=(500, 1800))),  # 24
    "guitar-steel": (36, 88, Plucked(  # 25
        (0.7, 1.7), bright_hz=(2500, 7000), tilt=(0.4, 0.9), octave=OneOf(0, 0, (0.2, 0.7)), damping_hz=(1200, 4000)
    )),
    "guitar-clean": (36, 88, Plucked(  # 26, 27
        (0.9, 2.2), pickup=(0.06, 0.3), bright_hz=(1200, 5000), body=_CABINET, drive=OneOf(0, (0.2, 1.0))
    )),
    "guitar-muted": (36, 88, Plucked(  # 28
        (0.07, 0.22), pickup=(0.06, 0.3), bright_hz=(1000, 4000), damping_hz=(500, 2000), body=_CABINET,
        click=(0.05, 0.3), shortening=(0.1, 0.4),
    )),
    "guitar-overdriven": (36, 88, Plucked(  # 29
        (1.2, 2.5), pickup=(0.06, 0.3), bright_hz=(1200, 4000), body=_CABINET, drive=(4, 14), floor=(0.1, 0.5)
    )),
    "guitar-distorted": (36, 88, Plucked(  # 30
        (1.5, 3.0), pickup=(0.06, 0.3), bright_hz=(1500, 5000), body=_CABINET, drive=(20, 80), floor=(0.1, 0.5)
    )),
    "bass-finger": (24, 64, Plucked(  # 33, 32
        (0.4, 1.0), pickup=OneOf(0, (0.08, 0.3)), bright_hz=(800, 3000), damping_hz=(300, 1500), body=_CABINET
    )),
    "bass-pick": (24, 64, Plucked(  # 34
        (0.5, 1.1), pickup=(0.06, 0.25), place=(0.05, 0.15), bright_hz=(2500, 7000), tilt=(0.4, 0.9), body=_CABINET,
        click=(0.1, 0.4),
    )),
    "bass-slap": (24, 64, Plucked(  # 36, 37
        (0.5, 1.1), pickup=(0.06, 0.25), place=(0.03, 0.12), bright_hz=(4000, 9000), tilt=(0.2, 0.7), body=_CABINET,
        click=(0.3, 0.9), click_hz=(1000, 2400), damping_hz=(600, 2500), drive=OneOf(0, (0.3, 1.5)),
    )),
    "pizzicato": (28, 92, Plucked(  # 45
        (0.1, 0.35), bright_hz=(900, 3000), damping_hz=(400, 1500), body=_VIOLINS, click=(0.02, 0.15)
    )),
    "harp": (28, 96, Plucked((0.7, 1.8), place=(0.25, 0.45), bright_hz=(1000, 3500), damping_hz=(800, 3000))),  # 46
    "banjo": (44, 88, Plucked(  # 105
        (0.2, 0.5), place=(0.05, 0.15), bright_hz=(4000, 9000), tilt=(0.2, 0.6), click=(0.1, 0.4),
        body=body(5, 300, 3500, gain=(0.5, 2.0)), floor=(0.2, 0.5),
    )),
}  # fmt: skip


def main() -> None:
    """Read the command line, write the notes of all instruments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, required=True, metavar="N", help="0 or more")
    parser.add_argument("--rate", type=int, default=22050, metavar="HZ", help="(default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.seed < 0:
        parser.error(f"--seed {arguments.seed}: 0 or more is wanted")
    if not 16000 <= arguments.rate <= 48000:
        parser.error(f"--rate {arguments.rate}: 16000 to 48000 Hz are wanted")
    for name, (lowest, highest, family) in INSTRUMENTS.items():
        own_seed = [arguments.seed, zlib.crc32(name.encode())]
        instrument = drawn(family, np.random.default_rng(own_seed))
        folder = arguments.out / name
        folder.mkdir(parents=True, exist_ok=True)
        for pitch in range(lowest, highest + 1, _STEP):
            seconds = np.arange(int(instrument.seconds * arguments.rate)) / arguments.rate
            hz = 440 * 2 ** ((pitch - 69) / 12)
            note = Note(hz, arguments.rate, seconds, np.random.default_rng([*own_seed, pitch]))
            file_name = librosa.midi_to_note(pitch, unicode=False).replace("#", "s") + ".flac"
            soundfile.write(folder / file_name, _finished(instrument.play(note), arguments.rate), arguments.rate)
    print(f"{arguments.out}: {len(INSTRUMENTS)} instruments")


def _finished(samples: np.ndarray, rate: int) -> np.ndarray:
    """Return samples as they are kept: nothing below what is heard, no silence at their end, the usual peak."""
    samples = signal.sosfilt(signal.butter(2, 15, "highpass", fs=rate, output="sos"), samples)
    audible = np.flatnonzero(np.abs(samples) > _INAUDIBLE * np.abs(samples).max())
    samples = samples[: audible[-1] + 1]
    fade = min(len(samples), rate // 50)
    samples[-fade:] *= np.linspace(1, 0, fade)
    return (samples * (_PEAK / np.abs(samples).max())).astype(np.float32)


if __name__ == "__main__":
    main()
