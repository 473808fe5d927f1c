"""What a replay changes, as a value, and how that changes the policy of a decision. Pure."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from contract.configs import policy_record
from contract.terms import LivenessMode, QualityLevel
from engine.policy import Policy


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The changes of a replay; a field that is None changes nothing.

    Attributes:
        threshold: the cosine threshold of every search.
        target_fpir: the target from which every threshold is computed.
        liveness_mode: the least liveness mode.
        quality: the quality level of a match.
        look: every picture is looked at again.
        models: the manifest of the networks that look at the pictures.
        gallery: the capture whose people are searched.
        gallery_version: the version at which the people are searched, whatever the version of then.
        gallery_time: likewise, as the time (epoch seconds) of the last change.
        add_people: the list or folder of people who are enrolled before the first request.
    """

    threshold: float | None = None
    target_fpir: float | None = None
    liveness_mode: LivenessMode | None = None
    quality: QualityLevel | None = None
    look: bool = False
    models: Path | None = None
    gallery: Path | None = None
    gallery_version: int | None = None
    gallery_time: float | None = None
    add_people: Path | None = None

    @property
    def looks_always(self) -> bool:
        """Whether every picture is looked at again, whatever was recorded."""
        return self.look or self.models is not None

    def policy(self, then: Policy) -> Policy:
        """Return the policy of a decision whose policy was `then`.

        A changed threshold or target is in force whatever else would move the threshold.
        """
        fields: dict[str, Any] = {}
        if self.threshold is not None:
            fields |= {"threshold": self.threshold, "accepted_score": None}
        if self.target_fpir is not None:
            fields |= {"target_fpir": self.target_fpir, "threshold": None, "accepted_score": None}
        if self.liveness_mode is not None:
            fields["liveness_floor"] = self.liveness_mode
        if self.quality is not None:
            fields["match_quality"] = self.quality
        return structs.replace(then, **fields) if fields else then


@lru_cache(maxsize=256)
def policy_id(policy: Policy) -> str:
    """Return the id that the configs topic gives to a policy."""
    return policy_record(msgspec.to_builtins(policy)).id
