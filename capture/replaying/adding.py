"""Adds people to those of a capture, by the decisions of the engine's enrolment."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from capture.enrolling import enrol_request
from capture.making.values import picture_at
from capture.timeline import CapturedEntry
from clients.enrol_list import Entry, Unusable, find_entries
from contract.captures.values import CaptureError, PeopleLine
from contract.errors import Refused
from contract.people.keys import FaceKey, NotReadable, PersonKey, parse_key
from contract.requests import EnrolRequest
from engine.calls.enrol import EnrolCall
from engine.calls.people import Prepared
from engine.context import Context
from engine.gallery.pending import PendingPeople
from engine.gallery.people import People


def add_people(
    records: Sequence[PeopleLine], first: int, source: Path, context: Context, threads: int
) -> Sequence[PeopleLine]:
    """Return the records with those of further people, who are enrolled as of gallery version `first`.

    `records`: in the order of their offsets. `source`: a list or a folder, as `picturematch enrol` reads it. `context`:
    the installed networks, and the policy of the enrolments.

    Raises:
        CaptureError: an entry cannot be used, a person cannot be enrolled, or is among the people already; the message
            names the entry and the reason.
        CannotRun: `source` is neither a folder nor a list.
    """
    present = {key.identity_id for record in records if (key := _person_of(record)) is not None}
    try:
        entries = list(find_entries(source))
    except OSError as error:
        raise CaptureError(f"{source} cannot be read: {error}") from error
    requests = [_request(source, number, entry, present) for number, entry in enumerate(entries)]
    call = EnrolCall()
    with ThreadPoolExecutor(threads, "enrol") as pool:
        prepared = list(pool.map(lambda request: call.prepare(request, context), requests))
    before = [record for record in records if record.offset < first]
    new = _enrolled(before, first, source, zip(entries, requests, prepared, strict=True), context)
    return (*before, *new, *records[len(before) :])


def _enrolled(
    before: Sequence[PeopleLine],
    first: int,
    source: Path,
    prepared: Iterable[tuple[Entry | Unusable, EnrolRequest, Prepared]],
    context: Context,
) -> Sequence[PeopleLine]:
    people = People(context.models.embedder.dimension, context.models.embedder_identity)
    people.apply(map(CapturedEntry, before))
    new: list[PeopleLine] = []
    for entry, request, face in prepared:
        decision = EnrolCall().decide(request, face, PendingPeople(people), context)
        if decision.refusal is not None:
            raise CaptureError(f"{entry.where} of {source} cannot be enrolled: {decision.refusal.message}")
        places = [(0, 0)] * len(decision.photos)
        # They have the last offset before the first version, so that every version contains them.
        lines = [
            PeopleLine(offset=first - 1, time=0.0, key=key, value=value)
            for key, value in decision.people_records(places)
        ]
        people.apply(map(CapturedEntry, lines))
        new += lines
    return new


def _request(source: Path, number: int, entry: Entry | Unusable, present: set[str]) -> EnrolRequest:
    where = f"{entry.where} of {source}"
    if isinstance(entry, Unusable):
        raise CaptureError(f"{where} cannot be used: {entry.reason}")
    if entry.identity_id in present:
        raise CaptureError(f"{where}: {entry.identity_id} is among the people of the capture; choose another identity")
    try:
        return enrol_request(
            f"added-{number}",
            entry.identity_id,
            info=entry.info,
            group_name=entry.group_name,
            photo=None if entry.photo is None else picture_at(entry.photo),
            feature=entry.feature,
            feature_model=entry.feature_model,
        )
    except Refused as refused:
        raise CaptureError(f"{where} cannot be enrolled: {refused.refusal.message}") from refused
    except ValueError as error:
        raise CaptureError(f"{where}: {error}") from error


def _person_of(record: PeopleLine) -> PersonKey | FaceKey | None:
    try:
        key = parse_key(record.key)
    except NotReadable:
        return None
    return key if isinstance(key, PersonKey | FaceKey) else None
