"""Searches with many recorded embeddings at once."""

from collections.abc import Sequence

import numpy as np

from capture.replaying.candidates import HALF_PRECISION, join_candidates
from capture.replaying.plan import Case
from contract.vectors import Vectors
from engine.calls.match import CANDIDATES
from engine.gallery.port import Candidate, Gallery, Scope

_HALF = np.dtype("<f2")


def find_all(cases: Sequence[Case], gallery: Gallery, scope: Scope) -> Sequence[Sequence[Candidate]]:
    """Return the nearest people of a scope for each case, at most `CANDIDATES`, the nearest first.

    Every case has an embedding, and all have the same length.

    Raises:
        ValueError: the embeddings have not the length of the gallery's vectors.
    """
    recorded = [case.then.candidates for case in cases]
    floors = [min((c.cosine for c in each), default=np.inf) - HALF_PRECISION for each in recorded]
    halves = np.frombuffer(b"".join(case.then.embedding or b"" for case in cases), _HALF)
    probes: Vectors = halves.astype(np.float32).reshape(len(cases), -1)
    found = gallery.best_of_each(probes, scope, CANDIDATES, floors)
    return [
        join_candidates(before, now, same_people=case.same_people)
        for case, before, now in zip(cases, recorded, found, strict=True)
    ]
