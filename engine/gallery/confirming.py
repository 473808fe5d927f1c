"""Confirms many recorded rankings at once: whether a gallery gives the candidates that were recorded for each probe.

This is much quicker than ranking everybody again, because only the recorded people and the nearest other face of each
probe matter.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from contract.evidence import EvidenceCandidate
from contract.people.held import HeldPerson
from engine.gallery.port import Candidate, FaceId

Mask = NDArray[np.bool_]

_NOWHERE = -2.0
"""Below every cosine."""


@dataclass(frozen=True, slots=True)
class KnownPlaces:
    """The rows of a gallery by face, and for each face of a person with several faces the rows of the others."""

    rows: dict[FaceId, int] = field(default_factory=dict)
    others: dict[FaceId, list[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, owners: Sequence[HeldPerson | None], numbers: Sequence[int]) -> "KnownPlaces":
        """Return the places of the faces of people; a row without an owner has none."""
        places, faces = cls(), dict[str, list[FaceId]]()
        for row, (owner, number) in enumerate(zip(owners, numbers, strict=True)):
            if owner is not None:
                places.rows[owner.identity_id, number] = row
                faces.setdefault(owner.identity_id, []).append((owner.identity_id, number))
        for several in faces.values():
            if len(several) > 1:
                for face in several:
                    places.others[face] = [places.rows[other] for other in several if other != face]
        return places


@dataclass(frozen=True, slots=True, eq=False)
class _Claims:
    """The recorded rankings as arrays.

    Claim k is that the cosine of probe `whose[k]` to `rows[k]` is between `low[k]` and `high[k]`. `holds`: by probe,
    whether its ranking can be right. `firsts`: by probe, the row of the first candidate. `last`: by probe, the cosine
    of the last candidate; `_NOWHERE` where fewer than the most candidates were recorded.
    """

    holds: Mask
    firsts: NDArray[np.intp]
    last: NDArray[np.float32]
    whose: NDArray[np.intp]
    rows: NDArray[np.intp]
    low: NDArray[np.float32]
    high: NDArray[np.float32]


def _claims(rankings: Sequence[Sequence[EvidenceCandidate]], most: int, places: KnownPlaces) -> _Claims:
    flat = [candidate for ranking in rankings for candidate in ranking]
    sizes = np.array([len(ranking) for ranking in rankings], np.intp)
    whose = np.repeat(np.arange(len(rankings)), sizes)
    rows = np.array([places.rows.get((c.identity_id, c.number), -1) for c in flat], np.intp)
    exact = np.array([candidate.cosine for candidate in flat])
    ends = np.cumsum(sizes)
    holds = np.ones(len(rankings), np.bool_)
    holds[whose[rows < 0]] = False
    rises = np.flatnonzero((exact[1:] > exact[:-1]) & (whose[1:] == whose[:-1]))
    holds[whose[rises]] = False
    cosines = exact.astype(np.float32)
    last = np.where(sizes == most, cosines[ends - 1], np.float32(_NOWHERE))
    further = [
        (number, row, candidate.cosine)
        for number, candidate in (zip(whose.tolist(), flat, strict=True) if places.others else ())
        for row in places.others.get((candidate.identity_id, candidate.number), ())
    ]
    whose_too, rows_too, high_too = zip(*further, strict=True) if further else ((), (), ())
    return _Claims(
        holds,
        rows[ends - sizes],
        last,
        np.concatenate([whose, np.array(whose_too, np.intp)]),
        np.concatenate([rows, np.array(rows_too, np.intp)]),
        np.concatenate([cosines, np.full(len(further), _NOWHERE, np.float32)]),
        np.concatenate([cosines, np.array(high_too, np.float32)]),
    )


def confirm(
    cosines: NDArray[np.float32],
    mask: Mask,
    owner_of: Callable[[int], HeldPerson | None],
    places: KnownPlaces,
    rankings: Sequence[Sequence[EvidenceCandidate]],
    most: int,
    within: float,
) -> Sequence[Candidate | None]:
    """Return for each probe its first recorded candidate, if the gallery gives the recorded ranking; else None.

    It does where the cosine of every recorded face comes out again, no other row of these people is nearer, and nobody
    else of the scope is nearer than the last of `most` recorded candidates, all by more than `within`; where fewer were
    recorded, nobody else may be in the scope.

    Args:
        cosines: one row per ranking, with the cosine of its probe to each row of the gallery; changed here.
        mask: the rows of the scope.
        owner_of: returns the person of a row.
        places: the places of the same rows.
        rankings: the recorded candidates of each probe, the nearest first, at least one.
        most: the number of candidates that is recorded where there are enough people.
        within: by how much a cosine may differ.
    """
    claims = _claims(rankings, most, places)
    holds, whose, rows, low = claims.holds, claims.whose, claims.rows, claims.low
    claimed = cosines[whose, rows]
    # A probe that is not finite is in no range.
    inside = mask[rows]
    right = (inside | (low <= _NOWHERE)) & (~inside | ((claimed >= low - within) & (claimed <= claims.high + within)))
    holds[whose[~right]] = False
    cosines[whose, rows] = _NOWHERE
    others = (cosines if mask.all() else np.where(mask, cosines, np.float32(_NOWHERE))).max(axis=1)
    holds &= np.where(claims.last > _NOWHERE, others <= claims.last + within, others <= _NOWHERE)
    return [
        Candidate(owner.record(), ranking[0].number, ranking[0].cosine)
        if held and (owner := owner_of(first)) is not None
        else None
        for held, first, ranking in zip(holds.tolist(), claims.firsts.tolist(), rankings, strict=True)
    ]
