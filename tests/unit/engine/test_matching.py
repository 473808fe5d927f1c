"""What is decided about a picture, and what is told of it."""

from datetime import datetime
from typing import Any

import jsonschema
import msgspec
import numpy as np
import orjson
import pytest

from contract.answers import MatchAnswer, RefusedAnswer
from contract.cloud_events import cloud_event_headers
from contract.errors import Code
from contract.events import encode_event
from contract.people.site import PermissionRecord, Site
from contract.requests import MatchRequest
from contract.schemas import schema_of
from engine.calls.match import MatchCall
from engine.calls.matching import MatchDecision
from engine.policy import LivenessLimits, Policy, recorded_policy
from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.decode.versions import Versions
from engine.vision.finding import LEAST_SIDE
from engine.vision.networks.standin import draw_face, draw_scene
from tests.support.faces import MAX_PIXELS, MODELS, Enrolled, context, outcome_of, photo, scene


@pytest.fixture
def gallery():
    enrolled = Enrolled()
    enrolled.enrol("anna", 1, info={"name": "Anna"})
    enrolled.enrol("ben", 2, info={"name": "Ben", "type": 3})
    return enrolled.people.snapshot()


def asked(image: bytes, **fields: Any) -> MatchRequest:
    required = {"request_id": "r1", "device_ip": "10.0.0.1", "compare_time_s": 1.5, "received_time_s": 2.5}
    return MatchRequest(**{**required, "picture": image, **fields})


def decide(request: MatchRequest, gallery, policy: Policy | None = None, max_pixels: int = MAX_PIXELS) -> MatchDecision:
    return MatchCall().decide(request, gallery, context(policy, max_pixels=max_pixels))


def told(request: MatchRequest, gallery, policy: Policy | None = None):
    """The answer and the event of one decision."""
    return outcome_of(MatchCall(), request, gallery, context(policy))


def test_an_enrolled_face_is_matched(gallery):
    answer, event = told(asked(photo(1)), gallery)
    assert (answer.retcode, answer.identity_id, answer.name) == ("1", "anna", "Anna")
    assert answer.score > 0.9
    assert (event.outcome, event.identity_id, event.score) == ("matched", "anna", answer.score)
    assert event.compare_time == 1.5
    assert (event.request.topic, event.request.partition, event.request.offset) == ("requests", 3, 7)


def test_an_unknown_face_is_a_stranger_with_the_best_score(gallery):
    answer, event = told(asked(photo(77)), gallery)
    assert (answer.retcode, answer.identity_id, answer.name, answer.identity_info) == ("0", "", "stranger", {})
    assert answer.score < 0.5
    assert (event.outcome, event.score, event.person_type) == ("stranger", answer.score, None)


def test_somebody_on_the_blacklist_is_named_and_kept_out(gallery):
    answer, event = told(asked(photo(2)), gallery)
    assert (answer.retcode, answer.identity_id, answer.name) == ("0", "ben", "Ben")
    assert (event.outcome, event.person_type) == ("blacklisted", 3)
    answer, event = told(asked(photo(2)), gallery, Policy(blacklist_opens=True))
    assert (answer.retcode, event.outcome, event.person_type) == ("1", "matched", 3)


@pytest.mark.parametrize("policy", [Policy(), Policy(blacklist_opens=True), Policy(enrol_strangers=True)], ids=str)
def test_a_stranger_who_is_recognised_is_named_and_never_let_in(policy):
    enrolled = Enrolled()
    enrolled.enrol("s-1", 3, info={"name": "stranger", "type": 4, "valid_until": 1.0})
    answer, event = told(asked(photo(3)), enrolled.people.snapshot(), policy)
    assert (answer.retcode, answer.identity_id, answer.name) == ("0", "s-1", "stranger")
    assert (event.outcome, event.retcode, event.identity_id) == ("known_stranger", "0", "s-1")
    assert event.person_type == 4


def test_a_recorded_policy_in_which_strangers_passed_is_kept_and_no_setting_can_say_so():
    enrolled = Enrolled()
    enrolled.enrol("s-1", 3, info={"name": "stranger", "type": 4})
    former = recorded_policy({})
    _, event = told(asked(photo(3)), enrolled.people.snapshot(), former)
    assert (event.outcome, event.retcode) == ("matched", "1")
    assert recorded_policy(msgspec.to_builtins(former)) == former
    with pytest.raises(msgspec.ValidationError, match="max_strangers"):
        msgspec.convert({"max_strangers": former.max_strangers}, Policy)


