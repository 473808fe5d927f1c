"""What a search ahead of decisions found, so that the decisions need no search of their own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from contract.vectors import Vector
from engine.gallery.port import EVERYBODY, Candidate, Scope


@dataclass(frozen=True, slots=True, eq=False)
class SearchedAhead:
    """What a search ahead of decisions found in one scope of the gallery of one version.

    `found`: by the bytes of a vector, everybody with at least the cosine `down_to`.
    """

    version: int = -1
    scope: Scope = EVERYBODY
    down_to: float = 1.0
    found: Mapping[bytes, Sequence[Candidate]] = field(default_factory=dict)

    def above(self, version: int, scope: Scope, vector: Vector, cosine: float) -> Sequence[Candidate] | None:
        """Return everybody with at least that cosine in that scope and version; None: that was not searched."""
        if (version, scope) != (self.version, self.scope) or cosine < self.down_to:
            return None
        found = self.found.get(vector.tobytes())
        return None if found is None else [candidate for candidate in found if candidate.cosine >= cosine]


NOTHING_SEARCHED = SearchedAhead()
