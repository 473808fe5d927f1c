"""Compares two records field by field: what differs, and what differs only as between two machines. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from capture.rows import Difference
from engine.calls.matching import CANDIDATES
from engine.vision.attributes import age_class

BETWEEN_MACHINES = 1e-3
"""The most by which numbers that two machines compute from the same picture differ, relative to numbers above 1."""

_NOT_COMPARED = frozenset({"timings_ms", "embedding"})
_MEASURED = frozenset(
    {
        "score",
        "cosine",
        "face",
        "quality",
        "quality_score",
        "liveness",
        "attributes",
        "candidates",
        "card",
        "searched",
        "pictures",
    }
)
"""What a look measures in a picture, or computes from measured values."""
_NOT_IN_0_1_0 = frozenset({"cosine"})
"""What events of version 0.1.0 do not have."""
_STEPS = {"x": 0.1, "y": 0.1, "width": 0.1, "height": 0.1, "age_years": 0.1}
"""By the last part of a path: the steps to which a number is rounded, so that a small difference becomes one step."""
_ROUNDING = 1e-9
_AGE_CLASS, _AGE = "attributes.age_class", "attributes.age_years"


@dataclass(frozen=True, slots=True)
class Compared:
    """The values that differ, and the number of those that differ as between two machines.

    `remarks`: sentences about values so near to their limits that this machine decides otherwise.
    """

    alarms: tuple[Difference, ...] = ()
    rounding: int = 0
    remarks: tuple[str, ...] = ()

    def plus(self, other: "Compared") -> "Compared":
        """Return the results of both comparisons, each differing value once."""
        known = {alarm.what for alarm in self.alarms}
        more = tuple(alarm for alarm in other.alarms if alarm.what not in known)
        return Compared(self.alarms + more, self.rounding + other.rounding, self.remarks + other.remarks)


def differing(then: Any, now: Any, tolerance: float = 0.0, ignored: frozenset[str] = frozenset()) -> Compared:
    """Compare two values field by field; measured values may differ by the tolerance.

    With a tolerance, so may the place of a candidate, and whether a value passes a limit that is as near.
    """
    before, after = msgspec.to_builtins(then), msgspec.to_builtins(now)
    result = Compared()
    if tolerance and all(isinstance(side.get("candidates"), list | tuple) for side in (before, after)):
        result = _candidates(before["candidates"], after["candidates"], tolerance)
        ignored |= {"candidates"}
    return _flat_differing(
        dict(_flat(before, ignored | _NOT_COMPARED)), dict(_flat(after, ignored | _NOT_COMPARED)), tolerance, result
    )


def is_close(one: object, other: object, tolerance: float) -> bool:
    """Return whether both are numbers that differ by at most the tolerance, relative to numbers above 1."""
    if not isinstance(one, int | float) or not isinstance(other, int | float):
        return False
    return abs(one - other) <= tolerance * max(1.0, abs(one), abs(other))


def are_on_both_sides(one: float, other: float, limit: float) -> bool:
    """Return whether a limit lies between two values, or is one of them."""
    return (one - limit) * (other - limit) <= 0


def _flat_differing(before: Mapping[str, Any], after: Mapping[str, Any], tolerance: float, known: Compared) -> Compared:
    alarms, rounding = list(known.alarms), known.rounding
    for what in dict.fromkeys((*before, *after)):
        one, other = before.get(what), after.get(what)
        if one == other or (one is None and what in _NOT_IN_0_1_0):
            continue
        if _is_measured(what) and _is_rounding(what, before, after, tolerance):
            rounding += 1
        else:
            alarms.append(Difference(what, _scalar(one), _scalar(other)))
    return Compared(tuple(alarms), rounding)


def _is_rounding(what: str, before: Mapping[str, Any], after: Mapping[str, Any], tolerance: float) -> bool:
    """Return whether a measured value differs only as between two machines."""
    if not tolerance:
        return False
    one, other, step = before.get(what), after.get(what), _STEPS.get(what.rpartition(".")[2], 0.0)
    if isinstance(one, float) and isinstance(other, float):
        if what == "score":
            return abs(one - other) <= tolerance * max(1.0, _steepness(before))
        return abs(one - other) <= step + tolerance * max(1.0, abs(one), abs(other)) + _ROUNDING * (step > 0)
    if what.endswith(".passed"):
        return _is_at_limit(what.removesuffix("passed"), before, after, tolerance)
    if what == _AGE_CLASS:
        return _is_between_classes(one, other, before.get(_AGE), after.get(_AGE))
    return False


def _steepness(record: Mapping[str, Any]) -> float:
    """Return by how much a score rises below the threshold where its cosine rises by 1; 1 on the raw scale."""
    value = record.get("threshold.value", record.get("threshold"))
    cosine = record.get("threshold.cosine", record.get("applied.cosine"))
    if not isinstance(value, float) or not isinstance(cosine, float) or value <= 1 or cosine <= 0:
        return 1.0
    return value / cosine


def _is_at_limit(item: str, before: Mapping[str, Any], after: Mapping[str, Any], tolerance: float) -> bool:
    """Return whether a checked value is so near to its limit that one machine lets it pass and another does not."""
    values = [side.get(f"{item}value") for side in (before, after)]
    limits = [side.get(f"{item}limit") for side in (before, after)]
    near = [is_close(value, limit, tolerance) for value, limit in zip(values, limits, strict=True)]
    if not is_close(values[0], values[1], tolerance) or not any(near):
        return False
    return any(are_on_both_sides(values[0], values[1], limit) for limit in limits)  # type: ignore[arg-type]


def _is_between_classes(one: object, other: object, before: object, after: object) -> bool:
    """Return whether both classes of age are those of an age that lies at their border."""
    if not isinstance(before, float) or not isinstance(after, float):
        return False
    step = _STEPS["age_years"]
    classes = {age_class(age) for age in (before - step, before + step, after - step, after + step)}
    return abs(before - after) <= step + BETWEEN_MACHINES * max(1.0, before) and {one, other} <= classes


def _candidates(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], tolerance: float) -> Compared:
    """Compare candidates by person: near places may be exchanged, and the last candidates may be others as near."""
    alarms, rounding = list[Difference](), 0
    now = {candidate["identity_id"]: candidate for candidate in after}
    for place, one in enumerate(before):
        who, name = one["identity_id"], f"candidates[{place}]"
        other = now.get(who)
        if other is None:
            if _is_last(one, before, after, tolerance):
                rounding += 1
            else:
                alarms.append(Difference(f"{name}.identity_id", who, _at(after, place)))
        elif not is_close(one["cosine"], other["cosine"], tolerance):
            alarms.append(Difference(f"{name}.cosine", one["cosine"], other["cosine"]))
        else:
            # Another face of the same person is as near.
            rounding += (one["cosine"] != other["cosine"]) + (one["number"] != other["number"])
        follower = before[place + 1] if place + 1 < len(before) else one
        # The first one may stand before nearer strangers (engine.calls.matching), as the decision now says too.
        is_about = place == 0 and who == _at(after, 0)
        if follower["cosine"] > one["cosine"] and not is_about:
            alarms.append(Difference(f"{name}.place", place, "behind the next one, whose cosine is higher"))
    known = {candidate["identity_id"] for candidate in before}
    for place, other in enumerate(after):
        if other["identity_id"] in known:
            continue
        if _is_last(other, after, before, tolerance):
            rounding += 1
        else:
            alarms.append(Difference(f"candidates[{place}].identity_id", _at(before, place), other["identity_id"]))
    return Compared(tuple({alarm.what: alarm for alarm in alarms}.values()), rounding)


def _is_last(
    candidate: Mapping[str, Any],
    own: Sequence[Mapping[str, Any]],
    others: Sequence[Mapping[str, Any]],
    tolerance: float,
) -> bool:
    """Return whether a candidate is missing among the others because somebody as near took the last place."""
    full = len(own) == len(others) == CANDIDATES
    return full and is_close(candidate["cosine"], others[-1]["cosine"], tolerance)


def _at(candidates: Sequence[Mapping[str, Any]], place: int) -> str | None:
    return candidates[place]["identity_id"] if place < len(candidates) else None


def _flat(value: Any, ignored: frozenset[str], name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values inside a value, each with its path, except those of ignored fields."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if name or key not in ignored:
                yield from _flat(inner, ignored, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield from _flat(inner, ignored, f"{name}[{place}]")
    else:
        yield name, value


def _is_measured(what: str) -> bool:
    return re.split(r"[.\[]", what, maxsplit=1)[0] in _MEASURED


def _scalar(value: object) -> str | float | None:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    return str(value)
