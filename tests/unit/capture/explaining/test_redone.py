"""Comparisons, measurements, detections and enrolments that are made again: what is compared, and what would flip."""

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from broker.port import Record
from capture.explaining.gallery import PeopleThen
from capture.explaining.others import explain_other
from capture.explaining.values import Before, Explanation, Flip, Gone, OtherThen, RedoneRequest
from capture.explaining.written import count_written
from contract.codec import encode
from contract.configs import model_set_record
from contract.errors import Code, Refusal
from contract.people.keys import person_key
from contract.people.records import FaceRecord, PersonRecord
from contract.people.site import GroupRecord
from contract.requests import CompareRequest, DetectRequest, EnrolRequest, FiqaRequest
from engine.calls import call_of
from engine.calls.enrol import EnrolCall
from engine.calls.reporting import Circumstances
from engine.policy import Policy, QualityLimits
from engine.vision.ports import ModelSet
from models.manifest import FmrPoint
from tests.support.faces import MAX_PIXELS, MODELS, context, photo, scene
from tests.support.then import DECIDED_S, RECEIVED_S, Past

LATE = Refusal(Code.TIMEOUT, "the answer was not ready within the deadline")


class Calibrated(type(MODELS.embedder)):  # type: ignore[misc]  # the class of a Protocol's value
    """A stand-in with a curve, so that the levels of comparison have thresholds of their own."""

    fmr_curve = tuple(FmrPoint(fmr=fmr, threshold=at) for fmr, at in ((0.1, 0.1), (1e-3, 0.5), (1e-4, 0.99)))


CALIBRATED: ModelSet = replace(MODELS, embedder=Calibrated())


def compare(face: bytes, card: bytes, **fields: Any) -> CompareRequest:
    return CompareRequest(
        request_id="c1",
        face_picture=face,
        card_picture=card,
        compare_time_s=RECEIVED_S,
        received_time_s=RECEIVED_S,
        need_save=True,
        **fields,
    )


def enrol(**fields: Any) -> EnrolRequest:
    return EnrolRequest(**({"request_id": "n1", "identity_id": "carla", "received_time_s": RECEIVED_S} | fields))


def then_of(
    request: RedoneRequest,
    policy: Policy | None = None,
    *,
    past: Past | None = None,
    models: ModelSet = MODELS,
    max_pixels: int = MAX_PIXELS,
    refusal: Refusal | None = None,
) -> OtherThen:
    """What the log has of a request that was decided now. `refusal`: the processor refused it unseen."""
    past = past or Past()
    call, given = call_of(request), context(policy, models, max_pixels)
    before = PeopleThen(MODELS.embedder.dimension, MODELS.embedder_identity)
    before.take(past.entries)
    written: tuple[Any, ...] = ()
    if refusal is not None:
        decision = call.refuse(request, refusal, past.people.snapshot(), given)
    elif isinstance(call, EnrolCall):
        pending = before.pending({})
        decision = call.decide(request, call.prepare(request, given), pending, given)
        written = decision.people_records([(0, 5)] * len(decision.photos))
        past.write(written)
    else:
        decision = call.decide(request, past.people.snapshot(), given)  # type: ignore[attr-defined]
    identities = dict(models.identities)
    at = Circumstances(
        "requests", 3, 7, DECIDED_S, past.people.version, identities, _digests(call, request), policy="p1",
        model_set=model_set_record(identities).id,
    )  # fmt: skip
    event = call.event(request, decision, given, at)
    people = Before(before, written=written) if isinstance(request, EnrolRequest) else None
    return OtherThen(event, request, given.policy, models, max_pixels, RECEIVED_S + 3.0, people)


def _digests(call: Any, request: Any) -> tuple[str, ...]:
    from contract.pictures.digest import picture_digest

    return tuple(map(picture_digest, call.pictures(request)))


def flip(explanation: Explanation, words: str) -> Flip:
    (found,) = [each for each in explanation.flips if words in each.change]
    return found


def alarms(then: OtherThen, **event: Any) -> set[str]:
    """The alarms where these fields of the event were changed later."""
    return {alarm.what for alarm in explain_other(replace(then, event=structs.replace(then.event, **event))).alarms}


@pytest.fixture
def past() -> Past:
    past = Past()
    past.enrol("anna", 1, info={"name": "Anna"})
    past.enrol("ben", 2)
    return past