def test_the_threshold_decides_and_the_event_says_where_it_came_from(gallery):
    _, event = told(asked(photo(1)), gallery)
    assert (event.threshold.value, event.threshold.rule) == (MODELS.embedder.threshold, "model")
    answer, event = told(asked(scene(draw_face(1, 60))), gallery, Policy(threshold=0.9999999))
    assert (answer.retcode, event.outcome, event.threshold.rule) == ("0", "stranger", "setting")


def test_a_score_that_just_reaches_the_threshold_is_a_match(gallery):
    picture = asked(scene(draw_face(1, 60)))
    candidate = decide(picture, gallery).candidate
    assert decide(picture, gallery, Policy(threshold=candidate.cosine)).outcome == "matched"
    assert decide(picture, gallery, Policy(threshold=np.nextafter(candidate.cosine, 2))).outcome == "stranger"


def test_percent_scores_put_the_threshold_at_82(gallery):
    answer, event = told(asked(photo(1)), gallery, Policy(score_scale="percent"))
    assert 82 < answer.score <= 100
    assert event.threshold.value == 82.0


@pytest.mark.parametrize("allowed", [True, False])
def test_the_best_candidate_is_told_to_who_asks_only_where_allowed(gallery, allowed):
    request = asked(photo(77), need_keep_info=True)
    answer, event = told(request, gallery, Policy(allow_keep_info=allowed))
    assert answer.retcode == "0"
    assert event.outcome == "stranger"
    assert (answer.identity_id != "") is allowed
    assert event.identity_id == answer.identity_id


def test_of_several_faces_the_largest_is_matched_and_all_are_counted(gallery):
    picture = scene(draw_face(2, 80), draw_face(1, 200), draw_face(9, 90))
    answer, event = told(asked(picture), gallery)
    assert answer.identity_id == "anna"
    assert event.faces == 3


def test_faces_below_the_asked_size_are_ignored(gallery):
    answer, event = told(asked(photo(1, size=100), min_face_size=120), gallery)
    assert isinstance(answer, RefusedAnswer)
    assert answer.code == Code.NO_FACE
    assert (event.outcome, event.faces, event.retcode) == ("no_face", 1, None)


@pytest.mark.parametrize(
    ("picture", "code", "outcome"),
    [
        (scene(), Code.NO_FACE, "no_face"),
        (photo(1)[:3000], Code.IMAGE_ERROR, "image_error"),
        (b"no picture", Code.IMAGE_ERROR, "image_error"),
    ],
    ids=["no face", "cut off", "no picture"],
)
def test_a_picture_that_cannot_be_matched_gets_its_row_of_the_table(gallery, picture, code, outcome):
    answer, event = told(asked(picture), gallery)
    assert answer.code == code
    assert (event.outcome, event.error.code, event.error.status) == (outcome, code, code.name)
    assert event.score is None


def test_a_picture_over_the_limit_is_refused_without_being_decoded(gallery):
    decision = decide(asked(photo(1)), gallery, max_pixels=1000)
    assert decision.refusal.code is Code.IMAGE_SIZE_TOO_LARGE_ERROR
    assert decision.outcome == "image_error"


def test_an_empty_gallery_is_told():
    answer, event = told(asked(photo(1)), Enrolled().people.snapshot())
    assert answer.code == Code.EMPTY_GROUP_ERROR
    assert event.outcome == "empty_group"


def test_quality_names_the_items_that_failed(gallery):
    turned = photo(1, size=70, yaw=60, pitch=50)
    answer, event = told(asked(turned), gallery, Policy(match_quality="middle"))
    assert answer.code == Code.LOW_QUALITY_ERROR
    assert "face_size" in answer.message
    assert "headpose" in answer.message
    assert event.outcome == "low_quality"
    assert {check.name: check.passed for check in event.quality}["face_size"] is False


