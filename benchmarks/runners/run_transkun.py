"""Runs in the environment of transkun: transcribes WAV files to MIDI files; see peer_tools.py.

The steps are those of the tool's own command, which loads its model for each file.
"""

import json
import sys
import time
from pathlib import Path

started = time.perf_counter()
import moduleconf  # noqa: E402
import soxr  # noqa: E402
import torch  # noqa: E402
import transkun  # noqa: E402
from transkun.Data import writeMidi  # noqa: E402
from transkun.transcribe import readAudio  # noqa: E402

folder = Path(transkun.__file__).parent / "pretrained"
manager = moduleconf.parseFromFile(str(folder / "2.0.conf"))
model = manager["Model"].module.TransKun(conf=manager["Model"].config)
checkpoint = torch.load(folder / "2.0.pt", map_location="cpu")
model.load_state_dict(checkpoint.get("best_state_dict", checkpoint.get("state_dict")), strict=False)
model.eval()
torch.set_grad_enabled(False)
print(json.dumps({"load_seconds": time.perf_counter() - started}), flush=True)
for line in sys.stdin:
    wav, midi = json.loads(line)
    before = time.perf_counter()
    rate, samples = readAudio(wav)
    if rate != model.fs:
        samples = soxr.resample(samples, rate, model.fs)
    found = model.transcribe(torch.from_numpy(samples), discardSecondHalf=False)
    seconds = time.perf_counter() - before
    writeMidi(found).write(midi)
    print(json.dumps({"file": wav, "seconds": seconds}), flush=True)
