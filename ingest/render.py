"""From answers to the JSON of the wire (docs/interface.md). Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson
import pybase64

from contract.errors import Code, Refusal
from contract.findings import CheckResult, FaceQuality, MeasuredItem
from contract.messages import CompareAnswer, DeletedAnswer, FiqaAnswer, MatchAnswer, PersonAnswer, RefusedAnswer
from contract.people.records import PersonRecord

_NOT_MEASURED = -1
_DECIMALS = 4
"""More would be noise: another JPEG decoder already changes them."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """An HTTP answer before it meets HTTP: `code` is 200 or a code of the error table."""

    body: bytes
    code: int = 200
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def http_status(self) -> int:
        """The status of the HTTP answer."""
        return self.code if self.code < 1000 else self.code // 100


def success(document: Any, headers: tuple[tuple[str, str], ...] = ()) -> Rendered:
    """A JSON document with status 200."""
    return Rendered(orjson.dumps(document), headers=headers)


def error(code: Code, message: str, headers: tuple[tuple[str, str], ...] = ()) -> Rendered:
    """The error JSON."""
    body = orjson.dumps({"error": {"code": int(code), "message": message, "status": code.name}})
    return Rendered(body, code=int(code), headers=headers)


def refused(answer: RefusedAnswer) -> Refusal:
    """The refusal that a processor answered. A code newer than this server becomes 50080, not a crash."""
    try:
        return Refusal(Code(answer.code), answer.message)
    except ValueError:
        return Refusal(Code.INTERNAL_ERROR, answer.message)


def match_document(answer: MatchAnswer) -> dict[str, Any]:
    """The success of a PictureMatch."""
    document: dict[str, Any] = {
        "retcode": answer.retcode,
        "identity_id": answer.identity_id,
        "name": answer.name,
        "score": answer.score,
        "identity_info": answer.identity_info,
    }
    if answer.reg_pic is not None:
        document["reg_pic"] = _base64(answer.reg_pic)
    if answer.attributes is not None:
        document["attributes"] = msgspec.to_builtins(answer.attributes)
    if answer.debug is not None:
        document["debug_info"] = msgspec.to_builtins(answer.debug)
    return document


def compare_document(answer: CompareAnswer) -> dict[str, Any]:
    """The success of a compare."""
    return {"retcode": answer.retcode, "score": answer.score}


def fiqa_document(answer: FiqaAnswer) -> dict[str, Any]:
    """The success of a FIQA. The names are the vendor's; the values are in our units (docs/interface.md)."""
    largest = answer.faces[0]
    face = largest.face
    corners = (face.x, face.y, face.x + face.width, face.y + face.height)
    return {
        "fiqa_result": largest.passed,
        "detailed_result": {
            "bbox": [round(corner) for corner in corners],
            "passed_items": [check.name for check in largest.checks if check.passed],
            "failed_items": [check.name for check in largest.checks if not check.passed],
            "detailed_scores": detailed_scores(largest),
            "quality_score": round(largest.quality_score, _DECIMALS),
        },
    }


def detailed_scores(answer: FaceQuality) -> dict[str, Any]:
    """Each measured item by name; mask (1 worn, 0 not) is -1 and occlusion empty where nothing measures them.

    The vendor's `partial` and `mask` are verdicts. Our item mask tells how much of a mouth shows, so that less is
    worse; callers expect the opposite of that name.
    """
    scores: dict[str, Any] = {"mask": _NOT_MEASURED, "occlusion": []}
    items: tuple[CheckResult | MeasuredItem, ...] = (*answer.checks, *answer.measured)
    for item in items:
        value = round(item.value, _DECIMALS)
        if item.name == "headpose":
            scores["headpose"] = {
                f"{angle}_angle": round(item.detail[angle], _DECIMALS) for angle in sorted(item.detail)
            }
        elif item.name == "partial":
            scores["partial"], scores["partial_share"] = answer.cut, value
        elif item.name == "mask":
            scores["mask"], scores["mouth_shown"] = int(answer.masked), value
        elif item.name == "occlusion":
            scores["occlusion"] = [value]
        else:
            scores[item.name] = value
    return scores


def person_document(answer: PersonAnswer, *, update: bool) -> dict[str, Any]:
    """The success of a POST (`update` False) or PUT of users."""
    if update:
        return {
            "data": {
                "identity_id": answer.identity_id,
                "image_id": answer.image_id or "",
                "group_name": list(answer.group_names),
                "info": answer.info,
            }
        }
    return {
        "data": {
            "identity_id": answer.identity_id,
            "group_name": ",".join(answer.group_names),
            "reg_photo": _base64(answer.photo or b""),
            "info": answer.info,
        }
    }


def deleted_document(answer: DeletedAnswer) -> dict[str, Any]:
    """The success of a DELETE that named one person."""
    return {"data": {"identity_id": answer.identity_id}}


def deleted_list_document(deleted: Sequence[str], failed: Sequence[tuple[str, Refusal]]) -> dict[str, Any]:
    """The success, as far as it went, of a DELETE that named a list."""
    failures = [
        {"identity_id": identity_id, "error": {"code": int(why.code), "message": why.message, "status": why.status}}
        for identity_id, why in failed
    ]
    return {"data": {"identity_ids": list(deleted), "failed": failures}}


def people_document(people: Sequence[tuple[PersonRecord, bytes]]) -> dict[str, Any]:
    """The success of a GET of users: people with their photos (empty: none, or none asked for)."""
    return {
        "data": {
            "identities_list": [
                {
                    "identity_id": person.identity_id,
                    "group_name": list(person.group_names),
                    "reg_photo": _base64(photo),
                    "info": person.info,
                }
                for person, photo in people
            ]
        }
    }


def _base64(data: bytes) -> str:
    return pybase64.b64encode_as_string(data)