def test_a_fake_is_refused_when_liveness_is_asked_for(gallery):
    fake = photo(1, live=False)
    assert told(asked(fake), gallery)[0].retcode == "1"
    answer, event = told(asked(fake, liveness_mode="liveness_rgb"), gallery)
    assert answer.code == Code.LIVENESS_DETECT_FAIL
    assert event.outcome == "spoof"
    verdicts = [(check.name, check.passed) for check in event.liveness.checks]
    assert verdicts == [("rgb_live", False), ("rgb_moire", True), ("rgb_frame", True)]
    assert answer.message.endswith(": rgb_live")


def test_a_request_cannot_lower_the_sites_liveness(gallery):
    policy = Policy(liveness_floor="liveness_rgb")
    answer, event = told(asked(photo(1, live=False), liveness_mode="liveness_off"), gallery, policy)
    assert answer.code == Code.LIVENESS_DETECT_FAIL
    assert event.liveness.mode == "liveness_rgb"


@pytest.mark.parametrize(
    ("infrared", "outcome", "why"),
    [
        (photo(1, infrared=True), "matched", ""),
        (scene(), "spoof", "ir_face"),
        (photo(2, infrared=True), "spoof", "ir_same_person"),
        (photo(1), "spoof", "ir_copy"),
        (photo(1)[:2000], "image_error", None),
    ],
    ids=["a face there too", "no face there", "another's face there", "a copy", "cut off"],
)
def test_an_infrared_picture_must_hold_the_same_live_face_in_the_same_place(gallery, infrared, outcome, why):
    answer, event = told(asked(photo(1), ir_picture=infrared), gallery)
    assert event.outcome == outcome
    if why is not None:
        assert event.liveness.mode == "liveness_rgb_ir"
        assert ", ".join(check.name for check in event.liveness.checks if not (check.passed or check.vote)) == why
        assert event.liveness.passed is (why == "")
    if why:
        assert answer.message.endswith(f": {why}")


def test_each_liveness_check_is_told_with_its_value_and_its_limit_in_the_event_and_to_who_asks(gallery):
    limits = LivenessLimits(rgb_moire=99.0, ir_same_person=0.1, ir_copy=0.99)
    policy = Policy(liveness_threshold=0.25, liveness_limits=limits)
    request = asked(photo(1), ir_picture=photo(1, infrared=True), with_debug_info=True)
    answer, event = told(request, gallery, policy)

    assert answer.debug.liveness == event.liveness
    told_limits = {check.name: check.limit for check in event.liveness.checks}
    assert told_limits == {
        "rgb_live": 0.25,
        "rgb_moire": 99.0,
        "rgb_frame": limits.rgb_frame,
        "ir_monochrome": limits.ir_monochrome,
        "ir_face": limits.ir_face,
        "ir_size": limits.ir_size,
        "ir_same_person": 0.1,
        "ir_copy": 0.99,
        "ir_contrast": limits.ir_contrast,
        "ir_live": limits.ir_live,
    }
    assert [check.name for check in event.liveness.checks if check.vote] == ["ir_contrast", "ir_live"]
    assert {check.name: set(check.detail) for check in event.liveness.checks if check.detail} == {
        "ir_copy": {"detail", "tone"},
        "ir_contrast": {"background", "structure"},
    }
    jsonschema.validate(orjson.loads(encode_event(event)), schema_of("event"), jsonschema.Draft202012Validator)


@pytest.mark.parametrize(("strength", "outcome"), [(0, "matched"), (4, "spoof")])
def test_moire_is_seen_in_a_photo_so_large_that_it_is_decoded_smaller(gallery, strength, outcome):
    picture = draw_scene(2720, 2040, [(draw_face(1, 800), 900, 600)])
    y, x = np.mgrid[:2040, :2720]
    wave = strength * np.sin(2 * np.pi * (0.37 * x + 0.36 * y))
    sent = encode_jpeg(np.clip(picture + wave[:, :, np.newaxis], 0, 255).astype(np.uint8), quality=95)
    assert Versions(sent, MAX_PIXELS).fitting_reduction(LEAST_SIDE) > 1

    _, event = told(
        asked(sent, liveness_mode="liveness_rgb"), gallery, Policy(liveness_limits=LivenessLimits(rgb_moire=28))
    )

    assert event.outcome == outcome
    assert [check.name for check in event.liveness.checks if not check.passed] == ["rgb_moire"] * (strength > 0)


