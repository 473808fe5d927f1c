"""What several pictures of one passage bring and cost: `python -m bench.burst [PATH]`, with the installed networks.

One photo of every person of the folder is enrolled. A burst is 1, 3 or 5 other photos of one person: an optimistic
stand-in for pictures of one passage, which resemble each other far more than photos of different days do. Bursts search
for their person among all people (FNIR), and among all other people, as strangers (FPIR). Bursts of all sizes have the
same people, and the smaller ones are the beginning of the larger ones.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from msgspec import structs
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bench.face_sets import BadSet, photos_of_people
from bench.seen_set import SeenSet, cache_key, keep_set, load_set, see_set
from contract.requests import MAX_PICTURES, MatchRequest
from contract.vectors import Vector
from engine.burst import SAME_PERSON, same_person, weighted_mean
from engine.calls.match import MatchCall
from engine.context import Context
from engine.evaluation.photos import FaceChoice
from engine.gallery.people import People
from engine.policy import Policy
from engine.threshold import comparison_threshold, search_threshold
from engine.vision.ports import ModelSet
from models.errors import ModelError
from picturematch.options import UserError, config_option, settings_of
from picturematch.shell import progress
from picturematch.wiring import open_models

DEFAULT_SET = Path("../shared/data/lfw-dev")
SIZES = (1, 3, MAX_PICTURES)
SPLITS = 100
BEST = "best picture only"
FPIR = 1e-2
_MAX_PIXELS = 32_000_000
_RESAMPLES = 2000
_ROUNDS = 12
"""How many requests of each size are timed, in turn."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The rates of one rule and size of burst, in per cent; `fnir_at_fpir` at the threshold at which FPIR is 1 %.

    `left_out`: the share of the pictures that are not part of the probe. `interval`: of FPIR, 95 %, by drawing the
    people again. `behind`: the number of people who are wrongly recognised in any draw.
    """

    left_out: float
    fpir: float
    interval: tuple[float, float]
    behind: int
    fnir: float
    fnir_at_fpir: float


Rule = Callable[[Sequence[Vector], Sequence[float]], tuple[Vector, int]]
"""From the embeddings and quality scores of a burst to its probe, and the number of pictures of which it consists."""


def rules_of(threshold: float) -> Mapping[str, Rule]:
    """The rules that are compared; `threshold`: the least cosine of two pictures that are averaged."""

    def shipped(vectors: Sequence[Vector], scores: Sequence[float]) -> tuple[Vector, int]:
        used = same_person(vectors, scores, threshold)
        return weighted_mean([vectors[one] for one in used], [scores[one] for one in used]), len(used)

    return {
        "weighted mean of one person (shipped)": shipped,
        "weighted mean of all": lambda vectors, scores: (weighted_mean(vectors, scores), len(vectors)),
        "plain mean of all": lambda vectors, _: (weighted_mean(vectors, [1.0] * len(vectors)), len(vectors)),
        BEST: lambda vectors, scores: (vectors[int(np.argmax(scores))], 1),
    }


class _Searches:
    """The results of one rule and size: of searches for an enrolled person, and by strangers."""

    def __init__(self) -> None:
        self.own: list[float] = []
        self.other: dict[int, list[float]] = {}
        self.pictures = self.left_out = 0

    def figures(self, threshold: float) -> Figures:
        """The rates at a threshold."""
        own = np.array(self.own)
        other = np.array(list(self.other.values()))  # people x draws
        wrong = (other >= threshold).mean(axis=1)
        chance = np.random.default_rng(1)
        again = [wrong[chance.integers(len(wrong), size=len(wrong))].mean() for _ in range(_RESAMPLES)]
        low, high = np.quantile(again, [0.025, 0.975])
        return Figures(
            100 * self.left_out / self.pictures,
            100 * float(wrong.mean()),
            (100 * float(low), 100 * float(high)),
            int((wrong > 0).sum()),
            100 * float((own < threshold).mean()),
            100 * float((own < np.quantile(other, 1 - FPIR)).mean()),
        )


def measure(seen: SeenSet, people: NDArray[np.int64], most: int, models: ModelSet) -> dict[tuple[int, str], Figures]:
    """The figures of bursts of each size up to `most`: FNIR of people with more than `most` photos, of which one is
    enrolled, and FPIR of people with at least `most` photos, of whom none is."""
    numbers = np.unique(people)
    rules = rules_of(comparison_threshold(SAME_PERSON, models.embedder).cosine)
    threshold = search_threshold(Policy(), models.embedder, len(numbers)).cosine
    found: dict[tuple[int, str], _Searches] = {}
    for seed in range(SPLITS):
        chance = np.random.default_rng((seed, most))
        photos = [chance.permutation(np.flatnonzero(people == number)) for number in numbers]
        gallery = seen.vectors[np.array([rows[0] for rows in photos])]
        for person, rows in enumerate(photos):
            if len(rows) < most:
                continue
            for size in (size for size in SIZES if size <= most):
                for name, rule in rules.items():
                    searches = found.setdefault((size, name), _Searches())
                    # A stranger's own photo is not in the gallery, so that it may be in the burst.
                    probe, _ = _probe(seen, rows[len(rows) - most :][:size], rule)
                    cosines = np.delete(gallery @ probe, person)
                    searches.other.setdefault(person, []).append(float(cosines.max()))
                    if len(rows) > most:
                        probe, used = _probe(seen, rows[1 : size + 1], rule)
                        cosines = gallery @ probe
                        first = int(cosines.argmax()) == person
                        searches.own.append(float(cosines[person]) if first else -2.0)
                        searches.pictures += size
                        searches.left_out += size - used
    return {key: searches.figures(threshold) for key, searches in found.items()}


def _probe(seen: SeenSet, rows: NDArray[np.int64], rule: Rule) -> tuple[Vector, int]:
    return rule(list(seen.vectors[rows]), [float(score) for score in seen.qualities[rows, 0]])


def cost(photos: Sequence[bytes], models: ModelSet) -> dict[int, float]:
    """Size of burst -> median milliseconds of this thread's processor per request, without a search."""
    context = Context(models, Policy(), _MAX_PIXELS, time.thread_time)
    snapshot = People(models.embedder.dimension, models.embedder_identity).snapshot()
    request = MatchRequest(
        request_id="r", device_ip="10.0.0.1", picture=photos[0], compare_time_s=0.0, received_time_s=0.0
    )
    spent: dict[int, list[float]] = {size: [] for size in SIZES}
    for round_ in range(_ROUNDS + 1):
        for size in SIZES:
            first, *further = [photos[(round_ * MAX_PICTURES + i) % len(photos)] for i in range(size)]
            began = time.thread_time()
            MatchCall().decide(
                structs.replace(request, picture=first, further_pictures=tuple(further)), snapshot, context
            )
            if round_:
                spent[size].append((time.thread_time() - began) * 1000)
    return {size: float(np.median(each)) for size, each in spent.items()}


