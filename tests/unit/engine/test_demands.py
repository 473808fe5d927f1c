"""What a match demands of its picture: a device can raise what the settings demand, and never lower it."""

from typing import Any

import pytest

from contract.errors import Code
from contract.messages import MatchRequest, RefusedAnswer
from contract.people.site import DeviceRecord, Site
from engine.calls.demands import wanted_of
from engine.calls.match import MatchCall
from engine.policy import Policy
from engine.vision.networks.standin import draw_face
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


@pytest.mark.parametrize(
    ("of_policy", "of_device", "applied"),
    [
        ("no", None, "no"),
        ("no", "low", "low"),
        ("low", "no", "low"),
        ("low", "middle", "middle"),
        ("middle", "low", "middle"),
        ("middle", "high", "high"),
        ("custom", "high", "custom"),
        ("high", "custom", "high"),
        ("custom", None, "custom"),
    ],
)
def test_the_stricter_quality_level_counts_and_custom_is_never_replaced(of_policy, of_device, applied):
    wanted = wanted_of(asked(), Policy(match_quality=of_policy), door(quality_level=of_device))
    assert wanted.quality_level == applied


@pytest.mark.parametrize(("of_request", "of_device", "applied"), [(0, 0, 0), (0, 90, 90), (90, 60, 90), (60, 90, 90)])
def test_the_larger_least_face_counts(of_request, of_device, applied):
    wanted = wanted_of(asked(min_face_size=of_request), Policy(), door(min_face_size=of_device))
    assert wanted.min_face_size == applied


def test_without_a_registered_device_the_request_and_the_settings_count():
    policy = Policy(liveness_floor=RGB, match_quality="low")
    wanted = wanted_of(asked(min_face_size=7, with_attribute=True), policy, None)
    assert (wanted.liveness, wanted.quality_level, wanted.min_face_size) == (RGB, "low", 7)
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
