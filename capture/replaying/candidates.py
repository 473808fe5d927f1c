"""Joins the candidates that were recorded with those found by the recorded embedding, which is less precise. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.evidence import EvidenceCandidate
from contract.people.keys import MEAN_FACE
from engine.calls.matching import CANDIDATES
from engine.gallery.port import Candidate

HALF_PRECISION = 4.95e-4
"""The most by which half precision moves a cosine. Rounding moves each number of the probe by at most 2^-11 of itself,
or by 2^-25 where the number is below 2^-14. By the Cauchy-Schwarz inequality the cosine to a unit vector moves by at
most the length of all these errors together: 2^-11 + 2^-25 times the root of the dimension, which is below 4.92e-4 for
every dimension up to 8,192. The rest is more than the rounding of single precision."""
_SINGLE_PRECISION = 3e-6


def join_candidates(
    recorded: Sequence[EvidenceCandidate],
    found: Sequence[Candidate],
    *,
    same_people: bool,
    within: float = HALF_PRECISION,
) -> Sequence[Candidate]:
    """Return the nearest people of the scope, at most `CANDIDATES`, the nearest first.

    A recorded candidate whose cosine comes out again within `HALF_PRECISION` keeps the recorded cosine. Anybody else
    is nearer than such a candidate only where the computed cosine is higher by more than `within`.

    Args:
        recorded: the candidates of then, the nearest first; none with a mean of faces that is another one now.
        found: everybody in the scope of now whose computed cosine is not more than `HALF_PRECISION` below the lowest
            recorded one, and at least the `CANDIDATES` nearest people, in the order of the port.
        same_people: the people of now are those of then. Then the recorded order counts where cosines are equal, since
            ids in a redacted capture do not sort as the ids of then; else the order of the port.
        within: by how much half precision can have moved a computed cosine.
    """
    agreed = _agreed(recorded, found)
    ranked = sorted(
        (_ranked(candidate, agreed, same_people, within) for candidate in found), key=lambda entry: entry[0]
    )
    return [candidate for _, candidate in ranked[:CANDIDATES]]


def compared_then(
    found: Sequence[Candidate], recorded: Sequence[EvidenceCandidate], complete_to: float | None
) -> Sequence[Candidate]:
    """Return the people of `found` who were compared then, as far as that is known.

    An index that compares only candidates leaves out people below `complete_to` (contract.evidence.Evidence; None: it
    left out nobody). Such people were not chosen between, so those of them who were not recorded do not count.
    """
    if complete_to is None:
        return found
    known = {candidate.identity_id for candidate in recorded}
    least = complete_to - HALF_PRECISION
    return [one for one in found if one.cosine >= least or one.person.identity_id in known]


def contradiction(recorded: Sequence[EvidenceCandidate], joined: Sequence[Candidate]) -> str | None:
    """Return in a sentence why the people of then cannot have given the recorded candidates; None: they can have."""
    for place, before in enumerate(recorded):
        now = joined[place] if place < len(joined) else None
        if now is None or now.person.identity_id != before.identity_id or now.number != before.number:
            found = "nobody" if now is None else f"{_words(now.number)} of {now.person.identity_id}"
            return (
                f"the evidence contradicts the people of then: candidate {place + 1} was {_words(before.number)} of "
                f"{before.identity_id} with the cosine {before.cosine:.4f}, and the recorded embedding finds {found}"
            )
        if now.cosine != before.cosine:
            return (
                f"the evidence contradicts the people of then: the cosine of {before.identity_id} was "
                f"{before.cosine:.4f}, and the recorded embedding gives {now.cosine:.4f}"
            )
    if len(joined) > len(recorded):
        return (
            f"the evidence contradicts the people of then: {joined[len(recorded)].person.identity_id} was no candidate"
        )
    return None


def _words(number: int) -> str:
    return "the mean of the faces" if number == MEAN_FACE else f"face {number}"


def rounding_of(half: NDArray[np.float16]) -> float:
    """Return by how much the rounding to these half-precision numbers can have moved a cosine to a unit vector.

    Each number was at most half the distance to the next one away; by the Cauchy-Schwarz inequality the cosine moves by
    at most the length of all these errors together. A little more covers the rounding of single precision.
    """
    errors = np.spacing(np.abs(half)).astype(np.float64) / 2
    return float(np.linalg.norm(errors)) + _SINGLE_PRECISION


def is_certain(
    recorded: Sequence[EvidenceCandidate],
    found: Sequence[Candidate],
    threshold: float,
    within: float,
    *,
    names_strangers: bool,
) -> bool:
    """Return whether half precision cannot have changed who is the nearest, and whether that person is recognised.

    Args:
        recorded: the candidates of then as for `join_candidates`, whose cosines are exact.
        found: the people of now as for `join_candidates`, with computed cosines.
        threshold: the threshold of now.
        within: by how much a computed cosine may be wrong (`rounding_of`).
        names_strangers: the nearest person is named also below the threshold.
    """
    spans = _spans(recorded, found, within)
    if not spans:
        return True
    low, high = max(span.low for span in spans), max(span.high for span in spans)
    if low < threshold <= high:
        return False
    if high < threshold and not names_strangers:
        return True
    first = [span for span in spans if span.high >= low]
    if all(span.low == span.high for span in first):
        return True
    # Equal cosines are those of the same face, unless they were cut at 1; of many, some may not have been found.
    computed = {span.computed for span in first}
    same_face = len(computed) == 1 and max(computed) < 1 and not any(span.other_face for span in first)
    return len(first) == 1 or (same_face and len(first) < CANDIDATES)


class _Span(NamedTuple):
    """A person's computed cosine, and the least and the highest cosine that the person can have.

    `other_face`: the person was recorded, and another face of the person may be nearer than the recorded one.
    """

    computed: float
    low: float
    high: float
    other_face: bool = False


def _spans(recorded: Sequence[EvidenceCandidate], found: Sequence[Candidate], within: float) -> Sequence[_Span]:
    agreed, spans = _agreed(recorded, found), list[_Span]()
    for candidate in found:
        _, exact, computed = agreed.get(candidate.person.identity_id, (0, None, candidate.cosine))
        if exact is None:
            spans.append(_Span(computed, computed - within, computed + within))
        else:
            several = len(candidate.person.faces) > 1
            high = max(exact.cosine, computed + within) if several else exact.cosine
            spans.append(_Span(computed, exact.cosine, high, several))
    return spans


_Agreed = Mapping[str, tuple[int, Candidate, float]]
"""By identity_id: the place among the recorded candidates, the candidate as recorded, and the computed cosine."""
_Rank = tuple[float, int, int, str]


def _agreed(recorded: Sequence[EvidenceCandidate], found: Sequence[Candidate]) -> _Agreed:
    """Return the recorded candidates whose cosine comes out again."""
    nearest = {candidate.person.identity_id: candidate for candidate in found}
    agreed: dict[str, tuple[int, Candidate, float]] = {}
    for place, before in enumerate(recorded):
        now = nearest.get(before.identity_id)
        if now is None or (before.number != MEAN_FACE and before.number not in now.person.faces):
            continue
        if abs(now.cosine - before.cosine) <= HALF_PRECISION:
            as_recorded = Candidate(now.person, before.number, before.cosine)
            agreed[before.identity_id] = (place, as_recorded, now.cosine)
    return agreed


def _ranked(candidate: Candidate, agreed: _Agreed, same_people: bool, within: float) -> tuple[_Rank, Candidate]:
    """Return a candidate as it counts, and its rank: candidates are sorted by rising rank."""
    identity_id = candidate.person.identity_id
    if identity_id in agreed:
        place, as_recorded, _ = agreed[identity_id]
        return (-as_recorded.cosine, 0, place if same_people else 0, identity_id), as_recorded
    cosine, rank = candidate.cosine, 1
    for _, as_recorded, computed in agreed.values():
        if candidate.cosine == computed and not same_people:  # the same face as the recorded one
            cosine, rank = as_recorded.cosine, 0
            break
        if as_recorded.cosine < candidate.cosine <= as_recorded.cosine + within:
            cosine = min(cosine, as_recorded.cosine)
    return (-cosine, rank, 0, identity_id), Candidate(candidate.person, candidate.number, cosine)
