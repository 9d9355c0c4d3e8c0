#!/usr/bin/env bash
# Trains on a machine without network, to which the repository and the kit of pack.py are carried, in several calls.
#
#   data/models/small/on_box.sh OUT [FOLDER...] [-- OPTIONS OF mt3lite train]
#   data/models/small/on_box.sh out kit/1
#   data/models/small/on_box.sh out kit/2 -- --dtype bfloat16 --batch-size 64
#   data/models/small/on_box.sh out -- --dtype bfloat16 --batch-size 64
#
# Each call takes what FOLDERs hold; from that on with which the kit is whole, it renders and trains for LEG minutes,
# counted from the start of the call. A first share of the music is rendered before training begins, the rest beside it;
# training takes up what there is every few minutes. The options, MINUTES, SEED and INIT must be the same in all calls.
#
# OUT          what is to be brought home: model/, log, curve.csv, heard.jsonl.gz (the pieces trained on); no file above
#              15 MB: a larger model comes as model.safetensors.00, .01, ..., to be joined by cat
# LEG          minutes a call may take. MINUTES of training in all calls, to which the schedule is fitted
# HOURS        of music to render, FIRST_HOURS before training begins
# INIT         model to go on from, "" for none; if it is not set, the kit's, or the bundled one where that has none
# BOX          folder for everything else, kept from call to call
# SEED, JOBS (processes that render), WORKERS (that make examples), PYTHON: as their names say.
set -euo pipefail

LEG=${LEG:-9.5} MINUTES=${MINUTES:-25} HOURS=${HOURS:-40} FIRST_HOURS=${FIRST_HOURS:-2} SEED=${SEED:-0}
BOX=${BOX:-/tmp/mt3lite-box} JOBS=${JOBS:-$(nproc)} PYTHON=${PYTHON:-python3}
origin="Rendered music; see data/models/small/README.md of mt3lite" license=Apache-2.0
STINT=${STINT:-150} # seconds of training before it is begun again with the music made meanwhile
ending=${ENDING:-30} # seconds to save a checkpoint, write the model (so far, where the run has not ended) and copy it

