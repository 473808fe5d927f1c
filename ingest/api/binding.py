"""The binding of a declared call to its handler, and the steps that all handlers share."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import msgspec

from broker.keyed import KeyedReader
from broker.port import Position, Record
from contract.answers import Answer, Reply
from contract.audit import SearchRecord
from contract.calls.declaration import Declaration, Values
from contract.event_store import EventStore
from contract.findings import FaceBox
from contract.http import GALLERY_VERSION_HEADER
from contract.people.listing import ListedPage, PeopleFilter
from contract.people.records import PersonRecord, PhotoReference
from contract.people.site import Site
from contract.people.unreadable import UnreadableRecord
from contract.requests import Request
from contract.roles import Role
from contract.seen_faces import SeenFaces
from contract.site_settings import Configured
from ingest.burst import BurstField
from ingest.call import Call
from ingest.exchange import ANSWER_MARGIN_S, AsOfNow, Exchange, timed_out
from ingest.form_body import is_form, read_form
from ingest.json_body import read_object
from ingest.metrics import Metrics
from ingest.pictures import PictureField, PictureLimits
from ingest.render import Headers, Rendered

A = TypeVar("A", bound=Answer)
R = TypeVar("R", bound=Request)


class PeopleView(Protocol):
    """The enrolled people as of `version`; contract.people.directory.Directory is an implementation."""

    @property
    def version(self) -> int:
        """The offset in the people topic behind the last record that was read."""
        ...

    @property
    def unreadable(self) -> Mapping[bytes, UnreadableRecord]:
        """The records that cannot be read, by key; while there is one, a person may be missing."""
        ...

    def hides(self, identity_id: str) -> bool:
        """Return whether a record about a person cannot be read."""
        ...

    def person(self, identity_id: str) -> PersonRecord | None:
        """Return the person with an id; None where nobody with that id is enrolled."""
        ...

    def photo(self, identity_id: str, number: int) -> PhotoReference | None:
        """Return the reference to the photo of a face; None where the face was enrolled without one."""
        ...

    @property
    def site(self) -> Site:
        """The groups, permissions, devices, settings and API keys."""
        ...

    def page(self, wanted: PeopleFilter, skip: int, limit: int) -> ListedPage:
        """Return at most `limit` of the wanted people, by identity_id, without the first `skip`."""
        ...


Reached = Callable[[int, float], Awaitable[bool]]
"""`reached(version, timeout_s)` waits until the people view contains `version`; it returns False at the timeout."""


ReadAt = Callable[[Position], Awaitable[Record | None]]
"""Returns the record at a position of the log, or None."""
Crop = Callable[[bytes, FaceBox], bytes | None]
"""A function of a picture's bytes and a face's box that returns a JPEG of the face; None: the picture is unreadable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The objects that handlers use.

    `threads` read picture files, `store_threads` ask the store of events; `photos` and `records` read records of
    the photos topic and of the people topic by position; `reached` waits until `people` contains a gallery version;
    `not_ready` returns the reasons why no request would be answered now; `openapi` is the OpenAPI document of all
    calls; `configured` are the operator's settings that settings of the site are laid over; `event_store` answers
    questions about events, None: this server has none; `read_at` reads a record of the log; `crop` cuts a face out
    of a picture, None: this server has no image library; `seen` searches the faces of past matches, None: that is
    switched off; `audit` writes the audit record of such a search, and `searching` is held while one runs.
    """

    exchange: Exchange
    limits: PictureLimits
    metrics: Metrics
    threads: Executor
    store_threads: Executor
    photos: KeyedReader
    records: KeyedReader
    people: PeopleView
    reached: Reached
    not_ready: Callable[[], Sequence[str]]
    openapi: bytes
    configured: Configured
    event_store: EventStore | None = None
    read_at: ReadAt | None = None
    crop: Crop | None = None
    seen: SeenFaces | None = None
    audit: Callable[[SearchRecord], Awaitable[None]]
    searching: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A declared call and its handler.

    Attributes:
        declaration: the declaration of the call.
        handle: returns the answer, or raises Refused.
        role: the least role that may make the call; the strongest one where a call names none.
        request: the kind of request that the call writes; None where it writes none.
        needs_people: the answer depends on the enrolled people, so the call is shed while a record of them cannot be
            read.
        is_page: the call is a page about the server: its answer contains nothing about people, and it is never shed.
    """

    declaration: Declaration
    handle: Callable[[Call, Services], Awaitable[Rendered]]
    role: Role = "administrator"
    request: type[Request] | None = None
    needs_people: bool = False
    is_page: bool = False

    @property
    def administrative(self) -> bool:
        """Whether the requests of the call are written to the admin topic."""
        return self.request is not None and self.request.administrative


