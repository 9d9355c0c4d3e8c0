"""Runs in the environment of basic-pitch: transcribes WAV files to MIDI files; see peer_tools.py."""

import contextlib
import json
import sys
import time

started = time.perf_counter()
from basic_pitch import ICASSP_2022_MODEL_PATH  # noqa: E402
from basic_pitch.inference import Model, predict  # noqa: E402

assert str(ICASSP_2022_MODEL_PATH).endswith(".onnx"), f"not the ONNX model: {ICASSP_2022_MODEL_PATH}"
model = Model(ICASSP_2022_MODEL_PATH)
print(json.dumps({"load_seconds": time.perf_counter() - started}), flush=True)
for line in sys.stdin:
    wav, midi = json.loads(line)
    before = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        found = predict(wav, model)[1]
    seconds = time.perf_counter() - before
    found.write(midi)
    print(json.dumps({"file": wav, "seconds": seconds}), flush=True)
