"""What ties a declared call to what the server does for it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import msgspec

from broker.keyed import KeyedReader
from contract.calls.declaration import Declaration, Values
from contract.messages import Answer, Reply, Request
from contract.people.records import PersonRecord, PhotoReference
from contract.people.unreadable import UnreadableRecord
from ingest.call import Call
from ingest.exchange import ANSWER_MARGIN_S, Exchange, timed_out
from ingest.json_body import read_object
from ingest.metrics import Metrics
from ingest.pictures import PictureField, PictureLimits, fetch_picture
from ingest.render import Rendered

A = TypeVar("A", bound=Answer)
R = TypeVar("R", bound=Request)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the calls use. `threads` read picture files; `not_ready` gives the reasons why no request would be answered
    now; `openapi` is the document of all calls."""

    exchange: Exchange
    limits: PictureLimits
    metrics: Metrics
    threads: Executor
    photos: KeyedReader
    people: PeopleView
    reached: Reached
    not_ready: Callable[[], Sequence[str]]
    openapi: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A call that is served.

    Attributes:
        declaration: what is called.
        handle: computes the answer; raises Refused.
        administrative: its requests go to the admin topic.
        needs_people: it is answered from the people, so not while a record of them cannot be read.
        is_page: it is a page about the server itself: it contains nothing of anybody and is never refused for load.
    """

    declaration: Declaration
    handle: Callable[[Call, Services], Awaitable[Rendered]]
    administrative: bool = False
    needs_people: bool = False
    is_page: bool = False


async def read_body(call: Call, services: Services, declaration: Declaration) -> Values:
    """The checked fields of a call's body.

    Raises:
        Refused: the row of the error table.
    """
    sent = read_object(await call.body(typeless_is_json=declaration.typeless_is_json), call.settings.max_json_values)
    services.metrics.unknown_fields.inc(declaration.unknown(sent))
    return declaration.read(sent)


def request_of(kind: type[R], call: Call, values: Values, **others: Any) -> R:
    """A request with the values that have the names of its attributes, and with `others`."""
    named = {name: values[name] for name in kind.__struct_fields__ if name in values}
    return kind(**{"request_id": call.request_id, "received_time_s": call.received_time_s, **named, **others})


def compare_times(call: Call, values: Values) -> dict[str, float | str | None]:
    """The attributes of a request that come from compare_time; absent, it is the time of arrival."""
    seconds, raw = values["compare_time"] or (call.received_time_s, None)
    return {"compare_time_s": seconds, "compare_time_raw": raw}


async def ask(
    call: Call,
    services: Services,
    declaration: Declaration,
    request: Callable[[Call, Values], Request],
    pictures: Sequence[PictureField],
    answer: type[A],
) -> tuple[A, Reply]:
    """The answer to the one request that a call makes through the log.

    `request` makes it, but for its pictures. A call lets go of its body, of base64 and of pictures as soon as the next
    form of them is made: it waits for its answer much longer than it takes to make the request.

    Raises:
        Refused: the row of the error table.
    """
    reply = await services.exchange.ask(call, await _request(call, services, declaration, request, pictures))
    if not isinstance(reply.answer, answer):
        raise TypeError(f"a call of {declaration.route} was answered with {type(reply.answer).__name__}")
    return reply.answer, reply


async def _request(
    call: Call,
    services: Services,
    declaration: Declaration,
    make: Callable[[Call, Values], Request],
    pictures: Sequence[PictureField],
) -> Request:
    values = await read_body(call, services, declaration)
    request = make(call, values)
    sent = [picture for picture in pictures if picture.is_in(values)]
    try:
        async with asyncio.timeout_at(call.wait_until - ANSWER_MARGIN_S):
            return msgspec.structs.replace(
                request,
                **{
                    picture.attribute: await fetch_picture(
                        picture, values, services.limits, services.threads, is_one_of_several=len(sent) > 1
                    )
                    for picture in sent
                },
            )
    except TimeoutError:
        raise timed_out() from None
