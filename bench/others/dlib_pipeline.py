"""face_recognition (dlib) with its default settings, as a child process.

Run by the interpreter of an environment that has it; nothing of this project is imported, and it is not installed here.
"""

import importlib
import io
import json
import math
import sys
import time
import warnings
from pathlib import Path
from typing import Any


def main() -> None:
    """Serve lines until the input ends."""
    warnings.simplefilter("ignore")
    library: Any = importlib.import_module("face_recognition")
    version = getattr(library, "__version__", "")
    print(json.dumps({"ready": f"face_recognition {version}", "score": "distance"}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        data = Path(asked["path"]).read_bytes()
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        embedding = _embed(library, data, asked["face"])
        wall_ms, cpu_ms = (time.perf_counter() - wall_s) * 1000.0, (time.process_time() - cpu_s) * 1000.0
        print(json.dumps({"embedding": embedding, "wall_ms": wall_ms, "cpu_ms": cpu_ms}), flush=True)


def _embed(library: Any, data: bytes, which: str) -> list[float] | None:
    image = library.load_image_file(io.BytesIO(data))
    boxes = library.face_locations(image)  # (top, right, bottom, left) each
    if not boxes:
        return None
    middle = (image.shape[0] / 2, image.shape[1] / 2)

    def area(box: Any) -> float:
        return float((box[2] - box[0]) * (box[1] - box[3]))

    def away(box: Any) -> float:
        # Counted in widths of the face, as the engine does it: small ones in the background do not win.
        return math.dist(middle, ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)) / math.sqrt(area(box))

    box = min(boxes, key=away) if which == "centred" else max(boxes, key=area)
    return [float(value) for value in library.face_encodings(image, [box])[0]]


if __name__ == "__main__":
    main()
