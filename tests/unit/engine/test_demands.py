"""What a match demands of its picture: a device can raise what the settings demand, and never lower it."""

import math
from typing import Any

import pytest

from contract.answers import RefusedAnswer
from contract.errors import Code
from contract.people.site import DeviceRecord, Site
from contract.requests import MatchRequest
from engine.calls.demands import wanted_of
from engine.calls.match import MatchCall
from engine.policy import Policy, QualityLimits
from engine.vision.networks.standin import draw_face
from engine.vision.quality import limits_of
from tests.support.faces import Enrolled, context, outcome_of, photo, scene


def door(**demands: Any) -> DeviceRecord:
    return DeviceRecord(
        device_id="d1",
        name="door",
        address="10.0.0.1",
        device_type="photo",
        group_id="default_group",
        permission_id="0",
        **demands,
    )


def asked(picture: bytes = b"", **fields: Any) -> MatchRequest:
    given = {"request_id": "r", "device_ip": "10.0.0.1", "compare_time_s": 1.0, "received_time_s": 1.0, **fields}
    return MatchRequest(picture=picture, **given)


OFF, RGB, IR = "liveness_off", "liveness_rgb", "liveness_rgb_ir"


@pytest.mark.parametrize(
    ("of_request", "of_policy", "of_device", "applied"),
    [
        (OFF, OFF, None, OFF),
        (OFF, OFF, RGB, RGB),
        (OFF, RGB, OFF, RGB),
        (OFF, RGB, IR, IR),
        (IR, RGB, RGB, IR),
        (RGB, OFF, OFF, RGB),
    ],
)
def test_the_strictest_liveness_mode_counts(of_request, of_policy, of_device, applied):
    policy, device = Policy(liveness_floor=of_policy), door(liveness_floor=of_device)
    assert wanted_of(asked(liveness_mode=of_request), policy, device).liveness == applied
    assert wanted_of(asked(liveness_mode=of_request, ir_picture=b"x"), policy, device).liveness == IR


CUSTOM = QualityLimits(face_size_px=100, headpose_degrees=50, brightness=(40, 250), clarity=0.3)


@pytest.mark.parametrize(
    ("of_policy", "of_device", "strictest"),
    [
        ("no", None, {}),
        ("no", "low", {"face_size": 60, "headpose": 120}),
        ("low", "no", {"face_size": 60, "headpose": 120}),
        ("low", "middle", {"face_size": 80, "headpose": 90}),
        ("middle", "low", {"face_size": 80, "headpose": 90}),
        ("middle", "high", {"face_size": 112, "headpose": 60, "clarity": 0.22}),
        ("custom", None, {"face_size": 100, "headpose": 50, "brightness": (40, 250), "clarity": 0.3}),
        ("custom", "low", {"face_size": 100, "headpose": 50, "brightness": (40, 250), "clarity": 0.3}),
        ("custom", "middle", {"face_size": 100, "headpose": 50, "partial": 0.1, "brightness": (40, 235)}),
        ("custom", "high", {"face_size": 112, "headpose": 50, "clarity": 0.3, "mask": 1.0}),
        ("high", "custom", {"face_size": 112, "headpose": 50, "clarity": 0.3, "mask": 1.0}),
    ],
)
def test_of_each_item_the_stricter_limit_of_both_quality_levels_counts(of_policy, of_device, strictest):
    policy = Policy(match_quality=of_policy, custom_quality=CUSTOM)
    wanted = wanted_of(asked(), policy, door(quality_level=of_device))
    limits = limits_of(wanted.quality_levels, policy.custom_quality)
    one_sided = {name: bound for name, bound in strictest.items() if name != "brightness"}
    assert {name: next(bound for bound in limits[name] if math.isfinite(bound)) for name in one_sided} == one_sided
    assert "brightness" not in strictest or limits["brightness"] == strictest["brightness"]
    assert strictest or not limits


def test_levels_that_contradict_each_other_are_met_by_no_face_and_are_no_error():
    dark = QualityLimits(face_size_px=None, headpose_degrees=None, brightness=(0, 20))
    enrolled = Enrolled()
    enrolled.enrol("ann", 1)

    def outcome(policy: Policy, device: DeviceRecord) -> str:
        enrolled.people.site = Site().put(device)
        enrolled.people.apply([])
        return outcome_of(MatchCall(), asked(photo(1)), enrolled.people.snapshot(), context(policy))[1].outcome

    policy = Policy(match_quality="custom", custom_quality=dark)
    assert outcome(policy, door(quality_level="middle")) == "low_quality"
    lax = Policy(match_quality="custom", custom_quality=QualityLimits(face_size_px=None, headpose_degrees=None))
    assert outcome(lax, door()) == "matched"
    assert outcome(lax, door(quality_level="high")) == outcome(Policy(match_quality="high"), door())


@pytest.mark.parametrize(("of_request", "of_device", "applied"), [(0, 0, 0), (0, 90, 90), (90, 60, 90), (60, 90, 90)])
def test_the_larger_least_face_counts(of_request, of_device, applied):
    wanted = wanted_of(asked(min_face_size=of_request), Policy(), door(min_face_size=of_device))
    assert wanted.min_face_size == applied


def test_without_a_registered_device_the_request_and_the_settings_count():
    policy = Policy(liveness_floor=RGB, match_quality="low")
    wanted = wanted_of(asked(min_face_size=7, with_attribute=True), policy, None)
    assert (wanted.liveness, set(wanted.quality_levels), wanted.min_face_size) == (RGB, {"low", "no"}, 7)
    assert wanted.attributes


@pytest.mark.parametrize(
    ("demand", "code", "outcome"),
    [
        ({"min_face_size": 100}, Code.NO_FACE, "no_face"),
        ({"quality_level": "middle"}, Code.LOW_QUALITY_ERROR, "low_quality"),
        ({"liveness_floor": IR}, Code.PARAM_ERROR, "error"),
    ],
)
def test_the_demand_of_a_device_holds_for_its_matches_and_for_no_others(demand, code, outcome):
    enrolled, picture = Enrolled(), scene(draw_face(1, 70))
    enrolled.enrol("ann", 1)

    def decided(site: Site, **fields: Any) -> tuple[Any, Any]:
        enrolled.people.site = site
        enrolled.people.apply([])
        return outcome_of(MatchCall(), asked(picture, **fields), enrolled.people.snapshot(), context())

    answer, event = decided(Site().put(door(**demand)))
    assert isinstance(answer, RefusedAnswer)
    assert (answer.code, event.outcome) == (code, outcome)
    assert decided(Site().put(door(**demand)), device_ip="10.0.0.2")[1].outcome == "matched"
    named = decided(Site().put(door(**demand)), group_name="default_group")[1]
    assert named.outcome == outcome, "a request that names its scope does not evade the demand of its device"
    assert decided(Site().put(door()))[1].outcome == "matched"


def test_the_event_of_a_match_has_the_size_of_the_picture_as_far_as_it_was_read():
    enrolled, picture = Enrolled(), photo(1)
    enrolled.enrol("ann", 1)
    _, event = outcome_of(MatchCall(), asked(picture), enrolled.people.snapshot(), context())
    assert (event.picture.bytes, event.picture.width, event.picture.height) == (len(picture), 640, 480)
    _, event = outcome_of(MatchCall(), asked(scene()), enrolled.people.snapshot(), context())
    assert (event.outcome, event.picture.width, event.picture.height) == ("no_face", 640, 480)
    _, event = outcome_of(MatchCall(), asked(b"no picture"), enrolled.people.snapshot(), context())
    assert (event.picture.bytes, event.picture.width, event.picture.height) == (10, None, None)
