"""The results of a replay: one row per request, and what differs in it. Reports are made of rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import msgspec

from contract.captures.values import CapturedDecision, CaptureLine
from contract.terms import Message
from engine.policy import ScoreScale

S = TypeVar("S")

Tier = Literal["decide", "look", "url"]
"""How a row was decided: from the recorded embedding or refusal, from the picture, or by a server."""


class Difference(Message, frozen=True):
    """One value that differs: `then` in the capture, `now` in the replay; None where the value is absent."""

    what: str
    then: str | float | None
    now: str | float | None


class Row(msgspec.Struct, frozen=True):
    """The result of one line of a capture.

    `number`: the number of the line, counted from 1. `now`: the decision of the replay, None where there is none.
    `trouble`: the reason why the line could not be decided, in a sentence. `differences`: where `trouble` is None, the
    differences from the decision of then, or from the expected identity; None means that the line contains nothing to
    compare with. `expected`: the identity that is known to be in the picture, from the capture or a list of truths; ""
    for a stranger, None where nobody knows. `latency_ms` and `scale`: of a row that a server decided, the time of the
    answer and the scale of its score. `remark`: in a sentence, what a reader must know about the way in which the row
    was decided.
    """

    number: int
    line: CaptureLine
    tier: Tier | None = None
    now: CapturedDecision | None = None
    differences: tuple[Difference, ...] | None = None
    trouble: str | None = None
    expected: str | None = None
    latency_ms: float | None = None
    remark: str | None = None
    scale: ScoreScale | None = None


@dataclass(frozen=True, slots=True)
class SameRows(Generic[S]):
    """Rows in which nothing differs and about which there is nothing to remark, as their number and their sums."""

    count: int
    sums: S


Summing = Callable[[Sequence[Row]], S]
"""Adds rows up. Other processes receive it, so it can be pickled, as can the sums."""
