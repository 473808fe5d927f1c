"""The calls by which requests of a capture are posted to a server, and their answers as decisions. Pure."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, get_args

import pybase64

from clients.answers import ServerAnswer
from contract.calls.dialects import Dialect, NamedErrorAnswer
from contract.captures.convert import body_fields
from contract.captures.values import CapturedDecision, CaptureLine
from contract.errors import Code, Refusal
from contract.http import MATCH_PATH, V6_PATH
from contract.terms import DEFAULT_GROUP, KNOWN_STRANGER, PERSON_BLACKLIST, PERSON_STRANGER, STRANGER
from engine.calls.reporting import outcome_of
from engine.passing import Barrier
from engine.score import to_wire

Scale = Literal["raw", "percent"]

SEARCH_PATH = f"{V6_PATH}/search"


def call_of(line: CaptureLine, picture: Callable[[str], bytes]) -> tuple[str, dict[str, Any]]:
    """Return the path and the body of the call of a line. `picture` returns the bytes of a picture by its sha256."""
    sent = line.request
    body = _search_fields(line) if sent.by_permission else body_fields(sent)
    body["rgb_image_base64"] = pybase64.b64encode_as_string(picture(sent.picture))
    if sent.further_pictures:
        body["rgb_images_base64"] = [pybase64.b64encode_as_string(picture(each)) for each in sent.further_pictures]
    if sent.ir_picture is not None:
        body["ir_image_base64"] = pybase64.b64encode_as_string(picture(sent.ir_picture))
    return (SEARCH_PATH if sent.by_permission else MATCH_PATH), body


def _search_fields(line: CaptureLine) -> dict[str, Any]:
    """Return the fields of a search of version 6, except the pictures."""
    sent = line.request
    fields = {
        "media_device_ip": sent.device_ip,
        "permission_name": sent.permission_name,
        "min_face_size": sent.min_face_size,
        "with_register_photo": sent.need_register_photo,
        "with_liveness_check": sent.liveness_mode,
        "with_result_modification": not sent.need_keep_info,
        "with_default_group_only": sent.group_name == DEFAULT_GROUP,
        "with_attribute": sent.with_attribute,
        "with_debug_info": sent.with_debug_info,
    }
    return {name: value for name, value in fields.items() if value is not None}


def as_version_5(line: CaptureLine, answer: ServerAnswer) -> ServerAnswer:
    """Return the answer to a search of version 6 in the form of version 5."""
    error = answer.fields.get("error")
    if isinstance(error, dict):
        return replace(answer, code=_code_named(error.get("code"), line.decision))
    if "result" not in answer.fields:
        return answer
    return replace(answer, fields={**answer.fields, "retcode": "1" if answer.fields["result"] is True else "0"})


def _code_named(name: object, then: CapturedDecision | None) -> int | None:
    """Return the code that a name of version 6 means: that of then, if it has the name, else the first that has it."""
    expected = () if then is None or then.error_code is None else (then.error_code,)
    for code in (*expected, *Code):
        if _name_of(code) == name:
            return int(code)
    return None


def _name_of(code: int) -> str | None:
    try:
        answer = Dialect.V6.error(Refusal(Code(code), ""))
    except ValueError:
        return None
    return answer.error.code if isinstance(answer, NamedErrorAnswer) else None


def decision_of_answer(line: CaptureLine, answer: ServerAnswer) -> CapturedDecision:
    """Return an answer of a server as a decision; what only the server knows is absent.

    Of a person who is named and may not pass, the reason is that of then, or the blacklist, as far as the answer says;
    with need_keep_info the answer also names the nearest candidate of a stranger.
    """
    if answer.code is not None:
        return CapturedDecision(
            outcome=_outcome_of_error(answer.code), gallery_version=0, models={}, error_code=answer.code
        )
    retcode, identity_id = answer.fields.get("retcode"), str(answer.fields.get("identity_id") or "")
    score = answer.fields.get("score")
    return CapturedDecision(
        outcome=_outcome(line.decision, str(retcode), identity_id, answer.fields.get("identity_info")),
        gallery_version=0,
        models={},
        retcode="1" if retcode == "1" else "0",
        identity_id=identity_id,
        score=float(score) if isinstance(score, int | float) else None,
    )


def _outcome(then: CapturedDecision | None, retcode: str, identity_id: str, info: object) -> str:
    if retcode == "1":
        return "matched"
    if not identity_id:
        return STRANGER
    if then is not None and then.identity_id == identity_id and then.outcome in (*get_args(Barrier), STRANGER):
        return then.outcome
    kind = info.get("type", info.get("user_type")) if isinstance(info, dict) else None
    if kind in (PERSON_STRANGER, STRANGER):
        return KNOWN_STRANGER
    return "blacklisted" if kind in (PERSON_BLACKLIST, "blacklist") else STRANGER


def _outcome_of_error(code: int) -> str:
    try:
        return outcome_of(Refusal(Code(code), ""))
    except ValueError:
        return "error"


def scale_of_answer(then: CapturedDecision | None, named: Scale | None, now: float | None) -> Scale:
    """Return the scale of the score `now` of a server's answer: `named`; None: percent where the score is above 1, and
    otherwise that of the recorded decision."""
    if named is not None:
        return named
    return "percent" if now is not None and now > 1 else _recorded_scale(then)


def _recorded_scale(then: CapturedDecision | None) -> Scale:
    return "percent" if then is not None and then.threshold is not None and then.threshold > 1 else "raw"


def recorded_score(then: CapturedDecision, scale: Scale) -> float | None:
    """Return the recorded score on a scale; None where there is none, or where it cannot be converted.

    The recorded score is on the percent scale where its threshold is above 1.
    """
    recorded = _recorded_scale(then)
    if scale == recorded or then.score is None:
        return then.score
    cosine = then.candidates[0].cosine if then.candidates else then.score if recorded == "raw" else None
    if scale == "raw":
        return cosine
    if cosine is None or then.applied is None or then.applied.cosine is None:
        return None
    return to_wire(cosine, then.applied.cosine, "percent")