def _print(figures: Mapping[tuple[int, str], Figures], title: str, console: Console) -> None:
    table = Table(title=title)
    columns = ("pictures", "probe", "left out", "FPIR (95 %)", "people", "FNIR", f"FNIR at FPIR {FPIR:.0%}")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 1 else "right")
    for (size, name), row in sorted(figures.items(), key=lambda item: item[0][0]):
        if size == 1 and name != BEST:
            continue
        low, high = row.interval
        fpir = f"{row.fpir:.2f} ({low:.2f}..{high:.2f})"
        rates = (f"{row.left_out:.2f}", fpir, str(row.behind), f"{row.fnir:.2f}", f"{row.fnir_at_fpir:.2f}")
        table.add_row(str(size), "the picture" if size == 1 else name, *rates)
    console.print(table)


@click.command()
@config_option
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--face", type=click.Choice(["centred", "largest"]), default="centred", show_default=True)
@click.option("--cache", type=click.Path(dir_okay=False, path_type=Path), help="Keep the vectors here, and reuse them.")
@click.option("--threads", type=click.IntRange(1, 64), help="Photos at a time.  [default: one per core]")
@click.pass_context
def main(ctx: click.Context, path: Path | None, face: FaceChoice, cache: Path | None, threads: int | None) -> None:
    """Figures of bursts from the photos of PATH, a folder with a folder per person; default: ../shared/data/lfw-dev.

    FPIR and FNIR are at the shipped threshold of a gallery of that size.
    """
    if path is None and not DEFAULT_SET.is_dir():
        click.echo(f"skipped: {DEFAULT_SET} is not here; give a folder of people")
        return
    try:
        named = photos_of_people(path or DEFAULT_SET)
        models = open_models(settings_of(ctx))
        seen = _see(sorted(named), models, face, cache, threads)
    except (BadSet, ModelError) as error:
        raise UserError(str(error)) from error
    names = {name: number for number, name in enumerate(sorted(set(named.values())))}
    people = np.array([names[named[photo]] for photo in seen.rows], np.int64)
    console = Console(width=120)
    for most in SIZES[1:]:
        counts = np.unique(people, return_counts=True)[1]
        several, strangers = int((counts > most).sum()), int((counts >= most).sum())
        if several:
            draws = f"{several} people are searched for, {strangers} strangers; {SPLITS} draws"
            title = f"gallery of {len(counts)}; {draws}; in %"
            _print(measure(seen, people, most, models), title, console)
        else:
            click.echo(f"nobody has more than {most} photos, so bursts of {most} cannot be measured")
    spent = cost([photo.read_bytes() for photo in sorted(named)[: MAX_PICTURES * _ROUNDS]], models)
    for size, each_ms in spent.items():
        ratio = each_ms / spent[1]
        click.echo(f"{size} pictures: {each_ms:.1f} ms of a processor per request, {ratio:.2f} times that of one")


def _see(photos: list[Path], models: ModelSet, face: FaceChoice, cache: Path | None, threads: int | None) -> SeenSet:
    key = "" if cache is None else cache_key(models, face, photos)
    kept = None if cache is None else load_set(cache, key)
    if kept is not None:
        return kept
    with progress("seeing photos", len(photos)) as steps:
        seen = see_set(photos, models, face, steps.step, lambda line: None, threads)
    if cache is not None:
        keep_set(cache, key, seen)
    return seen


if __name__ == "__main__":
    main()
