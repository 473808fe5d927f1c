"""Requests of a capture as calls to a server, and the answers as decisions."""

from typing import Any

import pytest
from msgspec import structs

from capture.posted import as_version_5, call_of, decision_of_answer, recorded_score, scale_of_answer
from clients.answers import ServerAnswer
from contract.calls.dialects import Dialect, NamedErrorAnswer
from contract.captures.values import CapturedDecision, CapturedRequest, CaptureLine
from contract.errors import Code, Refusal
from contract.events import Threshold
from contract.evidence import EvidenceCandidate

PICTURE, INFRARED = "0" * 64, "1" * 64
APPLIED = Threshold(value=0.5, cosine=0.5, rule="setting")
THEN = CapturedDecision(
    outcome="stranger",
    gallery_version=3,
    models={},
    retcode="0",
    score=0.25,
    threshold=0.5,
    applied=APPLIED,
    candidates=(EvidenceCandidate(identity_id="7", number=0, cosine=0.25),),
)


def line(decision: CapturedDecision | None = THEN, **request: Any) -> CaptureLine:
    fields = {"picture": PICTURE, "device_ip": "gate", **request}
    return CaptureLine(request_id="r", request=CapturedRequest(**fields), decision=decision)


def answered(**fields: Any) -> ServerAnswer:
    return ServerAnswer(200, fields)


def test_further_pictures_are_posted_again_behind_the_first() -> None:
    """A server without the field decides the first picture alone."""
    further = ("2" * 64, "3" * 64)
    path, body = call_of(line(further_pictures=further), lambda sha256: sha256[:1].encode())
    assert path == "/SophonMatch/api/PictureMatch"
    assert body == {"device_ip": "gate", "rgb_image_base64": "MA==", "rgb_images_base64": ["Mg==", "Mw=="]}


def test_a_search_of_version_6_has_the_names_of_that_version() -> None:
    search = line(
        by_permission=True,
        ir_picture=INFRARED,
        group_name="default_group",
        liveness_mode="liveness_rgb_ir",
        min_face_size=40,
        need_keep_info=True,
    )
    path, body = call_of(search, lambda sha256: sha256[:1].encode())
    assert path == "/sophon/v2/face/search"
    assert body == {
        "media_device_ip": "gate",
        "min_face_size": 40,
        "with_register_photo": False,
        "with_liveness_check": "liveness_rgb_ir",
        "with_result_modification": False,
        "with_default_group_only": True,
        "with_attribute": False,
        "with_debug_info": False,
        "rgb_image_base64": "MA==",
        "ir_image_base64": "MQ==",
    }


@pytest.mark.parametrize("code", [code for code in Code if code not in (Code.NOT_FOUND, Code.UNAUTHORIZED)])
def test_a_named_error_is_the_recorded_one_if_that_has_the_name(code: Code) -> None:
    named = Dialect.V6.error(Refusal(code, "because"))
    assert isinstance(named, NamedErrorAnswer)
    then = structs.replace(THEN, outcome="error", error_code=int(code))
    assert as_version_5(line(then), answered(error={"code": named.error.code})).code == code
    assert as_version_5(line(), answered(error={"code": "OTHER"})).code is None


@pytest.mark.parametrize(
    ("fields", "then", "outcome"),
    [
        ({"retcode": "1", "identity_id": "7"}, None, "matched"),
        ({"retcode": "0", "identity_id": ""}, None, "stranger"),
        ({"retcode": "0", "identity_id": "7"}, "stranger", "stranger"),
        ({"retcode": "0", "identity_id": "7"}, "not_in_pass_time", "not_in_pass_time"),
        ({"retcode": "0", "identity_id": "7", "identity_info": {"type": 3}}, "matched", "blacklisted"),
        ({"retcode": "0", "identity_id": "7", "identity_info": {"user_type": "blacklist"}}, None, "blacklisted"),
        ({"retcode": "0", "identity_id": "7", "identity_info": {"type": 4}}, "matched", "known_stranger"),
        ({"retcode": "0", "identity_id": "7", "identity_info": {"user_type": "stranger"}}, None, "known_stranger"),
        ({"retcode": "0", "identity_id": "7", "identity_info": {"type": 4}}, "stranger", "stranger"),
        ({"retcode": "0", "identity_id": "8", "identity_info": None}, "not_valid", "stranger"),
    ],
)
def test_an_answer_is_a_decision(fields: dict[str, Any], then: str | None, outcome: str) -> None:
    """Why a named person may not pass is not in an answer; that of then is the best that is known."""
    before = None if then is None else structs.replace(THEN, outcome=then, identity_id="7")
    assert decision_of_answer(line(before), answered(score="much", **fields)).outcome == outcome


def test_a_refusal_is_a_decision_too() -> None:
    refused = ServerAnswer(400, {}, int(Code.NO_FACE))
    assert decision_of_answer(line(), refused).outcome == "no_face"
    unknown = decision_of_answer(line(), ServerAnswer(499, {}, 49999))
    assert (unknown.outcome, unknown.error_code) == ("error", 49999)


PERCENT = structs.replace(THEN, score=41.0, threshold=82.0)


@pytest.mark.parametrize(
    ("then", "named", "now", "scale", "recorded"),
    [
        (THEN, None, 0.3, "raw", 0.25),
        (THEN, None, 41.5, "percent", 41.0),
        (THEN, "percent", 0.3, "percent", 41.0),
        (THEN, "raw", 41.5, "raw", 0.25),
        (PERCENT, None, 41.5, "percent", 41.0),
        (PERCENT, None, 0.2, "percent", 41.0),
        (PERCENT, "raw", 0.25, "raw", 0.25),
        (structs.replace(PERCENT, candidates=()), "raw", 0.25, "raw", None),
        (structs.replace(THEN, applied=None), "percent", 41.0, "percent", None),
        (structs.replace(THEN, score=None), "percent", 41.0, "percent", None),
    ],
)
def test_the_recorded_score_is_compared_on_the_scale_of_the_server(
    then: CapturedDecision, named: Any, now: float, scale: str, recorded: float | None
) -> None:
    assert scale_of_answer(then, named, now) == scale
    assert recorded_score(then, scale_of_answer(then, named, now)) == recorded


def test_without_a_recorded_decision_a_score_above_1_is_on_the_percent_scale() -> None:
    assert [scale_of_answer(None, None, now) for now in (0.9, 41.5, None)] == ["raw", "percent", "raw"]
