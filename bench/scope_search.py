"""What a scope costs a search: the time of a search within a group and a permission against one among everybody.

`python -m bench.scope_search`
"""

import time
from collections.abc import Sequence

import click
import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from contract.people.held import HeldPerson
from contract.people.records import PersonRecord
from contract.vectors import Vector
from engine.gallery.exact import ExactIndex
from engine.gallery.port import Gallery, Scope

_DIMENSION = 512
_SCOPES = {
    "everybody": Scope(None, None),
    "a group that everybody is in": Scope("all", None),
    "that group and a permission that everybody has": Scope("all", "any"),
    "a group of a tenth and a permission of half": Scope("g0", "p0"),
}


def _gallery(people: int, groups: int, permissions: int, rng: np.random.Generator) -> Gallery:
    index = ExactIndex(_DIMENSION)
    vectors = rng.normal(size=(people, _DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for number, vector in enumerate(vectors):
        chosen = [f"g{i}" for i in range(groups) if rng.random() < 0.1]
        allowed = [f"p{i}" for i in range(permissions) if rng.random() < 0.5]
        name = f"person-{number}"
        person = PersonRecord(
            identity_id=name,
            group_ids=("all", *chosen),
            info={"permission_ids": ["any", *allowed]},
            faces=(0,),
            next_face=1,
        )
        index.add((name, 0), vector, HeldPerson.of(person))
    return index.snapshot(1)


def _seconds(gallery: Gallery, probe: Vector, scope: Scope) -> float:
    """Return the processor seconds of what a match computes in a gallery: the size of the scope, and the best five."""
    began = time.process_time()
    gallery.count(scope)
    gallery.best(probe, scope, 5)
    return time.process_time() - began


def _measure(gallery: Gallery, probes: Sequence[Vector]) -> dict[str, list[float]]:
    """Return the processor seconds of each search by scope; the scopes take turns, so that all meet the same noise."""
    taken: dict[str, list[float]] = {name: [] for name in _SCOPES}
    for probe in probes:
        for name, scope in _SCOPES.items():
            taken[name].append(_seconds(gallery, probe, scope))
    return taken


@click.command(epilog="Example: python -m bench.scope_search --people 10000")
@click.option("--people", default=10_000, show_default=True, help="People enrolled, one face each.")
@click.option("--groups", default=50, show_default=True, help="Groups; a tenth of the people are in each.")
@click.option("--permissions", default=20, show_default=True, help="Permissions; half of the people have each.")
@click.option("--searches", default=400, show_default=True, help="Searches in each scope.")
def main(people: int, groups: int, permissions: int, searches: int) -> None:
    """Processor time of a search (count and best five) on one core, by scope."""
    rng = np.random.default_rng(7)
    with threadpool_limits(1):
        gallery = _gallery(people, groups, permissions, rng)
        probes = [vector / np.linalg.norm(vector) for vector in rng.normal(size=(searches, _DIMENSION))]
        taken = _measure(gallery, [probe.astype(np.float32) for probe in probes])
    baseline = float(np.median(taken["everybody"]))
    table = Table(title=f"{people} people, {groups} groups, {permissions} permissions; processor time of one search")
    for column in ("scope", "median ms", "times everybody"):
        table.add_column(column, justify="left" if column == "scope" else "right")
    for name, seconds in taken.items():
        median = float(np.median(seconds))
        table.add_row(name, f"{1000 * median:.3f}", f"{median / baseline:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
