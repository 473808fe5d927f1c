"""The single changes of a look at the picture: liveness, quality, sizes. They need the picture. Pure."""

import math
from collections.abc import Iterator
from dataclasses import replace

from msgspec import structs

from capture.explaining.deciding import Decider, Inputs, resolved_in
from capture.explaining.proposals import Alternatives, Proposal, with_setting, with_site
from contract.errors import Code, PictureRefused, Refusal
from contract.findings import CheckResult
from contract.people.site import DeviceRecord
from contract.pictures.headers import picture_header
from contract.terms import LIVENESS_ORDER, QUALITY_ORDER, LivenessMode, QualityLevel
from engine.calls.demands import wanted_of
from engine.calls.match import MatchDecision
from engine.calls.reporting import check_results
from engine.look import Wanted
from engine.policy import QualityLimits
from engine.vision.quality import limits_of
from engine.vision.quality.levels import Limits

_STEPS = 10_000
_LIMIT_FIELDS = {"face_size": "face_size_px", "headpose": "headpose_degrees"}
"""The limits (engine.policy.QualityLimits) whose names are not those of their items."""
_TIMES_THE_PIXELS = 4
"""A picture with more pixels than this many times the limit is not decoded, since it may not fit into memory."""


def look_changes(decider: Decider, decision: MatchDecision) -> Iterator[Alternatives]:
    """Yield the changes after which the picture may be accepted."""
    resolved = resolved_in(decider.inputs)
    if isinstance(resolved, Refusal) or not decider.can_look:
        return
    wanted = wanted_of(decider.inputs.request, decider.inputs.policy, resolved.device)
    match decision.outcome:
        case "spoof":
            yield from _liveness(decider, decision, wanted, resolved.device)
        case "low_quality":
            yield from _quality(decider, decision, wanted, resolved.device)
        case "no_face" if decision.findings.faces:
            yield _size(decider, wanted, resolved.device)
        case "image_error":
            yield from _pixels(decider, decision)
            yield _weaker_modes(decider, wanted, resolved.device)


def _liveness(
    decider: Decider, decision: MatchDecision, wanted: Wanted, device: DeviceRecord | None
) -> Iterator[Alternatives]:
    checks = () if decision.findings.liveness is None else check_results(decision.findings.liveness.checks)
    for check in checks:
        if not check.passed and check.detail.get("measured") != 0.0:
            yield _other_limits(decider, check)
    yield _weaker_modes(decider, wanted, device)


def _other_limits(decider: Decider, check: CheckResult) -> Alternatives:
    """Return the limits of a liveness check, just below and just above the measured value, with which it may pass."""
    setting = "liveness_threshold" if check.name == "rgb_live" else f"liveness_limits.{check.name}"
    below, above = math.floor(check.value * _STEPS) / _STEPS, (math.floor(check.value * _STEPS) + 1) / _STEPS
    proposals = []
    for limit in (below, above):
        changed = with_setting(decider.inputs, setting, limit)
        if changed is not None:
            words = f"{check.name} with the limit {limit:g} instead of {check.limit:g} (the setting matching.{setting})"
            proposals.append(_deciding(decider, words, changed, f"matching.{setting}", limit))
    return proposals


def _weaker_modes(decider: Decider, wanted: Wanted, device: DeviceRecord | None) -> Alternatives:
    inputs = decider.inputs
    sources: dict[str, LivenessMode] = {
        "the request": inputs.request.liveness_mode,
        "the setting matching.liveness_floor": inputs.policy.liveness_floor,
        "the device": (device and device.liveness_floor) or "liveness_off",
        "the infrared picture": "liveness_off" if inputs.request.ir_picture is None else "liveness_rgb_ir",
    }
    weaker = LIVENESS_ORDER[: LIVENESS_ORDER.index(wanted.liveness)]
    proposals = []
    for mode in reversed(weaker):
        asking = [who for who, asked in sources.items() if LIVENESS_ORDER.index(asked) > LIVENESS_ORDER.index(mode)]
        what = "liveness off" if mode == "liveness_off" else f"liveness_mode {mode} only"
        words = f"{what} ({wanted.liveness} was asked for by {' and '.join(asking)})"
        proposals.append(_deciding(decider, words, _with_liveness(inputs, mode, device), "liveness_mode", mode))
    return proposals


def _with_liveness(inputs: Inputs, mode: LivenessMode, device: DeviceRecord | None) -> Inputs:
    """Return the inputs in which nobody asks for a stricter mode."""

    def at_most(asked: LivenessMode) -> LivenessMode:
        return min(asked, mode, key=LIVENESS_ORDER.index)

    request = structs.replace(inputs.request, liveness_mode=at_most(inputs.request.liveness_mode), ir_picture=None)
    policy = structs.replace(inputs.policy, liveness_floor=at_most(inputs.policy.liveness_floor))
    changed = replace(inputs, request=request, policy=policy)
    if device is None or device.liveness_floor is None:
        return changed
    return with_site(changed, structs.replace(device, liveness_floor=at_most(device.liveness_floor)))


