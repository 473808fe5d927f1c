"""The explanation of an event that is no match: what the event itself records. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from capture.explaining.values import Check, Explanation, Seen
from contract.events import Event
from contract.findings import CheckResult
from contract.kinds import ERASE_KIND, UNREADABLE_KIND, kind_of
from contract.requests import CompareRequest, DeleteRequest, EnrolRequest

_WITHOUT_GALLERY = "An event of this kind depends on no other records, so that nothing was decided again."
_NO_FLIP = "Changes are tried for matches only."


def explain_other(event: Event) -> Explanation:
    """Return the explanation of an event of any kind but a match."""
    words = _WORDS.get(event.kind, _any_words)(event)
    error = "" if event.error is None else f" ({event.error.status}: {event.error.message})"
    return Explanation(
        event_id=event.id,
        kind=event.kind,
        outcome=event.outcome,
        way="read",
        decided_time=event.processed_time,
        device_ip=event.device_ip,
        gallery_version=event.gallery_version,
        sentences=(f"{event.outcome}: {words}{error}.", _WITHOUT_GALLERY),
        seen=_seen(event),
        checks=tuple(_checks(event)),
        no_flip=_NO_FLIP,
        models=event.models,
        policy=event.policy or None,
    )


def _seen(event: Event) -> Seen | None:
    if event.picture is None and event.face is None:
        return None
    face = event.face
    used = "no face was used" if face is None else f"the largest face was used: {face.width:g} x {face.height:g} px"
    return Seen(event.picture, event.faces, face, used)


def _checks(event: Event) -> Iterator[Check]:
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
    if event.score is None:
        return "two pictures were to be compared, and one of them could not be used"
    return "the faces of two pictures were compared"


def _enrol_words(event: Event) -> str:
    return f"a request to enrol or change {_person(event)}"


def _delete_words(event: Event) -> str:
    return f"a request to delete {_person(event)}"


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
    ERASE_KIND: _erase_words,
    UNREADABLE_KIND: _unreadable_words,
}
