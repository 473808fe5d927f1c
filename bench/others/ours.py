"""This project's engine, with default settings, as a child process: `python -m bench.others.ours`."""

import json
import os
import sys
import time
from pathlib import Path

from engine.evaluation.photos import most_centred
from engine.timing import StageTimer
from engine.vision.finding import find_faces
from engine.vision.ports import ModelSet
from picturematch import __version__
from picturematch.settings import load_settings
from picturematch.wiring import open_models


def main() -> None:
    """Serve lines until the input ends."""
    settings = load_settings(None, os.environ)
    models = open_models(settings)
    print(json.dumps({"ready": f"picturematch {__version__}", "score": "cosine"}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        data = Path(asked["path"]).read_bytes()
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        embedding = embed(data, models, settings.pictures.max_pixels, asked["face"])
        wall_ms, cpu_ms = (time.perf_counter() - wall_s) * 1000.0, (time.process_time() - cpu_s) * 1000.0
        print(json.dumps({"embedding": embedding, "wall_ms": wall_ms, "cpu_ms": cpu_ms}), flush=True)


def embed(data: bytes, models: ModelSet, max_pixels: int, which: str) -> list[float] | None:
    """The embedding of the picture's centred or largest face; None where there is none."""
    image, faces = find_faces(data, models.detector, max_pixels, StageTimer(time.perf_counter))
    if not faces:
        return None
    face = most_centred(image, faces) if which == "centred" else faces[0]
    return [float(value) for value in models.embedder(image, face).vector]


if __name__ == "__main__":
    main()