[ $# -ge 1 ] || { sed -n '2,22s/^# \{0,1\}//p' "$0" >&2; exit 2; }
out=$1; shift
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$BOX/kit" "$out"
export JOBS PYTHON PYTHONUNBUFFERED=1 PYTHONPATH="$BOX/site:${here%/data/models/small}${PYTHONPATH:+:$PYTHONPATH}"
say() { printf '== %4d s: %s\n' "$SECONDS" "$*"; }

while [ $# -gt 0 ] && [ "$1" != -- ]; do cp "$1"/* "$BOX/kit/"; say "took $1"; shift; done
[ $# -eq 0 ] || shift
[ -e "$BOX/kit/sha256.txt" ] || { echo "on_box.sh: no folder of the kit was named yet" >&2; exit 2; }

if [ ! -e "$BOX/unpacked" ]; then
  cd "$BOX/kit"
  missing=$(sha256sum --check --quiet sha256.txt 2>/dev/null | sed 's/: FAILED.*//') || true
  if [ -n "$missing" ]; then
    say "$(wc -l <<< "$missing") parts not here yet, or damaged:" $(head -n 5 <<< "$missing")
    exit 0
  fi
  for packed in ./*.tar.xz; do "$PYTHON" -m tarfile --filter data -e "$packed" "$BOX"; done
  for weights in "$BOX"/model/model.safetensors.00; do
    [ ! -e "$weights" ] || cat "${weights%.00}".[0-9][0-9] > "${weights%.00}"
  done
  cd - > /dev/null
  touch "$BOX/unpacked"
  say "unpacked; $(nproc) cores, $("$PYTHON" --version), devices: $("$PYTHON" -c 'import jax; print(jax.devices())')"
fi

render() { # HOURS NICENESS; fails where it is at work already
  # The libraries are for this part alone, and only those that the system lacks: its own come first.
  # To find FluidSynth, pyfluidsynth asks ldconfig, then a compiler, then looks into HOMEBREW_PREFIX.
  LD_LIBRARY_PATH="/usr/lib/x86_64-linux-gnu:/usr/lib64:$BOX/lib" HOMEBREW_PREFIX="$BOX" nice -n "$2" \
    flock --nonblock "$BOX/rendering" \
    "$here/render.sh" "$BOX/train" train "$1" "$SEED" "$BOX/midi" "$BOX"/kit/*.sf[23]
}
manifest=$BOX/train/manifest.jsonl
if [ ! -e "$BOX/begun" ]; then
  render "$FIRST_HOURS" 0 > "$BOX/rendering.log" 2>&1 || { cat "$BOX/rendering.log" >&2; exit 1; }
  touch "$BOX/begun"
fi
if [ ! -e "$BOX/rendered-$HOURS" ]; then # in a session of its own, that outlives this call where it may
  export -f render
  export BOX HOURS SEED here
  setsid bash -c 'render "$HOURS" 10 && touch "$BOX/rendered-$HOURS"' >> "$BOX/rendering.log" 2>&1 < /dev/null &
  sleep 1 # until it has its lock
fi

if [ -z "${WORKERS:-}" ]; then # one for each core but two, and for each 8 MB of the memory that they share
  cores=$(($(nproc) - 2)) room=$(df -Pk /dev/shm | awk 'NR == 2 {print int($4 / 8192)}')
  WORKERS=$((cores < room ? cores : room))
fi
INIT=${INIT-$([ -d "$BOX/model" ] && echo "$BOX/model" || echo small)}
start=(--preset small)
[ -z "$INIT" ] || start=(--init-from "$INIT")
[ "$WORKERS" -lt 1 ] || start+=(--workers "$WORKERS") # without it, a thread makes them
end=$(awk -v leg="$LEG" -v ending="$ending" 'BEGIN {print int(60 * leg) - ending}')
while :; do
  head -n "$(wc -l < "$manifest")" "$manifest" > "$BOX/train/heard.jsonl" # the whole lines of a file that grows
  left=$((end - SECONDS)) status=0
  [ "$left" -gt 0 ] || { echo "on_box.sh: no time is left of LEG=$LEG minutes" >&2; exit 1; }
  # While music is still being made, only for a while, and then again with what there is by then.
  flock --nonblock "$BOX/rendering" true || left=$((left < STINT ? left : STINT))
  say "training for $left s on $(wc -l < "$BOX/train/heard.jsonl") pieces: MINUTES=$MINUTES SEED=$SEED ${start[*]} $*" \
    | tee -a "$BOX/log"
  rm -f "$BOX/run/train.json" # which would hold the run to the pieces it was begun with
  # --foreground: or the processes that make examples are ended, too, before the checkpoint is saved.
  timeout --foreground --preserve-status "$left" "$PYTHON" -m mt3lite train --data "$BOX/train/heard.jsonl" \
    --workdir "$BOX/run" --minutes "$MINUTES" --seed "$SEED" "${start[@]}" --origin "$origin" \
    --license "$license" "$@" 2>&1 | tee -a "$BOX/log" || status=$?
  [ "$status" -eq 143 ] && [ $((end - SECONDS)) -gt 60 ] || break
done
[ "$status" -eq 0 ] || [ "$status" -eq 143 ] || { echo "on_box.sh: training failed" >&2; exit "$status"; }
[ -e "$BOX/run/model/config.json" ] || { echo "on_box.sh: nothing was learnt in this time" >&2; exit 1; }

say "bringing home: $out"
mkdir -p "$out/model"
cp "$BOX/run/model/config.json" "$out/model/"
rm -f "$out"/model/model.safetensors*
if [ "$(stat -c %s "$BOX/run/model/model.safetensors")" -le 15000000 ]; then
  cp "$BOX/run/model/model.safetensors" "$out/model/"
else
  split --bytes=15000000 --numeric-suffixes "$BOX/run/model/model.safetensors" "$out/model/model.safetensors."
fi
cp "$BOX/run/curve.csv" "$out/"
{ tail -c 5000 "$BOX/rendering.log"; cat "$BOX/log"; } > "$out/log"
gzip -c "$BOX/train/heard.jsonl" > "$out/heard.jsonl.gz"
say "done"
