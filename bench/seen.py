"""Searches among seen faces: `python -m bench.seen`.

Fills the index of the faces of past matches with made-up faces, and asks it as picturesearch and `picturematch seen`
do: for the nearest of all faces, and for the faces above a similarity in the order of time. The baseline of the same
run compares the probe with every vector (float32, numpy). Every figure is the median of several rounds, in milliseconds
of the processor on one core.
"""

import statistics
import time
from collections.abc import Callable, Iterator

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from threadpoolctl import threadpool_limits

from contract.seen_faces import SeenFilter
from sinks.seen_index import NewFace, SeenIndex

_DIMENSION = 512
_AT_ONCE = 10_000
_EVERY_S = 6.0
_NOISE = 0.9
_LEAST = 0.4
_MOST = 50

Ask = Callable[[NDArray[np.float32]], object]


@click.command(epilog="Example: python -m bench.seen --faces 100000")
@click.option("--faces", default=1_000_000, show_default=True, help="Seen faces in the index.")
@click.option("--rounds", default=20, show_default=True, help="Searches of each kind.")
def main(faces: int, rounds: int) -> None:
    """Print the milliseconds of a core for each kind of search, and how often the nearest face was found."""
    index, vectors = SeenIndex(_DIMENSION, faces), np.empty((faces, _DIMENSION), np.float32)
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("filling the index", total=faces)
        for first, chunk in _chunks(faces):
            index.add([_face(first + number, row) for number, row in enumerate(chunk)])
            vectors[first : first + len(chunk)] = chunk
            progress.update(task, completed=first + len(chunk))
    everything = SeenFilter(since=0.0, until=faces * _EVERY_S)
    day = SeenFilter(since=faces * _EVERY_S / 2, until=faces * _EVERY_S / 2 + 86_400.0)
    questions: dict[str, Ask] = {
        "every vector, by numpy": lambda probe: np.argpartition(vectors @ probe, -_MOST)[-_MOST:],
        "the nearest of all": lambda probe: index.nearest(probe, everything, _MOST),
        "the nearest of a day": lambda probe: index.nearest(probe, day, _MOST),
        "above a similarity, newest first": lambda probe: index.in_time(probe, everything, _LEAST, newest_first=True),
    }
    probes = [_probe_of(vectors[number * 7919 % faces], number) for number in range(rounds)]
    with threadpool_limits(1):
        found_ms = {words: [_milliseconds(ask, probe) for probe in probes] for words, ask in questions.items()}
        right = sum(
            index.nearest(probe, everything, 1).found[0].event_id == _event_id(int(np.argmax(vectors @ probe)))
            for probe in probes
        )
    (baseline, *_) = [statistics.median(found) for found in found_ms.values()]
    table = Table("search", "processor ms", "of the baseline", title=f"{faces:,} seen faces")
    for words, found in found_ms.items():
        table.add_row(words, f"{statistics.median(found):.1f}", f"{statistics.median(found) / baseline:.2f}")
    Console().print(table)
    click.echo(f"the nearest face of all was found in {right} of {rounds} searches")


def _chunks(faces: int) -> Iterator[tuple[int, NDArray[np.float16]]]:
    """Yield unit vectors, with the number of the first one of each chunk."""
    random = np.random.default_rng(1)
    for first in range(0, faces, _AT_ONCE):
        rows = random.standard_normal((min(_AT_ONCE, faces - first), _DIMENSION), dtype=np.float32)
        yield first, (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def _face(number: int, row: NDArray[np.float16]) -> NewFace:
    device_ip = f"10.0.0.{number % 50}"
    return NewFace(_event_id(number), number * _EVERY_S, device_ip, (number % 8, number // 8), row.tobytes())


def _event_id(number: int) -> str:
    return f"{number:032x}"


def _probe_of(face: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Return a unit vector near a face, as another picture of the person is."""
    noise = np.random.default_rng(seed).standard_normal(_DIMENSION).astype(np.float32)
    near = face + _NOISE * noise / np.linalg.norm(noise)
    probe: NDArray[np.float32] = near / np.linalg.norm(near)
    return probe


def _milliseconds(ask: Ask, probe: NDArray[np.float32]) -> float:
    began_s = time.process_time()
    ask(probe)
    return 1000 * (time.process_time() - began_s)


if __name__ == "__main__":
    main()
