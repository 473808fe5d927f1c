"""Searches with many recorded embeddings at once."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from capture.replaying.candidates import HALF_PRECISION, join_candidates
from capture.replaying.plan import Case
from contract.vectors import Vectors
from engine.calls.match import CANDIDATES
from engine.gallery.port import Candidate, Gallery, Scope

_HALF = np.dtype("<f2")
_FEW = 16
"""For fewer searches in one gallery, confirming costs more than ranking everybody."""


class Found(NamedTuple):
    """The nearest people of a scope, the nearest first; where they are `confirmed`, the first one only, and all are the
    recorded ones."""

    candidates: Sequence[Candidate]
    confirmed: bool = False


def find_all(cases: Sequence[Case], gallery: Gallery, scope: Scope) -> Sequence[Found]:
    """Return the nearest people of a scope for each case, at most `CANDIDATES`.

    Every case has an embedding, and all have the same length.

    Raises:
        ValueError: the embeddings have not the length of the gallery's vectors.
    """
    probes = _probes(cases)
    confirmed: Sequence[Candidate | None] = [None] * len(cases)
    if len(cases) >= _FEW and cases[0].same_people and all(case.then.candidates for case in cases):
        rankings = [case.then.candidates for case in cases]
        confirmed = gallery.confirm_each(probes, scope, rankings, CANDIDATES, HALF_PRECISION)
    others = [place for place, first in enumerate(confirmed) if first is None]
    ranked = iter(_ranked([cases[place] for place in others], probes[others], gallery, scope))
    return [next(ranked) if first is None else Found((first,), confirmed=True) for first in confirmed]


def _ranked(cases: Sequence[Case], probes: Vectors, gallery: Gallery, scope: Scope) -> Sequence[Found]:
    if not cases:
        return ()
    floors = [min((c.cosine for c in case.then.candidates), default=np.inf) - HALF_PRECISION for case in cases]
    found = gallery.best_of_each(probes, scope, CANDIDATES, floors)
    return [
        Found(join_candidates(case.then.candidates, now, same_people=case.same_people))
        for case, now in zip(cases, found, strict=True)
    ]


def _probes(cases: Sequence[Case]) -> Vectors:
    halves = np.frombuffer(b"".join(case.embedding or b"" for case in cases), _HALF)
    probes: Vectors = halves.astype(np.float32).reshape(len(cases), -1)
    return probes
