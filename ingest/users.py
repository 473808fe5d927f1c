"""The people calls: POST, GET, PUT and DELETE /SophonFogSys/api/users.

Changes are requests through the log like any other; the people topic is the only store, and GET answers from what this
process has read of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

import msgspec

from broker.keyed import KeyedReader
from broker.port import BrokerError
from contract.errors import Code, Refusal, Refused
from contract.http import GALLERY_VERSION_HEADER, UNCHANGED_HEADER
from contract.messages import DeletedAnswer, DeleteRequest, PersonAnswer
from contract.people.keys import photo_key
from contract.people.records import PersonRecord, PhotoReference, photo_of
from contract.people.unreadable import UnreadableRecord
from ingest.call import Call
from ingest.exchange import ANSWER_MARGIN_S, Exchange, timed_out
from ingest.line import Shed
from ingest.metrics import Metrics
from ingest.parse_users import ListCall, parse_delete, parse_enrol, parse_list
from ingest.pictures import PictureLimits, from_base64
from ingest.render import (
    Rendered,
    deleted_document,
    deleted_list_document,
    people_document,
    person_document,
    success,
)


class PeopleView(Protocol):
    """Everybody enrolled, as of `version` (contract.people.directory.Directory is one)."""

    @property
    def version(self) -> int:
        """The people topic's offset after the last record that was read."""
        ...

    @property
    def unreadable(self) -> Mapping[bytes, UnreadableRecord]:
        """The records that cannot be read, by key; as long as there is one, somebody may be missing."""
        ...

    def hides(self, identity_id: str) -> bool:
        """Whether a record about this person cannot be read."""
        ...

    def person(self, identity_id: str) -> PersonRecord | None:
        """The person of that id."""
        ...

    def photo(self, identity_id: str, number: int) -> PhotoReference | None:
        """The photo that the face was enrolled with."""
        ...

    def has_group(self, name: str) -> bool:
        """Whether a group of that name exists."""
        ...

    def page(self, group_name: str | None, skip: int, limit: int) -> Sequence[PersonRecord]:
        """People of a group (None: of all), by identity_id, from number `skip` on."""
        ...


Reached = Callable[[int, float], Awaitable[bool]]
"""`reached(version, timeout_s)`: waits until the people view has read that far; false when time ran out."""


def people_unreadable() -> Shed:
    """50380: whoever decided now might miss somebody."""
    return Shed("people", "a record of the enrolled people cannot be read; the operator must replace it")


