"""Joins the candidates that were recorded with those found by the recorded embedding, which is less precise. Pure."""

from collections.abc import Mapping, Sequence

from contract.evidence import EvidenceCandidate
from engine.calls.match import CANDIDATES
from engine.gallery.port import Candidate

HALF_PRECISION = 4.95e-4
"""The most by which half precision moves a cosine. Rounding moves each number of the probe by at most 2^-11 of itself,
or by 2^-25 where the number is below 2^-14. By the Cauchy-Schwarz inequality the cosine to a unit vector moves by at
most the length of all these errors together: 2^-11 + 2^-25 times the root of the dimension, which is below 4.92e-4 for
every dimension up to 8,192. The rest is more than the rounding of single precision."""


def join_candidates(
    recorded: Sequence[EvidenceCandidate], found: Sequence[Candidate], *, same_people: bool
) -> Sequence[Candidate]:
    """Return the nearest people of the scope, at most `CANDIDATES`, the nearest first.

    A recorded candidate whose cosine comes out again within `HALF_PRECISION` keeps the recorded cosine. Anybody else
    is nearer than such a candidate only where the computed cosine is higher by more than `HALF_PRECISION`.

    Args:
        recorded: the candidates of then, the nearest first.
        found: everybody in the scope of now whose computed cosine is not more than `HALF_PRECISION` below the lowest
            recorded one, and at least the `CANDIDATES` nearest people, in the order of the port.
        same_people: the people of now are those of then. Then the recorded order counts where cosines are equal, since
            ids in a redacted capture do not sort as the ids of then; else the order of the port.
    """
    agreed = _agreed(recorded, found)
    ranked = sorted((_ranked(candidate, agreed, same_people) for candidate in found), key=lambda entry: entry[0])
    return [candidate for _, candidate in ranked[:CANDIDATES]]


def contradiction(recorded: Sequence[EvidenceCandidate], joined: Sequence[Candidate]) -> str | None:
    """Return in a sentence why the people of then cannot have given the recorded candidates; None: they can have."""
    for place, before in enumerate(recorded):
        now = joined[place] if place < len(joined) else None
        if now is None or now.person.identity_id != before.identity_id or now.number != before.number:
            found = "nobody" if now is None else f"face {now.number} of {now.person.identity_id}"
            return (
                f"the evidence contradicts the people of then: candidate {place + 1} was face {before.number} of "
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


def is_certain(found: Sequence[Candidate], threshold: float) -> bool:
    """Return whether half precision cannot have changed who is the nearest, and whether that person is recognised.

    `found`: the nearest people by an embedding in half precision, without any recorded cosine.
    """
    if not found:
        return True
    first = found[0].cosine
    clear = abs(first - threshold) > HALF_PRECISION
    return clear and all(c.cosine == first or first - c.cosine > 2 * HALF_PRECISION for c in found[1:])


_Agreed = Mapping[str, tuple[int, Candidate, float]]
"""By identity_id: the place among the recorded candidates, the candidate as recorded, and the computed cosine."""
_Rank = tuple[float, int, int, str]


def _agreed(recorded: Sequence[EvidenceCandidate], found: Sequence[Candidate]) -> _Agreed:
    """Return the recorded candidates whose cosine comes out again."""
    nearest = {candidate.person.identity_id: candidate for candidate in found}
    agreed: dict[str, tuple[int, Candidate, float]] = {}
    for place, before in enumerate(recorded):
        now = nearest.get(before.identity_id)
        if now is None or before.number not in now.person.faces:
            continue
        if abs(now.cosine - before.cosine) <= HALF_PRECISION:
            as_recorded = Candidate(now.person, before.number, before.cosine)
            agreed[before.identity_id] = (place, as_recorded, now.cosine)
    return agreed


def _ranked(candidate: Candidate, agreed: _Agreed, same_people: bool) -> tuple[_Rank, Candidate]:
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
        if as_recorded.cosine < candidate.cosine <= as_recorded.cosine + HALF_PRECISION:
            cosine = min(cosine, as_recorded.cosine)
    return (-cosine, rank, 0, identity_id), Candidate(candidate.person, candidate.number, cosine)
