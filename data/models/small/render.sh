#!/usr/bin/env bash
# Renders one split of the music that the bundled model is trained on; begun again, or for more hours, it goes on.
#
#   data/models/small/render.sh DATASET SPLIT HOURS SEED MIDI SOUNDFONT...
#
# DATASET    folder to fill
# MIDI       folder with the folders pop-piano, piano-performances, game-band, lieder, string-quartets, orchestra,
#            drum-performances and engraved-scores, see README.md here for where they are from; those that are not there
#            are left out, with a line
# SOUNDFONT  each piece draws one of these
# TIMBRES    chance of each instrument of a piece to sound unlike the soundfont's, 0 to 1
# ANY        chance of each part to be played by any instrument, not one of its family
# JOBS (processes that render), PYTHON: as their names say.
set -euo pipefail

JOBS=${JOBS:-$(getconf _NPROCESSORS_ONLN)} PYTHON=${PYTHON:-python3} TIMBRES=${TIMBRES:-0.7} ANY=${ANY:-0.25}

[ $# -ge 6 ] || { sed -n '2,13s/^# \{0,1\}//p' "$0" >&2; exit 2; }
dataset=$1 split=$2 hours=$3 seed=$4 midi=$5; shift 5
soundfonts=()
for soundfont; do soundfonts+=(--soundfont "$soundfont"); done

# Shares of the pieces beside that of invented ones, 0.27, and the licences of their sources.
sources=()
while read -r name weight license; do
  if [ -d "$midi/$name" ]; then
    sources+=(--midi "$midi/$name=$weight" --license "$license")
  else
    echo "render.sh: $midi/$name: there is no such folder; going on without it" >&2
  fi
done <<'SOURCES'
pop-piano 0.18 MIT
piano-performances 0.12 CC-BY-4.0
game-band 0.20 BSD-3-Clause
lieder 0.08 CC0-1.0
string-quartets 0.07 CC0-1.0
orchestra 0.08 CC0-1.0
drum-performances 0.06 CC-BY-4.0
engraved-scores 0.20 public domain or CC BY
SOURCES

echo "== Rendering $hours hours of music: $dataset"
"$PYTHON" -m mt3lite data synthesize "$dataset" --split "$split" --hours "$hours" --seed "$seed" --jobs "$JOBS" \
  --invented 0.27 --any-instrument "$ANY" --timbres "$TIMBRES" ${sources[@]+"${sources[@]}"} "${soundfonts[@]}"
