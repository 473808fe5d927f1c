"""The explanation of an event that is no match: what it records, whether it comes out again, what would change it."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from capture.differences import is_undecided
from capture.explaining.checks import deadline_checks, decidable_words
from capture.explaining.consistency import event_faults, model_faults, policy_faults
from capture.explaining.differing import Compared
from capture.explaining.redoing import REDONE, Redone, redone
from capture.explaining.trials import Trial, flips_of
from capture.explaining.values import Check, Explanation, Flip, OtherThen, Seen, Way
from contract.captures.convert import decision_of
from contract.events import Event
from contract.findings import CheckResult, FaceBox, PictureSize
from contract.kinds import ERASE_KIND, UNREADABLE_KIND, kind_of
from contract.requests import CompareRequest, DeleteRequest, EnrolRequest, FiqaRequest, StrangerRequest
from contract.site_requests import (
    DevicesRequest,
    GroupRequest,
    ImportRequest,
    KeyRequest,
    MembersRequest,
    PermissionRequest,
    ReembedRequest,
    SettingsRequest,
    WipeRequest,
)
from engine.calls.reporting import face_box

_NO_DECISION = "An event of this kind records no decision that could be made again."
_UNKNOWN = "This release does not know on what a decision of this kind depended."
_NOT_REDONE = "The decision depended on {what}; it was not made again, and what follows is what was recorded."
_DEPENDED_ON: Mapping[str, str] = {
    kind_of(DeleteRequest): "the people who were enrolled then",
    kind_of(StrangerRequest): "the picture of the match, the people of then, and the settings about strangers",
    kind_of(GroupRequest): "the groups of then, the people in them, and the settings that limit both",
    kind_of(MembersRequest): "the groups and the people of then, and the settings that limit both",
    kind_of(PermissionRequest): "the permissions of then, the people who had them, and the settings that limit both",
    kind_of(DevicesRequest): "the devices, groups and permissions of then, and the settings that limit them",
    kind_of(SettingsRequest): "the settings of then, and on those that the operator had pinned",
    kind_of(KeyRequest): "the API keys of then",
    kind_of(ReembedRequest): "the people and the photos of then",
    kind_of(ImportRequest): "the people, groups and permissions of then, and the settings that limit them",
    kind_of(WipeRequest): "the number of people and devices of then",
}
"""The kinds that are not decided again, each with what their decisions depend on."""
_WAYS: Mapping[Way, str] = {
    "look": "The decision was made again from its pictures",
    "decide": "The decision was made again from the request, without a look at a picture, and from the people of then",
    "read": "The decision could not be made again; what follows is what was recorded",
}
_NO_FLIP = "Changes are tried for decisions that can be made again."
_NOTHING_FLIPS = "No single change that was tried leads to another outcome."
_NO_LEVEL_FLIPS = "No level of quality changes the outcome, because a measurement refuses nothing."


def explain_other(then: OtherThen) -> Explanation:
    """Return the explanation of an event of any kind but a match."""
    event = then.event
    undecided = is_undecided(decision_of(event))
    again = redone(then)
    result = Compared(
        (
            *model_faults(event.models, event.model_set),
            *policy_faults(event.policy, then.policy_content),
            *event_faults(event, then.deadline_s),
        )
    )
    if again is not None and not undecided:
        result = result.plus(again.compared(event))
    flips, no_flip = _flips(then, again, undecided=undecided)
    words = _WORDS.get(event.kind, _any_words)(event)
    error = "" if event.error is None else f" ({event.error.status}: {event.error.message})"
    return Explanation(
        event_id=event.id,
        kind=event.kind,
        outcome=event.outcome,
        way="read" if again is None else again.way,
        decided_time=event.processed_time,
        device_ip=event.device_ip,
        gallery_version=event.gallery_version,
        sentences=(f"{event.outcome}: {words}{error}.", _how(event, again, result, undecided=undecided)),
        alarms=result.alarms,
        rounding=result.rounding,
        gone=then.gone,
        seen=_seen(then, again),
        checks=tuple(_checks(event, then.deadline_s)),
        flips=flips,
        no_flip=no_flip,
        models=event.models,
        policy=event.policy or None,
    )


def _how(event: Event, again: Redone | None, result: Compared, *, undecided: bool) -> str:
    """Return in a sentence what the explanation is based on."""
    if event.kind not in REDONE:
        if event.kind in (ERASE_KIND, UNREADABLE_KIND):
            return _NO_DECISION
        what = _DEPENDED_ON.get(event.kind)
        return _UNKNOWN if what is None else _NOT_REDONE.format(what=what)
    begin = _WAYS["read" if again is None else again.way]
    if again is None:
        return f"{begin}."
    if undecided:
        return f"{begin}; the recorded outcome is no decision, so that only the records were compared."
    if result.alarms:
        return f"{begin}, and it came out differently."
    rounding = f"; {result.rounding} numbers differ as between two machines" if result.rounding else ""
    return f"{begin}, and everything came out as recorded{rounding}."


def _flips(then: OtherThen, again: Redone | None, *, undecided: bool) -> tuple[tuple[Flip, ...], str | None]:
    """Return the changes that lead to another outcome, or else the reason why there are none."""
    event = then.event
    if event.kind not in REDONE:
        return (), _NO_FLIP
    if again is None:
        missing = ", ".join(dict.fromkeys(gone.what for gone in then.gone)) or "the request"
        return (), f"No change could be tried, because the decision cannot be made again without: {missing}."
    if undecided:
        words = decidable_words(event.outcome, event.processed_time, then.deadline_s)
        flips = flips_of([[Trial(words, lambda: again.decision.outcome)]], event.outcome)
    else:
        flips = flips_of(again.trials(), again.decision.outcome)
    if flips:
        return flips, None
    return (), _NO_LEVEL_FLIPS if event.kind == kind_of(FiqaRequest) else _NOTHING_FLIPS


def _seen(then: OtherThen, again: Redone | None) -> Seen | None:
    """Return what was seen, from the event, and from the look that was made again where the event does not tell."""
    event, found = then.event, None if again is None else again.findings
    picture, faces, face = event.picture, event.faces, event.face
    if found is not None and found.size is not None and picture is None:
        width, height = found.size
        picture = PictureSize(bytes=_bytes_of(then), width=width, height=height)
    if found is not None and face is None:
        faces, face = found.faces, face_box(found.face)
    if picture is None and face is None:
        return None
    return Seen(picture, faces, face, _used(face))


def _used(face: FaceBox | None) -> str:
    if face is None:
        return "no face was used"
    return f"a face was used: {face.width:g} x {face.height:g} px"


def _bytes_of(then: OtherThen) -> int:
    """Return the bytes of the first picture of the request."""
    match then.request:
        case CompareRequest(face_picture=picture):
            return len(picture)
        case EnrolRequest(photo=photo):
            return len(photo or b"")
        case None:
            return 0
        case request:
            return len(request.picture)


def _checks(event: Event, deadline_s: float | None) -> Iterator[Check]:
    yield from deadline_checks(event.outcome, event.processed_time, deadline_s)
    yield from _measured("quality", event.quality)
    if event.card is not None:
        yield from _measured("quality of the second picture", event.card.quality)
    if event.score is not None and event.threshold is not None:
        score, limit = event.score, event.threshold.value
        passed = score >= limit
        verb = "reaches" if passed else "does not reach"
        words = f"the score, {score:.4f}, {verb} the threshold, {limit:.4f} (rule {event.threshold.rule})"
        yield Check("comparison", "threshold", passed, words, score, limit)


def _measured(stage: str, items: Sequence[CheckResult]) -> Iterator[Check]:
    for item in items:
        words = f"{item.name} is {item.value:.4g}, and the limit is {item.limit:.4g}"
        yield Check(stage, item.name, item.passed, words, item.value, item.limit, item.vote)


def _compare_words(event: Event) -> str:
    if event.score is None and event.outcome == "expired":
        return "two pictures were to be compared, and nobody waited for the answer any more"
    if event.score is None and is_undecided(decision_of(event)):
        return "two pictures were to be compared, and the server could not decide"
    if event.score is None:
        return "two pictures were to be compared, and one of them could not be used"
    return "the faces of two pictures were compared"


def _enrol_words(event: Event) -> str:
    return f"a request to enrol or change {_person(event)}"


def _delete_words(event: Event) -> str:
    return f"a request to delete {_person(event)}"


def _stranger_words(event: Event) -> str:
    """Return what became of the stranger of a match."""
    words = {
        "enrolled": f"the stranger of the match {event.match_id} was enrolled as {event.identity_id}",
        "known": f"the stranger of the match {event.match_id} is enrolled already: {_person(event)}",
    }
    return words.get(event.outcome, f"the stranger of the match {event.match_id} was not enrolled")


def _erase_words(event: Event) -> str:
    return f"an operator erased all records of {_person(event)}"


def _unreadable_words(event: Event) -> str:
    return "a record contained no request that could be read; it is a dead letter"


def _any_words(event: Event) -> str:
    about = f" about {event.name}" if event.name else ""
    people = f", which changed or deleted {len(event.identity_ids)} people" if event.identity_ids else ""
    return f"a request of the kind {event.kind}{about}{people}"


def _person(event: Event) -> str:
    return f"{event.name} ({event.identity_id})" if event.name else event.identity_id


_WORDS: Mapping[str, Callable[[Event], str]] = {
    kind_of(CompareRequest): _compare_words,
    kind_of(EnrolRequest): _enrol_words,
    kind_of(DeleteRequest): _delete_words,
    kind_of(StrangerRequest): _stranger_words,
    ERASE_KIND: _erase_words,
    UNREADABLE_KIND: _unreadable_words,
}