class Users:
    """The handlers of the people calls."""

    def __init__(
        self,
        *,
        photos: KeyedReader,
        people: PeopleView,
        reached: Reached,
        exchange: Exchange,
        limits: PictureLimits,
        metrics: Metrics,
    ) -> None:
        self._photos = photos
        self._people = people
        self._reached = reached
        self._exchange = exchange
        self._limits = limits
        self._metrics = metrics

    async def post(self, call: Call) -> Rendered:
        """Enrol a person."""
        return await self._enrol(call, update=False)

    async def put(self, call: Call) -> Rendered:
        """Change a person."""
        return await self._enrol(call, update=True)

    async def delete(self, call: Call) -> Rendered:
        """Remove people.

        A list is removed as far as it goes: the answer names who could not be removed and why. Only when nobody
        could be is it the first of the refusals. Somebody whose record cannot be read can be removed as well.
        """
        settings = call.settings
        parsed = parse_delete(await call.body(), max_people=settings.max_delete, max_values=settings.max_json_values)
        self._metrics.unknown_fields.inc(parsed.unknown_fields)
        if self._people.unreadable and not all(map(self._people.hides, parsed.identity_ids)):
            raise people_unreadable()
        requests = [
            DeleteRequest(
                # Each request of the log has its own id; one alone has the call's.
                request_id=f"{call.request_id}-{number}" if parsed.many else call.request_id,
                identity_id=identity_id,
                received_time_s=call.received_time_s,
            )
            for number, identity_id in enumerate(parsed.identity_ids, 1)
        ]
        outcomes = await self._exchange.ask_all(call, requests)
        failed = [(r.identity_id, o) for r, o in zip(requests, outcomes, strict=True) if isinstance(o, Refusal)]
        if len(failed) == len(requests):
            raise Refused.of(failed[0][1])
        replies = [outcome for outcome in outcomes if not isinstance(outcome, Refusal)]
        headers = _version_header(max(reply.gallery_version for reply in replies))
        if not parsed.many:
            answer = replies[0].answer
            if not isinstance(answer, DeletedAnswer):
                raise TypeError(f"a delete was answered with {type(answer).__name__}")
            return success(deleted_document(answer), headers)
        gone = [r.identity_id for r, o in zip(requests, outcomes, strict=True) if not isinstance(o, Refusal)]
        return success(deleted_list_document(gone, failed), headers)

    async def get(self, call: Call) -> Rendered:
        """One person, or a page of people.

        Whoever changed people through this ingress sees the change.
        """
        call.arrived()
        wanted = parse_list(call.request.rel_url.query)
        try:
            async with asyncio.timeout_at(call.wait_until - ANSWER_MARGIN_S):
                if not await self._reached(self._exchange.gallery_version, call.settings.deadline_s):
                    raise timed_out()
                headers = _version_header(self._people.version)
                document = people_document(await self._with_photos(self._select(wanted), wanted, call))
        except TimeoutError:
            raise timed_out() from None
        return success(document, headers)

    async def _enrol(self, call: Call, *, update: bool) -> Rendered:
        body = await call.body()
        parsed = parse_enrol(
            body,
            update=update,
            request_id=call.request_id,
            received_time_s=call.received_time_s,
            max_values=call.settings.max_json_values,
        )
        self._metrics.unknown_fields.inc(parsed.unknown_fields)
        request = parsed.request
        if parsed.photo_base64 is not None:
            photo = from_base64(parsed.photo_base64, "reg_photo", self._limits)
            request = msgspec.structs.replace(request, photo=photo)
        del body, parsed
        reply = await self._exchange.ask(call, request)
        if not isinstance(reply.answer, PersonAnswer):
            raise TypeError(f"an enrolment was answered with {type(reply.answer).__name__}")
        answer = reply.answer
        unchanged = ((UNCHANGED_HEADER, "true"),) if answer.unchanged else ()
        headers = (*_version_header(reply.gallery_version), *unchanged)
        return success(person_document(answer, update=update), headers)

    def _select(self, wanted: ListCall) -> Sequence[PersonRecord]:
        if wanted.identity_id is not None:
            person = self._people.person(wanted.identity_id)
            if person is None:
                raise Refused(Code.ID_NOT_FOUND, "nobody of that identity_id is enrolled")
            return [person]
        if wanted.group_name is not None and not self._people.has_group(wanted.group_name):
            raise Refused(Code.GROUP_NAME_ERROR, "no group of that group_name exists")
        return self._people.page(wanted.group_name, wanted.skip, wanted.limit)

    async def _with_photos(
        self, people: Sequence[PersonRecord], wanted: ListCall, call: Call
    ) -> Sequence[tuple[PersonRecord, bytes]]:
        """The people with their newest photos, as far as the limit on their bytes goes."""
        listed: list[tuple[PersonRecord, bytes]] = []
        remaining = call.settings.max_listed_photo_bytes if wanted.with_photos else 0
        for person in people:
            photo = await self._photo(person) if remaining else b""
            if len(photo) > remaining:
                photo, remaining = b"", 0
            call.held.take(len(photo))
            remaining -= len(photo)
            listed.append((person, photo))
        return listed

    async def _photo(self, person: PersonRecord) -> bytes:
        for number in reversed(person.faces):
            found = self._people.photo(person.identity_id, number)
            if found is None:
                continue
            key = photo_key(person.identity_id, number)
            try:
                jpeg = await self._photos.read(key, found.partition, found.offset, partial(photo_of, reference=found))
            except BrokerError:
                raise Refused(Code.OVERLOADED, "the log cannot be read now; try again") from None
            if jpeg is not None:
                return jpeg
        return b""


def _version_header(version: int) -> tuple[tuple[str, str], ...]:
    return ((GALLERY_VERSION_HEADER, str(version)),)