def test_a_site_that_wants_infrared_says_so_to_who_sends_none(gallery):
    answer, _ = told(asked(photo(1)), gallery, Policy(liveness_floor="liveness_rgb_ir"))
    assert answer.code == Code.PARAM_ERROR
    assert "ir_image_base64" in answer.message


@pytest.mark.parametrize(
    ("fields", "policy", "code"),
    [
        ({"group_name": "nowhere"}, Policy(), Code.GROUP_NAME_ERROR),
        ({"group_name": "default_group", "permission_name": "p"}, Policy(), Code.GROUP_NAME_ERROR),
        ({}, Policy(unknown_device="reject"), Code.DEVICE_ID_NOT_FOUND),
    ],
    ids=["unknown group", "unknown permission", "unknown device"],
)
def test_a_scope_that_does_not_exist_is_refused(gallery, fields, policy, code):
    answer, event = told(asked(photo(1), **fields), gallery, policy)
    assert answer.code == code
    assert event.outcome == "error"


def test_debug_info_is_told_only_to_who_asks(gallery):
    answer, _ = told(asked(photo(1)), gallery)
    assert answer.debug is None
    answer, _ = told(asked(photo(1), with_debug_info=True, liveness_mode="liveness_rgb"), gallery)
    assert answer.debug.faces == 1
    assert answer.debug.face.width == pytest.approx(160, abs=8)
    assert answer.debug.liveness.passed
    assert {"decode", "detect", "embed", "search"} <= set(answer.debug.timings_ms)


def test_the_answer_and_the_event_name_only_permissions_of_the_person_that_exist():
    enrolled = Enrolled()
    enrolled.people.site = Site().put(PermissionRecord(permission_id="day", name="day"))
    enrolled.enrol("anna", 1, info={"permission_ids": ["0", "day"]})
    enrolled.people.site = Site()
    answer, event = told(asked(photo(1)), enrolled.people.snapshot(), Policy(event_identity_info=True))
    assert answer.identity_id == "anna"
    assert answer.identity_info["permission_ids"] == event.identity_info["permission_ids"] == ["0"]


def test_identity_info_is_in_the_event_only_where_the_operator_asks(gallery):
    assert told(asked(photo(1)), gallery)[1].identity_info is None
    _, event = told(asked(photo(1)), gallery, Policy(event_identity_info=True))
    assert event.identity_info["name"] == "Anna"


@pytest.mark.parametrize(
    "picture", [photo(1), photo(77), photo(1)[:3000], scene()], ids=["match", "stranger", "cut off", "no face"]
)
def test_every_event_is_as_its_published_schema_says(gallery, picture):
    fiqa = {"pitch": 1.5, "rect": {"top": 1}}
    answer, event = told(asked(picture, liveness_mode="liveness_rgb", grab_fiqa_info=fiqa), gallery)
    document = orjson.loads(encode_event(event))
    jsonschema.validate(document, schema_of("event"), jsonschema.Draft202012Validator)
    assert document["grab_fiqa_info"] == fiqa
    assert isinstance(answer, MatchAnswer | RefusedAnswer)


@pytest.mark.parametrize("compare_time", [0.0, 1.5, 1_700_000_000.25, 99_999_999_999.0])
def test_the_headers_of_an_event_are_a_cloud_events(gallery, compare_time):
    _, event = told(asked(photo(1), compare_time_s=compare_time), gallery)
    headers = {name: value.decode() for name, value in cloud_event_headers(event, MatchCall.event_type, "/here")}
    assert headers["ce_specversion"] == "1.0"
    assert headers["ce_id"] == "r1"
    assert headers["ce_source"] == "/here"
    assert headers["ce_type"] == "picturematch.match.v1"
    assert headers["content-type"] == "application/json"
    assert datetime.fromisoformat(headers["ce_time"]).timestamp() == pytest.approx(compare_time, abs=1e-5)


def test_the_same_request_is_always_decided_the_same(gallery):
    requests = [asked(photo(seed)) for seed in (1, 2, 77)]
    assert [decide(r, gallery).candidate for r in requests] == [decide(r, gallery).candidate for r in requests]