def _quality(
    decider: Decider, decision: MatchDecision, wanted: Wanted, device: DeviceRecord | None
) -> Iterator[Alternatives]:
    for check in check_results(decision.findings.quality):
        if not check.passed:
            yield [_better_item(decider, check, wanted, device)]
    weaker = [level for level in QUALITY_ORDER if any(_is_stricter(asked, level) for asked in wanted.quality_levels)]
    yield [_weaker_level(decider, level, device) for level in reversed(weaker)]


def _better_item(decider: Decider, check: CheckResult, wanted: Wanted, device: DeviceRecord | None) -> Proposal:
    """Return the proposal that one item has just passed: decided with a limit that its value passes."""
    missing = abs(check.limit - check.value)
    if check.name == "face_size":
        words = f"another {math.floor(missing) + 1} px of face (more than {check.limit:g} px are needed)"
    else:
        words = f"{check.name} {'higher' if check.value < check.limit else 'lower'} by {missing:.4g}"
    bounds = dict(limits_of(wanted.quality_levels, decider.inputs.policy.custom_quality))
    least, most = bounds[check.name]
    bounds[check.name] = min(least, check.value - (check.name == "face_size")), max(most, check.value)
    custom = with_setting(decider.inputs, "custom_quality", _as_settings(bounds))
    changed = None if custom is None else with_setting(custom, "match_quality", "custom")
    if changed is not None and device is not None and device.quality_level is not None:
        changed = with_site(changed, structs.replace(device, quality_level="no"))
    setting = f"matching.custom_quality.{_LIMIT_FIELDS.get(check.name, check.name)}"
    is_set = set(wanted.quality_levels) <= {"custom", "no"}
    again = None if changed is None else decider.again(changed)
    return Proposal(words, lambda: again, setting if is_set else None, round(check.value, 6) if is_set else None)


def _as_settings(bounds: Limits) -> dict[str, object]:
    """Return limits as the settings of the level `custom`."""
    settings: dict[str, object] = dict.fromkeys(QualityLimits.__struct_fields__)
    for name, (least, most) in bounds.items():
        sides = [side for side in (least, most) if math.isfinite(side)]
        settings[_LIMIT_FIELDS.get(name, name)] = sides if len(sides) == 2 else max(0.0, sides[0])
    return settings


def _weaker_level(decider: Decider, level: QualityLevel, device: DeviceRecord | None) -> Proposal:
    inputs = decider.inputs
    asked = {"the setting matching.match_quality": inputs.policy.match_quality}
    if device is not None and device.quality_level is not None:
        asked["the device"] = device.quality_level
    stricter = {who: asking for who, asking in asked.items() if _is_stricter(asking, level)}
    changed = inputs
    if _is_stricter(inputs.policy.match_quality, level):
        changed = replace(changed, policy=structs.replace(inputs.policy, match_quality=level))
    if device is not None and device.quality_level is not None and _is_stricter(device.quality_level, level):
        changed = with_site(changed, structs.replace(device, quality_level=level))
    sources = " and ".join(f"{asking} was asked for by {who}" for who, asking in stricter.items())
    return _deciding(decider, f"the quality level {level} ({sources})", changed, "quality_level", level)


def _is_stricter(one: QualityLevel, other: QualityLevel) -> bool:
    """Return whether a level is stricter than another; `custom` counts as stricter than no level at all."""
    if "custom" in (one, other):
        return one == "custom" and other == "no"
    return QUALITY_ORDER.index(one) > QUALITY_ORDER.index(other)


def _size(decider: Decider, wanted: Wanted, device: DeviceRecord | None) -> Alternatives:
    """Return the proposals that the largest face is large enough."""
    inputs = decider.inputs
    changed = replace(
        inputs,
        request=structs.replace(inputs.request, min_face_size=0),
        policy=structs.replace(inputs.policy, min_face_size=0),
    )
    if device is not None and device.min_face_size:
        changed = with_site(changed, structs.replace(device, min_face_size=0))
    any_size = decider.again(changed)
    face = None if any_size is None else any_size.findings.face
    if face is None:
        return []
    side = face.sent_box.shorter_side
    words = (
        f"another {math.ceil(wanted.min_face_size - side)} px of face, or a min_face_size of at most "
        f"{math.floor(side)} px instead of {wanted.min_face_size}"
    )
    return [Proposal(words, lambda: any_size, "min_face_size", math.floor(side))]


def _pixels(decider: Decider, decision: MatchDecision) -> Iterator[Alternatives]:
    inputs = decider.inputs
    if decision.refusal is None or decision.refusal.code != Code.IMAGE_SIZE_TOO_LARGE_ERROR:
        return
    try:
        header = picture_header(inputs.request.picture)
    except PictureRefused:
        return
    pixels = header.width * header.height
    if inputs.max_pixels < pixels <= _TIMES_THE_PIXELS * inputs.max_pixels:
        words = f"the setting pictures.max_pixels at {pixels} instead of {inputs.max_pixels}"
        yield [_deciding(decider, words, replace(inputs, max_pixels=pixels), "pictures.max_pixels", pixels)]


def _deciding(decider: Decider, words: str, changed: Inputs, setting: str, value: float | str) -> Proposal:
    return Proposal(words, lambda: decider.again(changed), setting, value)