@pytest.mark.parametrize(
    "request_",
    [
        compare(photo(1), photo(1, size=120)),
        compare(photo(1), photo(2), identity_info={"identity_id": "7", "name": "Ada"}),
        compare(scene(), photo(1)),
        compare(photo(1), b"no picture"),
        FiqaRequest(request_id="f1", picture=photo(1), received_time_s=RECEIVED_S),
        FiqaRequest(request_id="f1", picture=scene(), received_time_s=RECEIVED_S),
        DetectRequest(request_id="d1", picture=photo(1), received_time_s=RECEIVED_S, with_attribute=True),
        enrol(photo=photo(3), info={"name": "Carla"}),
        enrol(photo=photo(1)),
        enrol(identity_id="ben", photo=photo(1), ignore_exist=True),
        enrol(photo=photo(3), group_names=("nowhere",)),
        enrol(photo=photo(3, size=40)),
        enrol(photo=scene()),
        enrol(identity_id="anna", photo=photo(4), ignore_exist=True),
        enrol(identity_id="anna", photo=photo(4)),
        enrol(identity_id="anna", update=True, info={"name": "Else"}),
        enrol(identity_id="anna", photo=photo(4), ignore_exist=True, support_single_face=True),
        enrol(photo=photo(3), info={"permission_ids": ["9"]}, create_no_exit_permission=True),
        enrol(feature=(1.0,) * MODELS.embedder.dimension, feature_model=MODELS.embedder_identity),
        enrol(feature=(1.0,), feature_model=MODELS.embedder_identity),
    ],
)
def test_every_decision_comes_out_again(past: Past, request_: RedoneRequest) -> None:
    explanation = explain_other(then_of(request_, past=past))
    assert explanation.alarms == ()
    assert explanation.rounding == 0
    has_picture = getattr(request_, "photo", b"x") is not None
    assert explanation.way == ("look" if has_picture else "decide")
    assert "everything came out as recorded" in explanation.sentences[1]
    assert explanation.flips or explanation.no_flip


@pytest.mark.parametrize(
    ("field", "value"),
    [("outcome", "different"), ("score", 0.2), ("retcode", "0"), ("faces", 3), ("name", "Eve"), ("quality_score", 0.1)],
)
def test_each_changed_field_of_a_comparison_is_an_alarm(field: str, value: Any) -> None:
    assert field in alarms(then_of(compare(photo(1), photo(1, size=120))), **{field: value})


def test_another_second_picture_is_an_alarm() -> None:
    then = then_of(compare(photo(1), photo(1, size=120)))
    other = replace(then, request=compare(photo(1), photo(2)))
    assert {"card.sha256", "outcome", "score"} <= {alarm.what for alarm in explain_other(other).alarms}


def test_a_comparison_names_the_cosine_and_the_level_that_would_have_changed_it() -> None:
    different = then_of(compare(photo(1), photo(1, size=90), level="high"), models=CALIBRATED)
    explanation = explain_other(different)
    assert explanation.outcome == "different"
    more = flip(explanation, "a cosine of the two faces higher by")
    assert (more.outcome, more.setting) == ("same", None)
    weaker = flip(explanation, "instead of high")
    assert (weaker.outcome, weaker.setting) == ("same", "threshold")
    again = compare(photo(1), photo(1, size=90), level=weaker.value)
    assert then_of(again, models=CALIBRATED).event.outcome == "same"


def test_a_comparison_that_was_the_same_names_what_it_could_have_lost() -> None:
    explanation = explain_other(then_of(compare(photo(1, size=110), photo(1))))
    assert explanation.outcome == "same"
    assert flip(explanation, "a cosine of the two faces lower by").outcome == "different"
    stricter = flip(explanation, "the quality level high (no was asked for by the setting matching.match_quality)")
    assert (stricter.outcome, stricter.setting, stricter.value) == ("low_quality", "matching.match_quality", "high")
    decided = then_of(compare(photo(1, size=110), photo(1)), Policy(match_quality="high"))
    assert decided.event.outcome == "low_quality"


def test_a_comparison_of_low_quality_names_the_level_of_its_source_and_the_missing_pixels() -> None:
    asked = compare(photo(1, size=72), photo(1), quality_level="middle")
    explanation = explain_other(then_of(asked))
    assert explanation.outcome == "low_quality"
    assert flip(explanation, "px of face").setting is None
    level = flip(explanation, "the quality level low (middle was asked for by the request)")
    assert (level.setting, level.value, level.outcome) == ("fiqa_level", "low", "same")
    custom = Policy(match_quality="custom", custom_quality=QualityLimits(face_size_px=80))
    limit = flip(explain_other(then_of(compare(photo(1, size=72), photo(1)), custom)), "px of face")
    assert limit.setting == "matching.custom_quality.face_size_px"
    eased = Policy(match_quality="custom", custom_quality=QualityLimits(face_size_px=limit.value))  # type: ignore[arg-type]
    assert then_of(compare(photo(1, size=72), photo(1)), eased).event.outcome == "same"


def test_a_picture_with_too_many_pixels_names_the_limit() -> None:
    asked = FiqaRequest(request_id="f1", picture=photo(1), received_time_s=RECEIVED_S)
    found = flip(explain_other(then_of(asked, max_pixels=640 * 480 - 1)), "the setting pictures.max_pixels at 307200")
    assert (found.outcome, found.value) == ("measured", 307200)


