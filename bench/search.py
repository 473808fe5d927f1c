"""Searches in large galleries: time, candidates, and decisions that differ from those of a comparison of all faces.

`python -m bench.search`
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from bench.search_data import Kind, isotropic, like_embeddings, probes_near
from bench.search_misses import interval, try_mates
from bench.search_ways import Answer, Way, all_compared, others, two_stages
from contract.people.held import HeldPerson
from contract.people.records import PersonRecord
from contract.vectors import Vector, Vectors
from engine.gallery.port import EVERYBODY, IndexUnavailable, Scope
from engine.gallery.sketch import SketchMaker, faiss_library, miss_bound
from engine.gallery.two_stage import TwoStageGallery, TwoStageIndex
from engine.policy import Policy
from engine.threshold import search_threshold
from models.manifest import FmrPoint, default_manifest
from picturematch.options import UserError
from picturematch.shell import progress

_SMALL_THRESHOLD = 0.478
"""The size-aware threshold of 1,000 faces, which an operator may have fixed for any number."""

_GROUPS = {"a group of 50": 50, "a group of a hundredth": 100, "a group of a tenth": 10, "a group of half": 2}
_BATCH = 250
_KINDS = ("isotropic", "embeddings")


def _curve() -> tuple[FmrPoint, ...]:
    return next(entry.fmr_curve for entry in default_manifest().networks if entry.role == "embedder")


class _Calibrated:
    """The attributes of the shipped embedder from which thresholds follow."""

    threshold = 0.5
    fmr_curve = _curve()


def size_aware(count: int) -> float:
    """Return the threshold of a search among that many faces, by the shipped curve and the default settings."""
    return search_threshold(Policy(), _Calibrated(), count).cosine


def filled(kind: Kind, count: int, rng: np.random.Generator) -> TwoStageGallery:
    """Return a gallery with that many people of one face each, and its sketch."""
    dimension = len(kind.spread)
    index = TwoStageIndex(dimension, lambda: SketchMaker(dimension), starts_at=1)
    every = {name: count // 50 if size == 50 else size for name, size in _GROUPS.items()}
    number = 0
    for block in kind.draw(count, rng):
        for vector in block:
            name = str(number)
            groups = (
                "default_group",
                f"group {number % 1000}",
                *(group for group, step in every.items() if number % max(1, step) == 0),
            )
            owner = PersonRecord(identity_id=name, group_ids=groups, info={}, faces=(0,), next_face=1)
            index.add((name, 0), vector, HeldPerson.of(owner))
            number += 1
    index.snapshot(0)
    index.wait()
    gallery = index.snapshot(1)
    if not isinstance(gallery, TwoStageGallery):
        raise TypeError("the sketch was not built")
    return gallery


def timed(search: Callable[[Vector], object], probes: Vectors) -> float:
    """Return the median processor milliseconds of a search."""
    search(probes[0])
    spent = list[float]()
    for probe in probes:
        began = time.process_time()
        search(probe)
        spent.append(1000.0 * (time.process_time() - began))
    return float(np.median(spent))


def _row(way: Way, probes: Vectors, floor: float) -> tuple[float, float, list[Answer]]:
    answers = list[Answer]()
    median = timed(lambda probe: answers.append(way(probe, floor)), probes)
    return median, float(np.median([answer.candidates for answer in answers[1:]])), answers[1:]


def _ways(gallery: TwoStageGallery) -> dict[str, Callable[[], Way]]:
    return {
        "exact": lambda: all_compared(gallery),
        "sketch": lambda: two_stages(gallery),
        **others(gallery.rows),
    }


def _add_rows(table: Table, gallery: TwoStageGallery, kind: Kind, searches: int, rng: np.random.Generator) -> None:
    count = gallery.rows.count
    chosen = rng.integers(0, count, searches)
    vectors = gallery.rows.take(chosen)
    ways = {name: prepared() for name, prepared in _ways(gallery).items()}
    for floor in (size_aware(count), _SMALL_THRESHOLD):
        # Half of them are mates on the threshold, half are strangers.
        probes = probes_near(vectors, floor, floor, rng)
        probes[::2] = np.concatenate(list(Kind(kind.name, kind.spread, kind.mean).draw(len(probes[::2]), rng)))
        exact, reference = 0.0, list[Answer]()
        for name, way in ways.items():
            median, candidates, answers = _row(way, probes, floor)
            if name == "exact":
                exact, reference = median, answers
            differ = sum(_decision(a) != _decision(b) for a, b in zip(answers, reference, strict=True))
            table.add_row(
                kind.name, f"{count:,}", f"{floor:.3f}", name, f"{median:.2f}", f"1/{exact / median:.1f}",
                f"{candidates:,.0f}", str(differ),
            )  # fmt: skip


def _decision(answer: Answer) -> tuple[str, float] | None:
    return answer.people[0] if answer.people else None


def _scopes(gallery: TwoStageGallery, searches: int, rng: np.random.Generator) -> Table:
    count = gallery.rows.count
    floor = size_aware(count)
    table = Table(title=f"sketch, {count:,} people: searches within groups at {floor:.3f}")
    for column in ("scope", "faces", "median ms", "of the whole"):
        table.add_column(column, justify="left" if column == "scope" else "right")
    probes = probes_near(gallery.rows.take(rng.integers(0, count, searches)), floor, floor, rng)

    def searched(scope: Scope) -> float:
        return timed(lambda probe: gallery.search(probe, scope, floor).best(5), probes)

    whole = searched(EVERYBODY)
    table.add_row("everybody", f"{count:,}", f"{whole:.3f}", "1.00")
    every = frozenset({"default_group", *(f"group {number}" for number in range(1000))})
    scopes = {name: Scope(name) for name in _GROUPS} | {"each of 1,001 groups": Scope(None, None, every)}
    for name, scope in scopes.items():
        median = searched(scope)
        table.add_row(name, f"{gallery.count(scope):,}", f"{median:.3f}", f"{median / whole:.2f}")
    return table


def decide_many(gallery: TwoStageGallery, probes: Vectors, floor: float, step: Callable[[], None]) -> tuple[int, int]:
    """Return how many decisions differ from exact search, and how many probes have their best cosine near the floor."""
    differ = near = 0
    for first in range(0, len(probes), _BATCH):
        some = probes[first : first + _BATCH]
        reference = gallery.exact.above_each(some, EVERYBODY, floor - 0.05, 1_000_000)
        for probe, nearest in zip(some, reference, strict=True):
            best = nearest[0] if nearest else None
            near += best is not None and best.cosine <= floor + 0.05
            wanted = best if best is not None and best.cosine >= floor else None
            found = next(iter(gallery.search(probe, EVERYBODY, floor).best(1)), None)
            differ += (found if found is not None and found.cosine >= floor else None) != wanted
        step()
    return differ, near


def _decisions(gallery: TwoStageGallery, kind: Kind, probes: int, rng: np.random.Generator, console: Console) -> None:
    count, half = gallery.rows.count, probes // 2
    for floor in (size_aware(count), _SMALL_THRESHOLD):
        near = probes_near(gallery.rows.take(rng.integers(0, count, half)), floor - 0.05, floor + 0.05, rng)
        rest = np.concatenate(list(Kind(kind.name, kind.spread, kind.mean).draw(probes - half, rng)))
        if kind.real is not None:
            rest[: len(kind.real)] = probes_near(kind.real[: len(rest)], 0.3, 0.9, rng)
        asked = np.concatenate([near, rest])
        with progress("decisions", -(-len(asked) // _BATCH)) as steps:
            differ, close = decide_many(gallery, asked, floor, steps.step)
        console.print(
            f"{kind.name}, {count:,} people, threshold {floor:.3f}: {differ} of {len(asked):,} decisions differ from"
            f" exact search; the best cosine of {close:,} probes is within .05 of the threshold"
        )


def _misses(sample: Vectors, threshold: float, mates: int, rotations: int, console: Console) -> None:
    with progress("mates on the threshold", rotations) as steps:
        tried = try_mates(sample, threshold, mates, rotations, steps.step)
    table = Table(
        title=f"{tried.mates:,} mates exactly on the threshold {threshold:.3f}, {rotations} rotations; sigma"
        f" {tried.sigmas[0]:.4f} to {tried.sigmas[1]:.4f}"
    )
    for column in ("candidates by", "k", "missed", "rate", "95 %", "stated bound"):
        table.add_column(column, justify="right")
    for means, counts in (("estimates", tried.missed), ("signs", tried.missed_by_signs)):
        for sigmas, missed in counts.items():
            low, high = interval(missed, tried.mates)
            rate, bound = f"{missed / tried.mates:.2e}", f"{miss_bound(sigmas):.2e}"
            table.add_row(means, f"{sigmas:g}", f"{missed:,}", rate, f"{low:.2e} to {high:.2e}", bound)
    console.print(table)


def _sizes(_ctx: click.Context, _option: click.Parameter, text: str) -> Sequence[int]:
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter("give whole numbers with commas between them") from None
    if min(sizes) < 100:
        raise click.BadParameter("a gallery of fewer than 100 people says nothing about an index")
    return sizes


@click.command(epilog="Example: python -m bench.search --sizes 10000,100000 --probes 1000 --mates 100000")
@click.option("--sizes", default="10000,100000,1000000", show_default=True, callback=_sizes, help="People enrolled.")
@click.option("--data", type=click.Choice(["both", *_KINDS]), default="both", show_default=True, help="Vectors.")
@click.option("--searches", default=60, show_default=True, help="Timed searches of each row.")
@click.option("--probes", default=10_000, show_default=True, help="Decisions in the largest gallery; 0: none.")
@click.option("--mates", default=10_000_000, show_default=True, help="Simulated mates on the threshold; 0: none.")
@click.option("--rotations", default=100, show_default=True, help="Rotations under which mates are tried.")
@click.option(
    "--vectors",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Real embeddings: what python -m bench.accuracy --cache FILE has kept. Default: the stored spectrum.",
)
def main(
    sizes: Sequence[int], data: str, searches: int, probes: int, mates: int, rotations: int, vectors: Path | None
) -> None:
    """Compare the indexes on one core: processor time, candidates, and decisions that differ from exact search."""
    try:
        faiss_library()
    except IndexUnavailable as error:
        raise UserError(str(error)) from error
    real = None
    if vectors is not None:
        with np.load(vectors, allow_pickle=False) as kept:
            real = np.unique(kept["vectors"].astype(np.float32), axis=0)
    rng, console, named = np.random.default_rng(3), Console(width=130), (isotropic(), like_embeddings(real))
    kinds = [kind for name, kind in zip(_KINDS, named, strict=True) if data in ("both", name)]
    with threadpool_limits(1):
        table = Table(title="one core, medians of processor time; half of the probes are mates on the threshold")
        for column in ("vectors", "people", "threshold", "search", "ms", "of exact", "candidates", "differ"):
            table.add_column(column, justify="left" if column in ("vectors", "search") else "right")
        for count in sizes:
            for kind in kinds:
                gallery = filled(kind, count, rng)
                _add_rows(table, gallery, kind, searches, rng)
                if count == max(sizes) and kind is kinds[-1]:
                    console.print(_scopes(gallery, searches, rng))
                    if probes:
                        _decisions(gallery, kind, probes, rng, console)
        console.print(table)
        if mates:
            sample = np.concatenate(list(kinds[-1].draw(2048, rng)))
            _misses(sample, size_aware(max(sizes)), mates, rotations, console)


if __name__ == "__main__":
    main()
