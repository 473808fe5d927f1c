"""The single changes of a look at the picture: liveness, quality, sizes. They need the picture. Pure."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

from msgspec import structs

from capture.explaining.deciding import Decider, Inputs, resolved_in
from capture.explaining.items import (
    better_words,
    limit_setting,
    passed_limit,
    passing_bounds,
    pixels_above,
    weaker_levels,
)
from capture.explaining.proposals import Alternatives, Proposal, with_setting, with_site
from contract.errors import Code, Refusal
from contract.findings import CheckResult
from contract.people.site import DeviceRecord
from contract.terms import LIVENESS_ORDER, LivenessMode
from engine.calls.demands import wanted_of
from engine.calls.matching import MatchDecision
from engine.calls.reporting import check_results
from engine.look import Wanted

_STEPS = 10_000


def look_changes(decider: Decider, decision: MatchDecision) -> Iterator[Alternatives]:
    """Yield the changes after which the picture may be accepted."""
    resolved = resolved_in(decider.inputs)
    if isinstance(resolved, Refusal) or not decider.can_look:
        return
    wanted = wanted_of(decider.inputs.request, decider.inputs.policy, resolved.device)
    match decision.outcome:
        case "spoof":
            yield from _liveness(decider, decision, resolved.device)
        case "low_quality":
            yield from _quality(decider, decision, wanted, resolved.device)
        case "no_face" if decision.findings.faces:
            yield _size(decider, wanted, resolved.device)
        case "image_error":
            yield from _pixels(decider, decision)
            yield from _weaker_modes(decider, resolved.device)
        case "error":  # an infrared picture is needed and missing
            yield from _weaker_modes(decider, resolved.device)


def _liveness(decider: Decider, decision: MatchDecision, device: DeviceRecord | None) -> Iterator[Alternatives]:
    checks = () if decision.findings.liveness is None else check_results(decision.findings.liveness.checks)
    for check in checks:
        if not check.passed and check.detail.get("measured") != 0.0:
            yield _other_limits(decider, check)
    yield from _weaker_modes(decider, device)


def _other_limits(decider: Decider, check: CheckResult) -> Alternatives:
    """Return the limits of a liveness check, just below and just above the measured value, with which it may pass."""
    setting = limit_of_liveness(check)
    below, above = math.floor(check.value * _STEPS) / _STEPS, (math.floor(check.value * _STEPS) + 1) / _STEPS
    proposals = []
    for limit in (below, above):
        changed = with_setting(decider.inputs, setting, limit)
        if changed is not None:
            words = f"{check.name} with the limit {limit:g} instead of {check.limit:g} (the setting matching.{setting})"
            proposals.append(_deciding(decider, words, changed, f"matching.{setting}", limit))
    return proposals


def limit_of_liveness(check: CheckResult) -> str:
    """Return the setting of matching that is the limit of a liveness check."""
    return "liveness_threshold" if check.name == "rgb_live" else f"liveness_limits.{check.name}"


def with_quality_bounds(inputs: Inputs, bounds: dict[str, object], device: DeviceRecord | None) -> Inputs | None:
    """Return the inputs with limits of quality (settings of the level `custom`) in place of all levels that were asked
    for; None: the settings cannot have these limits."""
    custom = with_setting(inputs, "custom_quality", bounds)
    changed = None if custom is None else with_setting(custom, "match_quality", "custom")
    if changed is not None and device is not None and device.quality_level is not None:
        changed = with_site(changed, structs.replace(device, quality_level="no"))
    return changed


def _weaker_modes(decider: Decider, device: DeviceRecord | None) -> Iterator[Alternatives]:
    """Yield the weaker modes of each source of the liveness mode; a change of one source leaves the others alone."""
    inputs = decider.inputs
    request, policy = inputs.request, inputs.policy
    yield _modes(
        decider,
        request.liveness_mode,
        "the request",
        "liveness_mode",
        lambda mode: replace(inputs, request=structs.replace(request, liveness_mode=mode)),
    )
    yield _modes(
        decider,
        policy.liveness_floor,
        "the setting matching.liveness_floor",
        "matching.liveness_floor",
        lambda mode: replace(inputs, policy=structs.replace(policy, liveness_floor=mode)),
    )
    if device is not None and device.liveness_floor is not None:
        yield _modes(
            decider,
            device.liveness_floor,
            "the device",
            "device.liveness_floor",
            lambda mode: with_site(inputs, structs.replace(device, liveness_floor=mode)),
        )
    if request.ir_picture is not None:
        without = replace(inputs, request=structs.replace(request, ir_picture=None))
        words = "a request without the infrared picture, which asks for liveness_rgb_ir"
        yield [_deciding(decider, words, without, "ir_image_base64", None)]


def _modes(
    decider: Decider, asked: LivenessMode, who: str, setting: str, changed: Callable[[LivenessMode], Inputs]
) -> Alternatives:
    """Return the weaker modes of one source, the strictest first."""
    proposals = []
    for mode in reversed(LIVENESS_ORDER[: LIVENESS_ORDER.index(asked)]):
        what = "liveness off" if mode == "liveness_off" else f"liveness_mode {mode} only"
        words = f"{what} ({asked} was asked for by {who})"
        proposals.append(_deciding(decider, words, changed(mode), setting, mode))
    return proposals


def _quality(
    decider: Decider, decision: MatchDecision, wanted: Wanted, device: DeviceRecord | None
) -> Iterator[Alternatives]:
    for check in check_results(decision.findings.quality):
        if not check.passed:
            yield list(_better_item(decider, check, wanted, device))
    inputs, policy = decider.inputs, decider.inputs.policy
    asked = policy.match_quality
    for level in weaker_levels(asked):
        words = f"the quality level {level} ({asked} was asked for by the setting matching.match_quality)"
        changed = replace(inputs, policy=structs.replace(policy, match_quality=level))
        yield [_deciding(decider, words, changed, "matching.match_quality", level)]
    if device is not None and device.quality_level is not None:
        for level in weaker_levels(device.quality_level):
            words = f"the quality level {level} ({device.quality_level} was asked for by the device)"
            changed = with_site(inputs, structs.replace(device, quality_level=level))
            yield [_deciding(decider, words, changed, "device.quality_level", level)]


def _better_item(
    decider: Decider, check: CheckResult, wanted: Wanted, device: DeviceRecord | None
) -> Iterator[Proposal]:
    """Yield the proposals that one item has just passed: by its own limit, where that is a setting; then by a picture
    that measures better, which is decided with a limit that the value passes."""
    words, setting, limit = better_words(check), limit_setting(check), passed_limit(check)
    if set(wanted.quality_levels) <= {"custom", "no"} and limit is not None:
        alone = with_setting(decider.inputs, setting, limit)
        if alone is not None:
            yield _deciding(decider, words, alone, f"matching.{setting}", limit)
    bounds = passing_bounds(wanted.quality_levels, decider.inputs.policy, check)
    changed = with_quality_bounds(decider.inputs, bounds, device)
    if changed is not None:
        yield _deciding(decider, words, changed, None, None)


def _size(decider: Decider, wanted: Wanted, device: DeviceRecord | None) -> Alternatives:
    """Return the proposals that the largest face is large enough: by the one source that asks for more, where there is
    only one; then by a larger face."""
    inputs = decider.inputs
    request, policy = inputs.request, inputs.policy
    any_size = replace(
        inputs,
        request=structs.replace(request, min_face_size=0),
        policy=structs.replace(policy, min_face_size=0),
    )
    if device is not None and device.min_face_size:
        any_size = with_site(any_size, structs.replace(device, min_face_size=0))
    found = decider.again(any_size)
    face = None if found is None else found.findings.face
    if face is None:
        return []
    side = math.floor(face.sent_box.shorter_side)
    more = f"another {math.ceil(wanted.min_face_size - face.sent_box.shorter_side)} px of face"
    sources = [("min_face_size", replace(inputs, request=structs.replace(request, min_face_size=side)))]
    asked = [request.min_face_size]
    sources += [("matching.min_face_size", replace(inputs, policy=structs.replace(policy, min_face_size=side)))]
    asked += [policy.min_face_size]
    if device is not None:
        sources += [("device.min_face_size", with_site(inputs, structs.replace(device, min_face_size=side)))]
        asked += [device.min_face_size]
    asking = [source for source, least in zip(sources, asked, strict=True) if least > side]
    larger = _deciding(decider, more, any_size, None, None)
    if len(asking) != 1:
        return [larger]
    ((setting, changed),) = asking
    words = f"{more}, or a {setting} of at most {side} px instead of {wanted.min_face_size}"
    return [_deciding(decider, words, changed, setting, side), larger]


def _pixels(decider: Decider, decision: MatchDecision) -> Iterator[Alternatives]:
    inputs = decider.inputs
    if decision.refusal is None or decision.refusal.code != Code.IMAGE_SIZE_TOO_LARGE_ERROR:
        return
    pixels = pixels_above(inputs.request.picture, inputs.max_pixels)
    if pixels is not None:
        words = f"the setting pictures.max_pixels at {pixels} instead of {inputs.max_pixels}"
        yield [_deciding(decider, words, replace(inputs, max_pixels=pixels), "pictures.max_pixels", pixels)]


def _deciding(
    decider: Decider, words: str, changed: Inputs, setting: str | None, value: float | str | None
) -> Proposal:
    return Proposal(words, lambda: decider.again(changed), setting, value)