def test_a_measurement_says_that_no_level_changes_its_outcome() -> None:
    asked = FiqaRequest(request_id="f1", picture=photo(1), received_time_s=RECEIVED_S)
    explanation = explain_other(then_of(asked))
    assert explanation.flips == ()
    assert "No level of quality changes the outcome" in (explanation.no_flip or "")
    assert "quality[0].value" in alarms(
        then_of(asked), quality=(structs.replace(then_of(asked).event.quality[0], value=7.0),)
    )


def test_an_enrolment_of_low_quality_names_the_level_and_the_missing_pixels(past: Past) -> None:
    explanation = explain_other(then_of(enrol(photo=photo(3, size=50)), past=past))
    assert explanation.outcome == "refused"
    assert explanation.seen is not None
    assert explanation.seen.picture is not None
    assert (explanation.seen.picture.width, explanation.seen.picture.height) == (640, 480)
    assert flip(explanation, "px of face").outcome == "enrolled"
    level = flip(explanation, "the quality level no (low was asked for by the setting matching.enrolment_quality)")
    assert (level.outcome, level.setting, level.value) == ("enrolled", "matching.enrolment_quality", "no")
    eased = then_of(enrol(photo=photo(3, size=50)), Policy(enrolment_quality="no"), past=past)
    assert eased.event.outcome == "enrolled"


def test_an_enrolment_names_the_field_with_which_it_would_have_succeeded(past: Past) -> None:
    exists = explain_other(then_of(enrol(identity_id="anna", photo=photo(4)), past=past))
    found = flip(exists, "ignore_exist true")
    assert (found.outcome, found.setting, found.value) == ("updated", "ignore_exist", "true")
    group = explain_other(then_of(enrol(photo=photo(3), group_names=("nowhere",)), past=past))
    assert flip(group, "a request without group_name").outcome == "enrolled"
    unknown = enrol(photo=photo(3), info={"permission_ids": ["9"]})
    permission = explain_other(then_of(unknown, past=past))
    assert flip(permission, "create_no_exit_permission true").outcome == "enrolled"
    put = explain_other(then_of(enrol(photo=photo(3), update=True), past=past))
    assert (flip(put, "a POST instead of a PUT").outcome, flip(put, "a POST instead").setting) == ("enrolled", None)
    full = explain_other(then_of(enrol(photo=photo(3)), Policy(max_people=2), past=past))
    limit = flip(full, "the setting matching.max_people at 3 instead of 2")
    assert (limit.outcome, limit.setting, limit.value) == ("enrolled", "matching.max_people", 3)
    unnamed = enrol(feature=(1.0,) * MODELS.embedder.dimension)
    feature = explain_other(then_of(unnamed, past=past))
    assert flip(feature, "matching.trust_unnamed_features").outcome == "enrolled"


def test_records_that_an_enrolment_would_not_have_written_are_an_alarm(past: Past) -> None:
    then = then_of(enrol(photo=photo(3), info={"name": "Carla"}), past=past)
    assert then.before is not None
    (face_key, face), (person, record) = then.before.written
    assert face is not None
    assert record is not None
    kept = decoded_person(record)
    other = then_of(enrol(photo=photo(9)), past=Past()).before
    assert other is not None
    forged_face = other.written[0][1]
    cases = {
        "record person/carla.info.name": ((face_key, face), (person, encode(with_name(kept, "Eve")))),
        f"record {face_key.decode()}.embedding": ((face_key, forged_face), (person, record)),
        f"record {face_key.decode()}": ((person, record),),
        "record person/carla": ((face_key, face), (person, None)),
    }
    for what, written in cases.items():
        forged = replace(then, before=replace(then.before, written=written))
        found = {alarm.what for alarm in explain_other(forged).alarms}
        assert what in found, (what, found)
    assert explain_other(then).alarms == ()


def decoded_person(value: bytes) -> PersonRecord:
    from msgspec import msgpack

    return msgpack.decode(value, type=PersonRecord)


def with_name(person: PersonRecord, name: str) -> PersonRecord:
    changed: PersonRecord = structs.replace(person, info={**person.info, "name": name})
    return changed


def test_an_enrolment_on_another_machine_decides_with_the_recorded_face(past: Past) -> None:
    """A repeated enrolment is recognised by a cosine that two machines do not reach."""
    first = then_of(enrol(photo=photo(3)), past=past)
    assert first.before is not None
    (key, face), person = first.before.written
    assert face is not None
    moved = encode(turned(face))
    past.write([(key, moved)])
    again = then_of(enrol(photo=photo(3)), past=Past())
    people = PeopleThen(MODELS.embedder.dimension, MODELS.embedder_identity)
    people.take(past.entries)
    repeated = replace(again, before=Before(people))
    assert explain_other(repeated).alarms == ()
    elsewhere = replace(first, before=replace(first.before, written=((key, moved), person)))
    assert explain_other(elsewhere).alarms == ()


