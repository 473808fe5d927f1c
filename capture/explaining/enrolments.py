"""Makes enrolments again, as the admin lane made them, and tries single changes of them. Pure.

The face is prepared again from the photo or the feature, and the decision follows from the people before the records
that the enrolment wrote; these records are compared too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import numpy as np
from msgspec import structs

from capture.explaining.comparing import circumstances_of
from capture.explaining.demanded import Demand, pixel_trials, quality_trials
from capture.explaining.differing import BETWEEN_MACHINES, Compared, differing
from capture.explaining.proposals import policy_with
from capture.explaining.trials import Trial
from capture.explaining.values import Before, Way
from capture.rows import Difference
from contract.codec import decode_with
from contract.errors import Code
from contract.events import Event
from contract.people.keys import FaceKey, NotReadable, PersonKey, parse_key, printable_key
from contract.people.records import FaceRecord, PersonRecord
from contract.pictures.digest import picture_digest
from contract.requests import EnrolRequest
from contract.terms import QualityLevel
from contract.vectors import Vector
from engine.calls.enrol import EnrolCall
from engine.calls.people import ChangeDecision, KeyedValue, Prepared, PreparedFace
from engine.calls.reporting import check_results
from engine.context import Context
from engine.look import Findings
from engine.policy import Policy

_QUALITY = frozenset({Code.LOW_QUALITY_ERROR, Code.ENROLL_FACE_SIZE_NOT_ENOUGH_ERROR})
_face_decoder = msgspec.msgpack.Decoder(FaceRecord)
_person_decoder = msgspec.msgpack.Decoder(PersonRecord)


class Enrolment:
    """An enrolment that is made again, with the request, the people and the context of then."""

    def __init__(self, request: EnrolRequest, context: Context, before: Before) -> None:
        self._request, self._context, self._before = request, context, before
        self._call = EnrolCall()
        self._prepared = self._prepare(request, context)
        self.decision = self._decide(request, self._prepared, context)
        self.findings: Findings | None = self.decision.findings

    @property
    def way(self) -> Way:
        """From the photo, or else from the request alone."""
        return "look" if self._request.photo is not None and self._request.feature is None else "decide"

    def compared(self, event: Event) -> Compared:
        """Compare with what was recorded: the event, and the records of the people topic."""
        digests = tuple(map(picture_digest, self._call.pictures(self._request)))
        now = self._call.event(self._request, self.decision, self._context, circumstances_of(event, digests))
        result = differing(event, now, BETWEEN_MACHINES)
        places = [(0, 0)] * len(self.decision.photos)
        return result.plus(compared_records(self._before.written, self.decision.people_records(places)))

    def trials(self) -> Iterator[Sequence[Trial]]:
        """Yield the changes that may lead to another outcome."""
        refusal, request, policy = self.decision.refusal, self._request, self._context.policy
        if request.photo is not None and request.feature is None and (refusal is None or refusal.code in _QUALITY):
            demand = Demand(policy, request.quality_level, "enrolment_quality", self._with_quality)
            yield from quality_trials(
                demand, check_results(self.decision.findings.quality), refused=refusal is not None
            )
        pictures = self._call.pictures(request)
        yield from pixel_trials(refusal, pictures, self._context.max_pixels, self._with_pixels)
        if request.feature is not None and request.feature_model is None and self._prepared.refusal is not None:
            trusting = structs.replace(policy, trust_unnamed_features=True)
            words = "the setting matching.trust_unnamed_features, which imports features without feature_model"
            trial = partial(self._with_quality, trusting, request.quality_level)
            yield [Trial(words, trial, "matching.trust_unnamed_features", "true")]
        if refusal is not None and self._prepared.refusal is None:
            yield from self._other_requests()

    def _other_requests(self) -> Iterator[Sequence[Trial]]:
        """Yield the changes of single fields of the request, and of the settings that limit people."""
        request, policy = self._request, self._context.policy
        yield [self._field("ignore_exist true", "ignore_exist", True)]
        yield [self._field("need_bring_pic false", "need_bring_pic", False)]
        yield [self._field("create_no_exit_permission true", "create_no_exit_permission", True)]
        yield [self._field("support_single_face true, which replaces the faces", "support_single_face", True)]
        if request.group_names is not None:
            yield [self._field("a request without group_name", "group_names", None)]
        if request.update:
            yield [self._field("a POST instead of a PUT", "update", False)]
        for name in ("max_people", "max_faces_per_person", "max_permissions"):
            limit = getattr(policy, name) + 1
            words = f"the setting matching.{name} at {limit} instead of {limit - 1}"
            yield [self._setting(words, name, limit)]

    def _field(self, words: str, field: str, value: Any) -> Trial:
        request = structs.replace(self._request, **{field: value})
        name = {"group_names": "group_name", "update": None}.get(field, field)
        shown = None if value is None or name is None else str(value).lower()
        return Trial(words, lambda: self._decide(request, self._prepared, self._context).outcome, name, shown)

    def _setting(self, words: str, name: str, value: int) -> Trial:
        policy = policy_with(self._context.policy, name, value)
        return Trial(words, lambda: None if policy is None else self._under(policy), f"matching.{name}", value)

    def _under(self, policy: Policy) -> str:
        return self._decide(self._request, self._prepared, replace(self._context, policy=policy)).outcome

    def _with_quality(self, policy: Policy, level: QualityLevel | None) -> str:
        request, context = structs.replace(self._request, quality_level=level), replace(self._context, policy=policy)
        return self._decide(request, self._prepare(request, context), context).outcome

    def _with_pixels(self, max_pixels: int) -> str:
        context = replace(self._context, max_pixels=max_pixels)
        return self._decide(self._request, self._prepare(self._request, context), context).outcome

    def _prepare(self, request: EnrolRequest, context: Context) -> Prepared:
        """Prepare the face; the recorded embedding of the same photo stands where the computed one agrees with it.

        Whether a face is enrolled already is decided by less than two machines differ.
        """
        prepared = self._call.prepare(request, context)
        face = prepared.face
        if face is None or face.sha256 is None:
            return prepared
        recorded = next((vector for vector in self._recorded(face) if _agree(vector, face.vector)), None)
        return prepared if recorded is None else replace(prepared, face=replace(face, vector=recorded))

    def _recorded(self, face: PreparedFace) -> Iterator[Vector]:
        """Yield the recorded embeddings of a photo: those that the enrolment wrote, and those from before it."""
        sent = face.sent_sha256
        for _, value in self._before.written:
            record = None if value is None else _decoded(_face_decoder, value)
            if isinstance(record, FaceRecord) and record.photo is not None and record.photo.digest == sent:
                yield from (vector for vector in _vectors(record))
        known = self._before.people.pending({}).known(self._request.identity_id)
        for number, vector in known.vectors.items():
            if number in known.photos and known.photos[number].digest == sent:
                yield vector

    def _decide(self, request: EnrolRequest, prepared: Prepared, context: Context) -> ChangeDecision:
        info = self._before.info
        infos = {} if info is None else {request.identity_id: info}
        return self._call.decide(request, prepared, self._before.people.pending(infos), context)


def compared_records(then: Sequence[KeyedValue], now: Sequence[KeyedValue]) -> Compared:
    """Compare the records of the people topic that an enrolment wrote with those that it would write now."""
    before, after = dict(then), dict(now)
    result = Compared()
    for key in dict.fromkeys((*before, *after)):
        name = f"record {printable_key(key)}"
        one, other = before.get(key), after.get(key)
        if (key in before, one is None) != (key in after, other is None):
            change = Difference(name, _presence(before, key), _presence(after, key))
            result = result.plus(Compared((change,)))
        elif one is not None and other is not None:
            result = result.plus(_compared_values(name, key, one, other))
    return result


def _presence(records: dict[bytes, bytes | None], key: bytes) -> str | None:
    if key not in records:
        return None
    return "deleted" if records[key] is None else "written"


def _compared_values(name: str, key: bytes, one: bytes, other: bytes) -> Compared:
    try:
        parsed = parse_key(key)
    except NotReadable:
        parsed = None
    if isinstance(parsed, FaceKey):
        return _compared_faces(name, _decoded(_face_decoder, one), _decoded(_face_decoder, other))
    if isinstance(parsed, PersonKey):
        before, after = _decoded(_person_decoder, one), _decoded(_person_decoder, other)
        found = differing({name: before}, {name: after})
    else:
        found = differing({name: one.hex()}, {name: other.hex()})
    return found


def _compared_faces(name: str, one: FaceRecord | None, other: FaceRecord | None) -> Compared:
    if one is None or other is None:
        return Compared((Difference(name, "a face", "a record that cannot be read"),))
    # A photo that is no JPEG is encoded as one, by another release perhaps to other bytes.
    photos = [face.photo and face.photo.digest.hex() for face in (one, other)]
    result = differing({f"{name}.photo": photos[0]}, {f"{name}.photo": photos[1]})
    vectors = [next(_vectors(face), None) for face in (one, other)]
    if vectors[0] is None or vectors[1] is None or not _agree(vectors[0], vectors[1]):
        return result.plus(Compared((Difference(f"{name}.embedding", "as recorded", "another embedding"),)))
    return result


def _vectors(record: FaceRecord) -> Iterator[Vector]:
    for template in record.templates.values():
        if template and len(template) % 4 == 0:
            vector: Vector = np.frombuffer(template, np.dtype("<f4")).astype(np.float32)
            yield vector


def _agree(one: Vector, other: Vector) -> bool:
    return one.shape == other.shape and 1.0 - float(one @ other) <= BETWEEN_MACHINES


def _decoded(decoder: "msgspec.msgpack.Decoder[Any]", value: bytes) -> Any:
    try:
        return decode_with(decoder, value)
    except msgspec.DecodeError:
        return None
