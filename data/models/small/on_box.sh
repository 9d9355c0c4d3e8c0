#!/usr/bin/env bash
# Trains on a machine without network, to which the repository and the kit of pack.py are carried, in several calls.
#
#   data/models/small/on_box.sh OUT [FOLDER...] [-- OPTIONS OF mt3lite train]
#   LEG=0 data/models/small/on_box.sh out kit/1
#   data/models/small/on_box.sh out kit/2 -- --dtype bfloat16 --batch-size 128 --resident --listening 1 --reading 0
#   data/models/small/on_box.sh out -- --dtype bfloat16 --batch-size 128 --resident --listening 1 --reading 0
#
# Each call takes what FOLDERs hold, and begins to render music with their soundfonts in the background, which goes on
# when the call has ended. With LEG above 0 it trains then, on what music there is; after every STINT it begins again
# with the music made meanwhile, as long as there is more. The options, SEED and INIT must be the same in all calls.
#
# OUT          what is to be brought home: model/, log, curve.csv, heard.jsonl.gz (the pieces), with HELD_OUT also
#              validation.csv; no file above 15 MB: a larger model comes as model.safetensors.00, .01, ..., for cat
# LEG          minutes a call may take, 0 to train in a later one; MORE: minutes of training in the calls to come, to which
#              the schedule is fitted with what is left of this one
# HOURS        of music to render with the soundfonts of each folder
# HELD_OUT     hours of music to render besides, from files held out, 0 for none: with it, the options --evaluate-every N
#              --evaluate-tracks 0 tell whether the music is learnt by heart
# FEWEST       pieces that training waits for while music is rendered, for a third of LEG at most
# INIT         model to go on from, "" for none; if it is not set, the kit's, or the bundled one where that has none
# WARM         1: compile what training needs, by a moment of it that is not kept, then wait until all music is rendered;
#              no training, whatever LEG says
# BOX          folder for everything else, kept from call to call
# SEED, JOBS (processes that render), STINT (seconds), TIMBRES, ANY (see render.sh), PYTHON: as their names say.
set -euo pipefail

LEG=${LEG:-9.5} MORE=${MORE:-0} HOURS=${HOURS:-60} HELD_OUT=${HELD_OUT:-0} FEWEST=${FEWEST:-1500} SEED=${SEED:-0}
STINT=${STINT:-240} WARM=${WARM:-0} BOX=${BOX:-/tmp/mt3lite-box} JOBS=${JOBS:-$(nproc)} PYTHON=${PYTHON:-python3}
TIMBRES=${TIMBRES:-0.7} ANY=${ANY:-0.25}
origin="Rendered music; see data/models/small/README.md of mt3lite" license=Apache-2.0
starting=${STARTING:-50} ending=${ENDING:-20} # seconds before the first updates, and to save, write and copy the model