def turned(face: bytes) -> FaceRecord:
    """The face, as another machine embeds it: with a cosine of .9995 to the recorded one."""
    import numpy as np
    from msgspec import msgpack

    record = msgpack.decode(face, type=FaceRecord)
    vector = np.frombuffer(record.templates["whole"], "<f4").astype(np.float64)
    other = np.zeros_like(vector)
    other[int(np.argmin(np.abs(vector)))] = 1.0
    other -= (other @ vector) * vector
    other /= np.linalg.norm(other)
    angle = np.arccos(0.9995)
    moved = (np.cos(angle) * vector + np.sin(angle) * other).astype("<f4")
    changed: FaceRecord = structs.replace(record, templates={"whole": moved.tobytes()})
    return changed


def test_a_request_that_expired_says_what_an_answer_in_time_would_have_been(past: Past) -> None:
    expired = then_of(compare(photo(1), photo(1)), refusal=LATE)
    explanation = explain_other(replace(expired, deadline_s=DECIDED_S - 0.1))
    assert explanation.alarms == ()
    assert flip(explanation, "an answer 101 ms earlier, within the deadline").outcome == "same"
    assert [check.passed for check in explanation.checks if check.name == "deadline"] == [False]
    assert {alarm.what for alarm in explain_other(expired).alarms} == {"outcome"}, "the deadline was later"
    late = explain_other(replace(then_of(enrol(photo=photo(3)), past=past), deadline_s=DECIDED_S - 0.1))
    (deadline,) = [check for check in late.checks if check.name == "deadline"]
    assert deadline.passed
    assert "100 ms after the deadline of the request, and the answer was committed nevertheless" in deadline.sentence


@pytest.mark.parametrize("lost", ["request", "policy", "models", "before"])
def test_what_is_gone_leaves_what_the_event_records(past: Past, lost: str) -> None:
    then = replace(then_of(enrol(photo=photo(3)), past=past), gone=(Gone("picture", "The picture is gone."),))
    explanation = explain_other(replace(then, **{lost: None}))  # type: ignore[arg-type]  # the name is a variable
    assert (explanation.way, explanation.alarms, explanation.flips) == ("read", (), ())
    assert "cannot be made again without: picture" in (explanation.no_flip or "")


def test_other_networks_do_not_make_a_comparison_again() -> None:
    other = replace(MODELS, identities=tuple((role, "new") for role, _ in MODELS.identities))
    explanation = explain_other(replace(then_of(compare(photo(1), photo(1))), models=other))
    assert (explanation.way, explanation.alarms) == ("read", ())


# What an enrolment wrote


def records_of(past: Past, at_ms: int = 0) -> list[Record]:
    return [Record("people", 0, e.offset, at_ms, e.key, e.value, ()) for e in past.entries]


def test_the_records_of_an_enrolment_are_found_behind_those_of_others(past: Past) -> None:
    past.put(GroupRecord(group_id="g", name="gate"))
    before = len(past.entries)
    info = {"permission_ids": ["9"]}
    request = enrol(photo=photo(3), info=info, create_no_exit_permission=True)
    event = then_of(request, past=past).event
    assert len(past.entries) - before == 3
    now_ms = int(RECEIVED_S * 1000) + 1
    assert count_written(records_of(past, now_ms), event, request) == 3


def test_the_records_of_two_changes_of_one_person_are_told_apart(past: Past) -> None:
    first = enrol(photo=photo(3))
    then_of(first, past=past)
    second = enrol(photo=photo(4), ignore_exist=True, support_single_face=True)
    event = then_of(second, past=past).event
    now_ms = int(RECEIVED_S * 1000) + 1
    assert count_written(records_of(past, now_ms), event, second) == 3, "a face, the person, a dropped face"
    third = enrol(update=True, info={"name": "Carla"})
    event = then_of(third, past=past).event
    assert count_written(records_of(past, now_ms), event, third) == 1


def test_an_enrolment_that_changed_nothing_has_no_records(past: Past) -> None:
    request = enrol(photo=photo(3))
    event = then_of(request, past=past).event
    early_ms = int(RECEIVED_S * 1000) - 1
    assert count_written(records_of(past, early_ms), event, request) == 0, "it repeats the one that wrote them"
    refused = then_of(enrol(photo=scene()), past=past).event
    assert count_written(records_of(past, early_ms + 2), refused, request) == 0
    other = enrol(identity_id="dora", photo=photo(5))
    assert count_written(records_of(past, early_ms + 2), event, other) == 0
    assert past.entries[-1].key == person_key("carla")