async def read_body(call: Call, services: Services, declaration: Declaration) -> Values:
    """Return the checked fields of a call's body.

    Raises:
        Refused: the body cannot be read, or a field is refused.
    """
    body = await call.body(typeless_is_json=declaration.typeless_is_json, takes_form=declaration.takes_form)
    content_type = call.request.headers.get("Content-Type", "")
    if declaration.takes_form and is_form(content_type):
        texts = read_form(body, content_type)
        services.metrics.unknown_fields.inc(declaration.unknown(texts))
        return declaration.read_texts(texts)
    sent = read_object(body, call.settings.max_json_values)
    services.metrics.unknown_fields.inc(declaration.unknown(sent))
    return declaration.read(sent)


def read_url(call: Call, services: Services, declaration: Declaration) -> Values:
    """Return the checked fields of a call without a body, which has arrived.

    Raises:
        Refused: a field is refused; Shed: there is no place for the call.
    """
    call.arrived()
    url = call.request.rel_url
    services.metrics.unknown_fields.inc(declaration.unknown(url.query))
    return declaration.read_url(declaration.one_text_each(url.query.items()), url.raw_path)


@asynccontextmanager
async def up_to_date(call: Call, services: Services) -> AsyncIterator[None]:
    """Wait until the people contain every change that was made through this ingress; limit the block to the deadline.

    Raises:
        Refused: 50480: the deadline of the call has passed.
    """
    try:
        async with asyncio.timeout_at(call.wait_until - ANSWER_MARGIN_S):
            if not await services.reached(services.exchange.gallery_version, call.settings.deadline_s):
                raise timed_out()
            yield
    except TimeoutError:
        raise timed_out() from None


def version_header(version: int) -> Headers:
    """Return the header with the gallery version of an answer."""
    return ((GALLERY_VERSION_HEADER, str(version)),)


def request_of(kind: type[R], call: Call, values: Values, **others: Any) -> R:
    """Return a request of a kind whose fields are the values of the same names, and `others`."""
    named = {name: values[name] for name in kind.__struct_fields__ if name in values}
    return kind(**{"request_id": call.request_id, "received_time_s": call.received_time_s, **named, **others})


def compare_times(call: Call, values: Values) -> dict[str, float | str | None]:
    """Return the fields of a request that follow from compare_time, or from the time of arrival where it is absent."""
    seconds, raw = values["compare_time"] or (call.received_time_s, None)
    return {"compare_time_s": seconds, "compare_time_raw": raw}


async def ask(
    call: Call,
    services: Services,
    declaration: Declaration,
    request: Callable[[Call, Values], Request],
    pictures: Sequence[PictureField | BurstField],
    answer: type[A],
) -> tuple[A, Reply]:
    """Send the one request of a call through the log; return its answer of the type `answer`, and the whole reply.

    `request` returns the request without its pictures. The body, the base64 texts and the pictures are released as soon
    as the next form of them exists, because the call waits for its reply much longer than it builds the request.

    Raises:
        Refused: the call is refused, by the ingress or by the processor.
    """
    return await send(call, services, await read_request(call, services, declaration, request, pictures), answer)


async def send(
    call: Call, services: Services, request: Request, answer: type[A], as_of_now: AsOfNow = lambda request: request
) -> tuple[A, Reply]:
    """Send the one request of a call through the log; return its answer of the type `answer`, and the whole reply.

    `as_of_now` returns the request as it is written, at the moment of writing.

    Raises:
        Refused: the call is refused, by the ingress or by the processor.
    """
    reply = await services.exchange.ask(call, request, as_of_now)
    if not isinstance(reply.answer, answer):
        raise TypeError(f"a {type(request).__name__} was answered with {type(reply.answer).__name__}")
    return reply.answer, reply


async def read_request(
    call: Call,
    services: Services,
    declaration: Declaration,
    make: Callable[[Call, Values], Request],
    pictures: Sequence[PictureField | BurstField],
) -> Request:
    """Return the request of a call, with its pictures. `make` returns the request without its pictures.

    Raises:
        Refused: the call is refused.
    """
    values = await read_body(call, services, declaration)
    request = make(call, values)
    sent = [picture for picture in pictures if picture.is_in(values)]
    for picture in sent:
        if picture.is_file_in(values) and not call.may_read_files():
            raise picture.file_refused()
    try:
        async with asyncio.timeout_at(call.wait_until - ANSWER_MARGIN_S):
            fields: dict[str, Any] = {}
            for picture in sent:
                fields |= await picture.fetch(values, services.limits, services.threads)
            return msgspec.structs.replace(request, **fields)
    except TimeoutError:
        raise timed_out() from None
