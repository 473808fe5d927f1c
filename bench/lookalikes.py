"""What the search for look-alikes costs: processor time of deciding enrolments with and without it, and of all pairs.

`python -m bench.lookalikes`
"""

import time
from dataclasses import dataclass

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from bench.people import made_up_features, people_records
from contract.requests import EnrolRequest
from contract.vectors import Vectors
from engine.calls.enrol import EnrolCall
from engine.calls.lookalikes import search_ahead
from engine.calls.people import Prepared, PreparedFace
from engine.context import Context
from engine.gallery.pairs import PairSearch
from engine.gallery.pending import PendingPeople
from engine.gallery.people import People
from engine.policy import Policy
from engine.vision.networks.standin import stand_in_models

_DIMENSION = 512
_EMBEDDER = stand_in_models().embedder_identity
_OFF, _WARN = (Policy(threshold=0.6, max_people=1_000_000, enrolment_lookalikes=what) for what in ("off", "warn"))


@dataclass(frozen=True, slots=True)
class _Entry:
    """A record of the people topic."""

    key: bytes
    value: bytes | None
    offset: int
    damaged: bool = False


def _decide(people: People, vectors: Vectors, policy: Policy) -> float:
    """Return the processor seconds of the decisions about one transaction, with a new person per vector."""
    context = Context(stand_in_models(), policy, 1, time.perf_counter)
    call = EnrolCall()
    began = time.process_time()
    snapshot = people.snapshot()
    ahead = search_ahead(list(vectors), snapshot.gallery, context)
    pending = PendingPeople(people, ahead=ahead)
    for number, vector in enumerate(vectors):
        request = EnrolRequest(request_id="r", identity_id=f"new-{number}", received_time_s=0.0)
        decision = call.decide(request, Prepared(PreparedFace.of(vector, None, None)), pending, context)
        if not decision.changes:
            raise RuntimeError(f"the enrolment was refused: {decision.refusal}")
        pending.decided(decision.people, decision.site)
    return time.process_time() - began


def templates_of(features: Vectors, faces: int) -> tuple[Vectors, NDArray[np.int64], NDArray[np.bool_]]:
    """Return the faces of people and the mean of each person with several, by row: vector, person, whether a mean."""
    if faces == 1:
        return features, np.arange(len(features)), np.zeros(len(features), np.bool_)
    own = features.reshape(-1, faces, features.shape[1])
    sums = own.sum(axis=1, keepdims=True)
    rows = np.concatenate([own, sums / np.linalg.norm(sums, axis=2, keepdims=True)], axis=1)
    is_mean = np.tile(np.arange(faces + 1) == faces, len(own))
    return rows.reshape(-1, features.shape[1]), np.repeat(np.arange(len(own)), faces + 1), is_mean


def _medians(people: People, together: int, rounds: int) -> tuple[float, float]:
    """Return the milliseconds of one enrolment without and with the search; both take turns."""
    probes = np.random.default_rng(11).normal(size=(rounds, together, _DIMENSION)).astype(np.float32)
    probes /= np.linalg.norm(probes, axis=2, keepdims=True)
    taken = [(_decide(people, some, _OFF), _decide(people, some, _WARN)) for some in probes]
    off, warn = np.median(np.array(taken), axis=0) * 1000 / together
    return float(off), float(warn)


@click.command(epilog="Example: python -m bench.lookalikes --people 1000 --people 10000")
@click.option("--people", "sizes", type=int, multiple=True, default=(1_000, 10_000, 100_000), show_default=True)
@click.option("--faces", type=click.IntRange(1, 5), default=1, show_default=True, help="Faces of each person.")
@click.option("--rounds", default=15, show_default=True, help="Transactions of each kind.")
@click.option("--pairs/--no-pairs", default=True, show_default=True, help="Also compare everybody with everybody.")
def main(sizes: tuple[int, ...], faces: int, rounds: int, pairs: bool) -> None:
    """Processor time on one core, of people with made-up faces; with several faces their means are compared, too."""
    table = Table(title="processor milliseconds of the decision about one enrolment; seconds of all pairs")
    for column in ("people", "together", "off", "warn", "times", "all pairs, s"):
        table.add_column(column, justify="right")
    with threadpool_limits(1):
        for size in sizes:
            features = made_up_features(size * faces, _DIMENSION)
            people = People(_DIMENSION, _EMBEDDER)
            lines = people_records(features, _EMBEDDER, faces=faces)
            people.apply(_Entry(line.key, line.value, line.offset) for line in lines)
            vectors, owners, means = templates_of(features, faces)
            began = time.process_time()
            if pairs:
                for _ in PairSearch(vectors, owners, 0.6, 1000, means).run():
                    pass
            seconds = f"{time.process_time() - began:.1f}" if pairs else ""
            for together in (1, 32):
                off, warn = _medians(people, together, rounds)
                table.add_row(str(size), str(together), f"{off:.3f}", f"{warn:.3f}", f"{warn / off:.1f}", seconds)
    Console().print(table)


if __name__ == "__main__":
    main()
