"""Runs in the environment of mt3lite: transcribes WAV files to MIDI files; see peer_tools.py."""

import json
import sys
import time

started = time.perf_counter()
from mt3lite import notes, transcriber  # noqa: E402
from mt3lite.commands import compilation  # noqa: E402

compilation.use_cache()
loaded = transcriber.load(sys.argv[1])
print(json.dumps({"load_seconds": time.perf_counter() - started}), flush=True)
for line in sys.stdin:
    wav, midi = json.loads(line)
    before = time.perf_counter()
    found = loaded.transcribe(wav)
    seconds = time.perf_counter() - before
    notes.write_midi(found.notes, midi)
    skipped = {"invalid_events": found.invalid_events, "dropped_events": found.dropped_events}
    print(json.dumps({"file": wav, "seconds": seconds, **skipped}), flush=True)