[ $# -ge 1 ] || { sed -n '2,28s/^# \{0,1\}//p' "$0" >&2; exit 2; }
out=$1; shift
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$BOX/kit" "$out"
BOX=$(cd "$BOX" && pwd)
export JOBS PYTHON TIMBRES ANY PYTHONUNBUFFERED=1
export PYTHONPATH="$BOX/site:${here%/data/models/small}${PYTHONPATH:+:$PYTHONPATH}"
say() { printf '== %4d s: %s\n' "$SECONDS" "$*" | tee -a "$BOX/log"; }

render() { # DATASET SEED SOUNDFONT...
  # The libraries are for this part alone, and only those that the system lacks: its own come first.
  # To find FluidSynth, pyfluidsynth asks ldconfig, then a compiler, then looks into HOMEBREW_PREFIX.
  LD_LIBRARY_PATH="/usr/lib/x86_64-linux-gnu:/usr/lib64:$BOX/lib" HOMEBREW_PREFIX="$BOX" \
    nice -n 10 setsid bash -euc '[ "$2" = 0 ] || "$0" "$1" validation "$2" "${@:4}"; "$0" "$1" train "${@:3}"' \
    "$here/render.sh" "$1" "$HELD_OUT" "$HOURS" "$2" "$BOX/midi" "${@:3}" > "$1.log" 2>&1 < /dev/null &
  echo $! > "$1.pid"
}
rendering() { local pid; for pid in "$BOX"/music-*.pid; do ! kill -0 "$(cat "$pid")" 2> /dev/null || return 0; done; return 1; }

while [ $# -gt 0 ] && [ "$1" != -- ]; do
  (cd "$1" && sha256sum --check --quiet sha256.txt) || { echo "on_box.sh: $1: damaged on the way" >&2; exit 1; }
  for packed in "$1"/*.tar.xz; do
    [ ! -e "$packed" ] || "$PYTHON" -m tarfile --filter data -e "$packed" "$BOX"
  done
  for weights in "$BOX"/model/model.safetensors.00; do
    [ ! -e "$weights" ] || cat "${weights%.00}".[0-9][0-9] > "${weights%.00}"
  done
  number=$(find "$BOX/kit" -name '*.txt' | wc -l)
  cp "$1"/*.sf[23] "$BOX/kit/" 2> /dev/null || true
  cp "$1/soundfonts.txt" "$BOX/kit/$number.txt"
  mapfile -t soundfonts < "$BOX/kit/$number.txt" # a line for each, their layers joined by ":"
  if [ ${#soundfonts[@]} -eq 0 ]; then
    say "took $1; with it no soundfont is whole yet"
  else
    cd "$BOX/kit"
    render "$BOX/music-$number" $((SEED + number)) "${soundfonts[@]}"
    cd - > /dev/null
    say "took $1; rendering with ${soundfonts[*]}"
  fi
  shift
done
[ $# -eq 0 ] || shift
[ -e "$BOX/kit/0.txt" ] || { echo "on_box.sh: no folder of the kit was named yet" >&2; exit 2; }
[ "$LEG" != 0 ] || [ "$WARM" != 0 ] || exit 0

gather() { # the whole lines of manifests that grow, as one dataset
  for manifest in "$BOX"/music-*/manifest.jsonl; do
    name=$(basename "$(dirname "$manifest")")
    head -n "$(wc -l < "$manifest")" "$manifest" | sed -E "s#\"(id|audio|midi)\": \"#&$name/#g"
  done > "$BOX/heard.jsonl"
  wc -l < "$BOX/heard.jsonl"
}
INIT=${INIT-$([ -d "$BOX/model" ] && echo "$BOX/model" || echo small)}
start=(--gin_file=gin/small.gin) # so that OPTIONS can have --gin.NAME=VALUE
[ -z "$INIT" ] || start+=(--init-from "$INIT")
training=("$PYTHON" -m mt3lite train --data "$BOX/heard.jsonl" --seed "$SEED" "${start[@]}" --origin "$origin"
  --license "$license" "$@")
if [ "$WARM" != 0 ]; then
  until [ "$(gather 2> /dev/null || echo 0)" -ge 50 ] || ! rendering; do sleep 1; done
  say "warming up: ${start[*]} $*"
  "${training[@]}" --workdir "$BOX/warm" --minutes 0.05 2>&1 | tail -n 5 | tee -a "$BOX/log"
  while rendering; do sleep 1; done
  say "$(gather) pieces are rendered"
  exit 0
fi
end=$(awk -v leg="$LEG" 'BEGIN {print int(60 * leg)}')
while :; do
  more=yes; rendering || more=
  pieces=$(gather 2> /dev/null) || pieces=0
  [ "$pieces" -lt "$FEWEST" ] && [ -n "$more" ] && [ "$SECONDS" -lt $((end / 3)) ] || break
  sleep 1
done
[ "$pieces" -gt 0 ] || { cat "$BOX"/music-*.log >&2; echo "on_box.sh: no music was rendered" >&2; exit 1; }

home() {
  [ -e "$BOX/run/model/config.json" ] || return 0
  mkdir -p "$out/model"
  cp "$BOX/run/model/config.json" "$out/model/"
  rm -f "$out"/model/model.safetensors*
  if [ "$(stat -c %s "$BOX/run/model/model.safetensors")" -le 15000000 ]; then
    cp "$BOX/run/model/model.safetensors" "$out/model/"
  else
    split --bytes=15000000 --numeric-suffixes "$BOX/run/model/model.safetensors" "$out/model/model.safetensors."
  fi
  cp "$BOX/run/curve.csv" "$out/"
  [ ! -e "$BOX/run/validation.csv" ] || cp "$BOX/run/validation.csv" "$out/"
  { tail -qc 1000 "$BOX"/music-*.log; cat "$BOX/log"; } > "$out/log"
  gzip -c "$BOX/heard.jsonl" > "$out/heard.jsonl.gz"
}
while :; do
  pieces=$(gather) left=$((end - SECONDS)) status=0
  [ "$left" -gt $((starting + 2 * ending)) ] || break
  # The schedule is fitted to what is left; a run that is gone on with counts the seconds it has had.
  done_seconds=$(tail -n 1 "$BOX/run/curve.csv" 2> /dev/null | cut -d, -f2 | grep -E '^[0-9.]+$' || echo 0)
  minutes=$(awk -v d="$done_seconds" -v l=$((left - starting - ending)) -v m="$MORE" 'BEGIN {print (d + l) / 60 + m}')
  stint=$((left - ending / 2))
  # While music is still being made, only for a while, and then again with what there is by then.
  ! rendering || [ "$stint" -lt $((2 * STINT)) ] || stint=$STINT
  say "training for $stint s on $pieces pieces: SEED=$SEED ${start[*]} --minutes $minutes $*"
  rm -f "$BOX/run/train.json" # which would hold the run to the pieces and the minutes it was begun with
  # --foreground: or the processes that make examples are ended, too, before the checkpoint is saved.
  timeout --foreground --preserve-status "$stint" "${training[@]}" --workdir "$BOX/run" --minutes "$minutes" 2>&1 \
    | tee -a "$BOX/log" || status=$?
  home
  [ "$status" -eq 143 ] || break
done
[ "$status" -eq 0 ] || [ "$status" -eq 143 ] || { echo "on_box.sh: training failed" >&2; exit "$status"; }
[ -e "$out/model/config.json" ] || { echo "on_box.sh: nothing was learnt in this time" >&2; exit 1; }
say "brought home: $out"
