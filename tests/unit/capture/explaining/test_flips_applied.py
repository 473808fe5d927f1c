"""Every setting and value that the JSON of an explanation proposes, applied alone: the decision comes out as said."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import pytest
from msgspec import structs

from capture.explaining.deciding import Decider, inputs_of
from capture.explaining.looks import look_changes
from capture.explaining.matches import explain_match
from capture.explaining.proposals import policy_with
from contract.people.site import DeviceRecord, GroupRecord
from engine.policy import Policy, QualityLimits
from picturematch.explanation_text import as_builtins
from tests.support.faces import MAX_PIXELS, photo, several_faces
from tests.support.then import Past, without_picture

FIELDS = {"ir_image_base64": "ir_picture", "received_time": "received_time_s"}
"""The fields of the request whose names in the interface are not those of MatchRequest."""


@dataclass
class Asked:
    """What a match is decided with; `device`: the fields of the registered device, None: there is none."""

    picture: bytes = field(default_factory=lambda: photo(1))
    policy: Policy = field(default_factory=Policy)
    device: dict[str, Any] | None = None
    request: dict[str, Any] = field(default_factory=dict)
    max_pixels: int = MAX_PIXELS

    def past(self) -> Past:
        past = Past()
        past.put(GroupRecord(group_id="g", name="gate"))
        past.enrol("anna", 1, info={"name": "Anna"})
        past.enrol("ben", 2, info={"name": "Ben", "type": 3})
        past.enrol("carla", 3, info={"name": "Carla", "valid_until": 1_763_985_590.0})
        past.enrol("s-1", 5, info={"name": "stranger", "type": 4})
        past.write(several_faces("dora", 4, 3))
        if self.device is not None:
            past.put(_device(**self.device))
        return past

    def then(self) -> Any:
        return self.past().then(self.picture, self.policy, max_pixels=self.max_pixels, **self.request)

    def changed(self, setting: str, value: Any) -> "Asked":
        """With one value changed, as a reader of the JSON would change it."""
        place, _, name = setting.rpartition(".")
        if setting == "pictures.max_pixels":
            return replace(self, max_pixels=value)
        if place == "device":
            return replace(self, device={**(self.device or {}), name: value})
        if place.startswith("matching"):
            policy = policy_with(self.policy, setting.removeprefix("matching."), _plain(value))
            assert policy is not None, (setting, value)
            return replace(self, policy=policy)
        return replace(self, request={**self.request, FIELDS.get(setting, setting): value})


def _plain(value: Any) -> Any:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _device(**fields: Any) -> DeviceRecord:
    known = {"device_id": "d1", "name": "gate", "address": "10.0.0.1", "device_type": "photo"}
    return DeviceRecord(**{**known, "group_id": "default_group", "permission_id": "0", **fields})


RGB = {"liveness_mode": "liveness_rgb"}
SPOOF = {"picture": photo(1, live=False)}
IR_BESIDE = {"request": {"ir_picture": b"no picture"}}
CUSTOM = QualityLimits(face_size_px=None, headpose_degrees=None)

CASES: dict[str, Callable[[], Asked]] = {
    "matched": lambda: Asked(photo(1, size=90)),
    "matched by the mean of the faces": lambda: Asked(photo(4, size=90)),
    "stranger nearest to the mean of the faces": lambda: Asked(photo(4, size=90), Policy(threshold=0.99)),
    "stranger": lambda: Asked(photo(77)),
    "stranger, percent": lambda: Asked(photo(77), Policy(accepted_score=90.0, score_scale="percent")),
    "stranger, low accepted score": lambda: Asked(photo(77), Policy(accepted_score=60.0)),
    "matched, accepted score": lambda: Asked(photo(1, size=90), Policy(accepted_score=90.0)),
    "matched, low accepted score": lambda: Asked(photo(1, size=90), Policy(accepted_score=60.0)),
    "blacklisted": lambda: Asked(photo(2)),
    "known stranger": lambda: Asked(photo(5)),
    "not valid": lambda: Asked(photo(3)),
    "spoof of the request": lambda: Asked(**SPOOF, request=RGB),
    "spoof of the floor": lambda: Asked(**SPOOF, policy=Policy(liveness_floor="liveness_rgb")),
    "spoof of the device": lambda: Asked(**SPOOF, device={"liveness_floor": "liveness_rgb"}),
    "spoof of the request and the floor": lambda: Asked(
        **SPOOF, request=RGB, policy=Policy(liveness_floor="liveness_rgb")
    ),
    "infrared": lambda: Asked(**IR_BESIDE),
    "infrared, asked for too": lambda: Asked(request={"ir_picture": b"x", "liveness_mode": "liveness_rgb_ir"}),
    "infrared, asked for, missing": lambda: Asked(request={"liveness_mode": "liveness_rgb_ir"}),
    "infrared of the floor, missing": lambda: Asked(policy=Policy(liveness_floor="liveness_rgb_ir")),
    "low quality of the setting": lambda: Asked(photo(1, size=72), Policy(match_quality="middle")),
    "low quality of the device": lambda: Asked(photo(1, size=72), device={"quality_level": "middle"}),
    "low quality of both": lambda: Asked(
        photo(1, size=72), Policy(match_quality="middle"), {"quality_level": "middle"}
    ),
    "custom size": lambda: Asked(
        photo(1, size=72), Policy(match_quality="custom", custom_quality=structs.replace(CUSTOM, face_size_px=80))
    ),
    "custom pose": lambda: Asked(
        photo(1, yaw=40), Policy(match_quality="custom", custom_quality=structs.replace(CUSTOM, headpose_degrees=20))
    ),
    "custom brightness": lambda: Asked(
        photo(1), Policy(match_quality="custom", custom_quality=structs.replace(CUSTOM, brightness=(1.0, 2.0)))
    ),
    "custom clarity": lambda: Asked(
        photo(1), Policy(match_quality="custom", custom_quality=structs.replace(CUSTOM, clarity=1.0))
    ),
    "small for the request": lambda: Asked(photo(1, size=100), request={"min_face_size": 120}),
    "small for the setting": lambda: Asked(photo(1, size=100), Policy(min_face_size=120)),
    "small for the device": lambda: Asked(photo(1, size=100), device={"min_face_size": 120}),
    "small for two": lambda: Asked(photo(1, size=100), Policy(min_face_size=110), request={"min_face_size": 120}),
    "too many pixels": lambda: Asked(max_pixels=640 * 480 - 1),
    "unknown group": lambda: Asked(request={"group_name": "nowhere"}),
    "unknown group and permission": lambda: Asked(request={"group_name": "nowhere", "permission_name": "none"}),
    "unknown device": lambda: Asked(policy=Policy(unknown_device="reject")),
    "scope not allowed": lambda: Asked(policy=Policy(device_names_scope=False), request={"group_name": "gate"}),
    "empty group": lambda: Asked(request={"group_name": "gate"}),
}
TWO_SOURCES = ("spoof of the request and the floor", "low quality of both")
NO_SETTING = ("known stranger", "custom brightness", "empty group", "small for two", "unknown group and permission")


@pytest.mark.parametrize("case", CASES)
def test_every_setting_and_value_leads_to_the_outcome_that_is_said(case: str) -> None:
    asked = CASES[case]()
    then = asked.then()
    for left in (then, without_picture(then)):
        told = msgspec.json.decode(msgspec.json.encode(as_builtins(explain_match(left))))
        assert told["alarm"] is False
        for flip in told["flips"]:
            assert (flip["outcome"], flip["identity_id"]) != (told["outcome"], then.decision.identity_id)
            if flip["setting"] is not None:
                decided = asked.changed(flip["setting"], flip["value"]).then().decision
                assert decided.outcome == flip["outcome"], flip


@pytest.mark.parametrize("case", [case for case in CASES if case not in (*TWO_SOURCES, *NO_SETTING)])
def test_what_a_single_source_asks_for_is_named_as_its_setting(case: str) -> None:
    assert [flip for flip in explain_match(CASES[case]().then()).flips if flip.setting is not None]


@pytest.mark.parametrize("case", TWO_SOURCES)
def test_what_two_sources_ask_for_is_changed_by_neither_alone(case: str) -> None:
    then = CASES[case]().then()
    inputs = inputs_of(then)
    assert inputs is not None
    decider = Decider(then, inputs)
    assert decider.decision is not None
    tried = [each for some in look_changes(decider, decider.decision) for each in some]
    assert [each for each in tried if each.setting is not None], "the changes were tried"
    settings = {flip.setting for flip in explain_match(then).flips}
    assert not {s for s in settings if s is not None and s.rpartition(".")[2] in ("liveness_mode", "liveness_floor")}
    assert not {s for s in settings if s is not None and s.rpartition(".")[2] in ("match_quality", "quality_level")}


def test_a_mode_that_the_request_does_not_ask_for_is_not_proposed_for_it() -> None:
    asked = Asked(photo(1, live=False), Policy(liveness_floor="liveness_rgb"))
    settings = [flip.setting for flip in explain_match(asked.then()).flips]
    assert "matching.liveness_floor" in settings
    assert "liveness_mode" not in settings
