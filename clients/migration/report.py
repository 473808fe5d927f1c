"""The report of a migration: what was taken, what was there already, and what was left out and why. Pure."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Kind = Literal["group", "permission", "info", "person", "face", "membership", "device"]
"""`info`: free members of a group or permission; `face`: faces of a person besides the one that is taken."""
KINDS: tuple[Kind, ...] = get_args(Kind)

Outcome = Literal["taken", "changed", "there already"]
"""`changed`: it was here with other values, which the box's have replaced."""
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An object of the box that was not taken, and the reason in one sentence."""

    kind: Kind
    name: str
    reason: str


@dataclass(slots=True)
class Report:
    """The counts of what was taken, by kind and outcome, what was left out, and remarks about what was taken."""

    counts: Counter[tuple[Kind, Outcome]] = field(default_factory=Counter)
    left_out: dict[tuple[Kind, str], LeftOut] = field(default_factory=dict)
    remarks: dict[str, None] = field(default_factory=dict)

    def add(self, kind: Kind, outcome: Outcome) -> None:
        """Count an object that is enrolled here now."""
        self.counts[kind, outcome] += 1

    def leave_out(self, *objects: LeftOut) -> None:
        """Note objects that were not taken; of one object the first reason is kept."""
        for one in objects:
            self.left_out.setdefault((one.kind, one.name), one)

    def remark(self, sentence: str) -> None:
        """Note a sentence about the box or about something that was taken."""
        self.remarks[sentence] = None

    def left_out_of(self, kind: Kind) -> int:
        """Return the number of objects of a kind that were left out."""
        return sum(one.kind == kind for one in self.left_out.values())

    def document(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return {
            "counts": {
                kind: {outcome: self.counts[kind, outcome] for outcome in OUTCOMES}
                | {"left out": self.left_out_of(kind)}
                for kind in KINDS
            },
            "left_out": [{"kind": one.kind, "name": one.name, "reason": one.reason} for one in self.left_out.values()],
            "remarks": list(self.remarks),
        }
