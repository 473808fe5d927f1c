"""What covered templates cost a match of a stranger: the search beside the comparison of those templates after it.

`python -m bench.covered_cost`. The people are made up: unit vectors at random, each with a template of each cover, and
a curve of false match rates that is that of such vectors. So as many people are near enough as with real faces.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist, median

import click
import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from contract.people.held import HeldPerson
from contract.people.records import COVERED_FACE, PersonRecord
from contract.people.site import Site
from contract.terms import COVERS, DEFAULT_GROUP, Cover
from contract.vectors import Vector, Vectors
from engine.calls.matching import CANDIDATES
from engine.covered_search import covered_match, covered_thresholds, near_enough
from engine.evaluation.curve import RATES
from engine.gallery.covered import CoveredIndex
from engine.gallery.exact import ExactIndex
from engine.gallery.people import Snapshot
from engine.gallery.port import Scope
from engine.policy import Policy
from engine.threshold import HIGHEST_THRESHOLD, CoverCalibrated
from models.manifest import FmrPoint

DIMENSION = 512
SIZES = (1_000, 10_000, 100_000)
_AT_ONCE = 1000
_SCOPE = Scope()
_CURVE = tuple(FmrPoint(fmr=rate, threshold=NormalDist().inv_cdf(1 - rate) / math.sqrt(DIMENSION)) for rate in RATES)
_UNREACHED = tuple(FmrPoint(fmr=rate, threshold=HIGHEST_THRESHOLD) for rate in RATES)


@dataclass(frozen=True, slots=True)
class MadeUpCurves:
    """The curves of vectors at random; no template of a covered face reaches its threshold, so all are compared."""

    threshold: float = _CURVE[-1].threshold
    fmr_curve: tuple[FmrPoint, ...] = _CURVE
    covered_curves: Mapping[Cover, tuple[FmrPoint, ...]] = field(
        default_factory=lambda: dict.fromkeys(COVERS, _UNREACHED)
    )


@dataclass(frozen=True, slots=True)
class Cost:
    """Processor seconds of a stranger's match, medians: of the search by whole faces, what the covered templates add,
    and a second such search. `near`: the mean number of people whose covered templates are compared."""

    people: int
    search: float
    added: float
    second_search: float
    near: float


def made_up_people(count: int, chance: np.random.Generator) -> Snapshot:
    """Return a gallery of so many people with one face each, which has a template of each cover."""
    index, covered = ExactIndex(DIMENSION), CoveredIndex(DIMENSION)
    for first in range(0, count, _AT_ONCE):
        for number, (whole, *templates) in enumerate(_units(min(_AT_ONCE, count - first), 1 + len(COVERS), chance)):
            name = f"person-{first + number}"
            person = PersonRecord(identity_id=name, group_ids=(DEFAULT_GROUP,), info={}, faces=(0,), next_face=1)
            index.add((name, 0), whole, HeldPerson.of(person))
            kinds = {COVERED_FACE[cover]: one.tobytes() for cover, one in zip(COVERS, templates, strict=True)}
            covered.put((name, 0), kinds)
    return Snapshot(index.snapshot(1), Site(), covered.snapshot())


def _units(rows: int, each: int, chance: np.random.Generator) -> Vectors:
    """Return unit vectors: rows x each x dimension."""
    vectors = chance.standard_normal((rows, each, DIMENSION), np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=2, keepdims=True), np.float32)


def cost_among(snapshot: Snapshot, probes: Sequence[Vector], embedder: CoverCalibrated) -> Cost:
    """Return what strangers cost in a gallery: the steps of engine.calls.match.search, in turns with a second search.

    Raises:
        ValueError: a probe was recognised, so that it is none of a stranger.
    """
    faces, policy = snapshot.gallery.count(_SCOPE), Policy()
    spent: list[tuple[float, float, float]] = []
    near = 0
    for probe in probes:
        began = time.process_time()
        search = snapshot.gallery.search(probe, _SCOPE)
        search.best(CANDIDATES)
        searched = time.process_time()
        thresholds = covered_thresholds(policy, embedder, faces)
        match = covered_match(probe, search, snapshot, thresholds, near_enough(embedder, faces))
        compared = time.process_time()
        snapshot.gallery.best(probe, _SCOPE, CANDIDATES)
        ended = time.process_time()
        if match is not None:
            raise ValueError("a made-up stranger was recognised by a template of a covered face")
        spent.append((searched - began, compared - searched, ended - compared))
        near += len(search.above(near_enough(embedder, faces)))
    whole, added, again = (median(column) for column in zip(*spent, strict=True))
    return Cost(faces, whole, added, again, near / len(probes))


@click.command(epilog="Example: python -m bench.covered_cost --people 10000")
@click.option("--people", "sizes", multiple=True, type=click.IntRange(10), help="People enrolled; may be repeated.")
@click.option("--searches", default=200, show_default=True, type=click.IntRange(1), help="Strangers for each size.")
def main(sizes: tuple[int, ...], searches: int) -> None:
    """Processor time that covered templates add to a match of a stranger, on one core.

    Default: among 1,000, 10,000 and 100,000 people, which takes 1 GB of memory.
    """
    table = Table(title="A stranger's match, median milliseconds of one core", title_justify="left")
    for column in ("people", "search", "covered templates add", "of the search", "people compared", "a second search"):
        table.add_column(column, justify="right")
    chance = np.random.default_rng(7)
    with threadpool_limits(1):
        for size in sizes or SIZES:
            cost = cost_among(made_up_people(size, chance), list(_units(searches, 1, chance)[:, 0]), MadeUpCurves())
            table.add_row(
                f"{cost.people:,}",
                f"{1000 * cost.search:.3f}",
                f"{1000 * cost.added:.3f}",
                f"{100 * cost.added / cost.search:.0f} %",
                f"{cost.near:.0f}",
                f"{1000 * cost.second_search:.3f}",
            )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
