"""Searches with many recorded embeddings at once."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from capture.replaying.candidates import HALF_PRECISION, compared_then, join_candidates, rounding_of
from capture.replaying.plan import Case
from contract.evidence import EvidenceCandidate
from contract.people.keys import MEAN_FACE
from contract.terms import PERSON_STRANGER
from contract.vectors import Vectors
from engine.calls.matching import CANDIDATES
from engine.gallery.port import Candidate, Gallery, Scope

_HALF, _SINGLE = np.dtype("<f2"), np.dtype("<f4")
_FEW = 16
"""For fewer searches in one gallery, confirming costs more than ranking everybody."""


class Found(NamedTuple):
    """The nearest people of a scope, the nearest first; where they are `confirmed`, the first one only, and all are the
    recorded ones. `computed`: the people with computed cosines, each of which half precision moved by at most `within`;
    None where the decision is exact. `recorded`: the candidates of then whose exact cosines count still."""

    candidates: Sequence[Candidate]
    confirmed: bool = False
    computed: Sequence[Candidate] | None = None
    within: float = 0.0
    recorded: Sequence[EvidenceCandidate] = ()


def find_all(cases: Sequence[Case], gallery: Gallery, scope: Scope) -> Sequence[Found | None]:
    """Return the nearest people of a scope for each case, at most `CANDIDATES`; None: its embedding is not finite.

    Every case has an embedding; all have the same length and are recorded, or all were kept (`LookLine`).

    Raises:
        ValueError: the embeddings have not the length of the gallery's vectors.
    """
    if not cases:
        return ()
    probes = probes_of(cases)
    finite: list[bool] = np.logical_and.reduce(np.isfinite(probes), axis=1).tolist()
    if not all(finite):
        found = iter(find_all([case for case, good in zip(cases, finite, strict=True) if good], gallery, scope))
        return [next(found) if good else None for good in finite]
    confirmed: Sequence[Candidate | None] = [None] * len(cases)
    if len(cases) >= _FEW and cases[0].same_people and all(case.candidates for case in cases):
        rankings = [case.candidates for case in cases]
        confirmed = gallery.confirm_each(probes, scope, rankings, CANDIDATES, HALF_PRECISION)
    # A stranger may yield to one of the other candidates, so these are needed too.
    alone = [None if first is None or first.person.person_type == PERSON_STRANGER else first for first in confirmed]
    others = [place for place, first in enumerate(alone) if first is None]
    ranked = iter(_ranked([cases[place] for place in others], probes[others], gallery, scope))
    return [next(ranked) if first is None else Found((first,), confirmed=True) for first in alone]


def _ranked(cases: Sequence[Case], probes: Vectors, gallery: Gallery, scope: Scope) -> Sequence[Found]:
    if not cases:
        return ()
    floors = [min((c.cosine for c in case.candidates), default=np.inf) - HALF_PRECISION for case in cases]
    found = gallery.best_of_each(probes, scope, CANDIDATES, floors)
    return [_found(case, now, gallery, scope) for case, now in zip(cases, found, strict=True)]


def _found(case: Case, now: Sequence[Candidate], gallery: Gallery, scope: Scope) -> Found:
    if case.is_unchanged:
        now = compared_then(now, case.candidates, case.then.complete_to)
    recorded = [c for c in case.candidates if c.number != MEAN_FACE or _has_mean(case, c, gallery, scope)]
    if case.same_people or case.then.embedding is None:
        return Found(join_candidates(recorded, now, same_people=case.same_people))
    within = rounding_of(np.frombuffer(case.then.embedding, _HALF))
    joined = join_candidates(recorded, now, same_people=False, within=within)
    return Found(joined, computed=now, within=within, recorded=recorded)


def _has_mean(case: Case, recorded: EvidenceCandidate, gallery: Gallery, scope: Scope) -> bool:
    """Return whether the search compares the mean of a person's faces that was recorded, and not one of other faces."""
    mean = gallery.vector((recorded.identity_id, MEAN_FACE)) if scope.means else None
    if mean is None or case.same_people:
        return mean is not None
    before = None if case.before is None else case.before.gallery.vector((recorded.identity_id, MEAN_FACE))
    return before is not None and np.array_equal(mean, before)


def probes_of(cases: Sequence[Case]) -> Vectors:
    """Return the embeddings of cases, which are all recorded or all kept (`LookLine`)."""
    kept = cases[0].then.embedding is None
    numbers = np.frombuffer(b"".join(case.embedding or b"" for case in cases), _SINGLE if kept else _HALF)
    probes: Vectors = numbers.astype(np.float32).reshape(len(cases), -1)
    return probes
