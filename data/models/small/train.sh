#!/usr/bin/env bash
# Makes a model as the bundled one was made: renders music, trains on it, scores the model on music held out.
#
#   data/models/small/train.sh WORK MIDI SOUNDFONT... [-- OPTIONS OF mt3lite train]
#   MINUTES=25 HOURS=10 INIT=small data/models/small/train.sh work midi FluidR3_GM.sf2 MuseScore_General_Lite.sf3
#
# WORK       folder for all that is made: train/, validation/, run/ (with run/model), scores.json
# MIDI       folder of folders of MIDI files, see render.sh
# SOUNDFONT  each piece draws one of these
# MINUTES    of training; the schedule is fitted to it. HOURS of music. INIT: the model to go on from, "" for none.
# TIMBRES    chance of each instrument of training's music to sound unlike the soundfont's, 0 to 1
# ANY        chance of each part of training's music to be played by any instrument, not one of its family
# SEED, JOBS (processes that render), VALIDATION_HOURS, PYTHON: as their names say.
#
# Interrupted and begun again with the same arguments, every part goes on where it was. Needs what
# pip install 'mt3lite[train,synth]' brings, and FluidSynth.
set -euo pipefail

MINUTES=${MINUTES:-100} HOURS=${HOURS:-12} VALIDATION_HOURS=${VALIDATION_HOURS:-0.33} SEED=${SEED:-0} INIT=${INIT:-}
JOBS=${JOBS:-$(getconf _NPROCESSORS_ONLN)} PYTHON=${PYTHON:-python3} TIMBRES=${TIMBRES:-0.7} ANY=${ANY:-0.25}

[ $# -ge 3 ] || { sed -n '2,18s/^# \{0,1\}//p' "$0" >&2; exit 2; }
work=$1 midi=$2; shift 2
soundfonts=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do soundfonts+=("$1"); shift; done
[ $# -eq 0 ] || shift

export JOBS PYTHON
mt3lite() { "$PYTHON" -m mt3lite "$@"; }
render() { # SPLIT HOURS SEED TIMBRES ANY
  TIMBRES=$4 ANY=$5 "$(dirname "$0")/render.sh" "$work/$1" "$1" "$2" "$3" "$midi" "${soundfonts[@]}"
}
render train "$HOURS" "$SEED" "$TIMBRES" "$ANY"
render validation "$VALIDATION_HOURS" "$((SEED + 7))" 0 0.25 # always the same, so that scores are comparable

echo "== Training for $MINUTES minutes: $work/run"
start=(--preset small)
[ -z "$INIT" ] || start=(--init-from "$INIT")
mt3lite train --data "$work/train" --workdir "$work/run" --minutes "$MINUTES" --seed "$SEED" "${start[@]}" \
  --origin "Rendered music; see data/models/small/README.md of mt3lite" --license Apache-2.0 "$@"

echo "== Scoring: $work/scores.json"
mt3lite evaluate "$work/validation" --split validation --model "$work/run/model" --workdir "$work/heard" \
  --json "$work/scores.json"
echo "== The model: $work/run/model"
