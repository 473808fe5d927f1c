"""Makes the messages of an event for real-time clients: each form once, with each picture read once for all of them."""

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from sinks.context import SinkContext
from sinks.lookups import Lookups
from sinks.outgoing import Outgoing
from sinks.realtime_body import Pictures, Told, names_somebody, stream_chunk, v5_body, v6_body
from sinks.realtime_choice import Form

_log = logging.getLogger(__name__)

T = TypeVar("T")

_AT_A_TIME = 4
"""How many events are read from the log and encoded at a time, since their pictures are in memory meanwhile."""


class Message:
    """A message for any number of clients, which is made while it waits in their queues.

    `waiting`: in how many queues it is. `is_event`: false for an error that a client gets.
    """

    def __init__(self, *, is_event: bool = True) -> None:
        self.waiting = 0
        self.is_event = is_event
        self._made = asyncio.Event()
        self._text: bytes | None = None

    @property
    def size(self) -> int:
        """The bytes of the message in memory."""
        return len(self._text or b"")

    def set(self, text: bytes | None) -> None:
        """Complete the message; None: it could not be made."""
        self._text = text
        self._made.set()

    async def text(self) -> bytes | None:
        """Wait until the message is made, and return it; None: it could not be made."""
        await self._made.wait()
        return self._text


def ready(text: bytes, *, is_event: bool = True) -> Message:
    """Return a message that is made already."""
    message = Message(is_event=is_event)
    message.set(text)
    return message


class Messages:
    """Makes messages. `made`: called with each message that a task has completed."""

    def __init__(self, context: SinkContext, made: Callable[[Message], None]) -> None:
        self._context, self._made = context, made
        self._lookups = Lookups(context)
        self._room = asyncio.Semaphore(_AT_A_TIME)
        self._tasks: set[asyncio.Task[None]] = set()

    def of(self, event: Outgoing) -> "EventMessages":
        """Return the messages of an event, none of which is made yet."""
        return EventMessages(event, self)

    def begin(self, event: Outgoing, forms: dict[Form, Message]) -> None:
        """Make the messages of an event in a task."""
        task = asyncio.create_task(self._make(event, forms))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop making messages."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _make(self, event: Outgoing, forms: dict[Form, Message]) -> None:
        left = dict(forms)
        try:
            async with self._room:
                forms = {form: message for form, message in forms.items() if message.waiting}  # clients may have gone
                if not forms:
                    return
                told = await self._told(event, forms)
                for form in forms:
                    text = await asyncio.to_thread(self._body, event, form, told)
                    message = left.pop(form)
                    message.set(text)
                    self._made(message)
        except Exception as failure:  # noqa: BLE001 - a fault of one event must stop neither the sink nor a client
            _log.error("event %s could not be sent to real-time clients: %s", event.id, type(failure).__name__)
        finally:
            for message in left.values():
                message.set(None)

    async def _told(self, event: Outgoing, forms: dict[Form, Message]) -> Told:
        """Read what the forms need together."""
        named = event.event.identity_id if names_somebody(event.event) else ""
        with_face = any(form.face for form in forms)
        with_photo = bool(named) and any(form.photo for form in forms)
        (face, spot), photo, info = await asyncio.gather(
            self._faces(event) if with_face else _nothing((None, None)),
            self._lookups.photo(named) if with_photo else _nothing(None),
            self._lookups.info(named) if named else _nothing(None),
        )
        person = self._context.people.person(named) if named else None
        return Told(person, info or {}, Pictures(face, spot, photo))

    async def _faces(self, event: Outgoing) -> tuple[bytes | None, bytes | None]:
        spot, _ = await self._lookups.pictures(event.event)
        return await self._lookups.face(event.event, spot), spot

    def _body(self, event: Outgoing, form: Form, told: Told) -> bytes:
        found, site = told.pictures, self._context.people.site
        pictures = Pictures(
            found.face if form.face else None, found.spot if form.face else None, found.photo if form.photo else None
        )
        told = Told(told.person, told.info, pictures)
        if form.shape == "v6":
            return v6_body(event.event, told, site)
        return v5_body(event.event, told, site, with_face=form.face)


class EventMessages:
    """The messages of one event: `of` for each client, and then `begin` once."""

    def __init__(self, event: Outgoing, messages: Messages) -> None:
        self._event, self._messages = event, messages
        self._forms: dict[Form, Message] = {}

    def of(self, form: Form) -> Message:
        """Return the message in a form."""
        if form not in self._forms:
            stream = form.shape == "stream"
            self._forms[form] = ready(chunk_of(self._event)) if stream else Message()
        return self._forms[form]

    def begin(self) -> None:
        """Begin to make the messages that are not made yet."""
        to_make = {form: message for form, message in self._forms.items() if form.shape != "stream"}
        if to_make:
            self._messages.begin(self._event, to_make)


def chunk_of(event: Outgoing) -> bytes:
    """Return an event as a Server-Sent Event."""
    return stream_chunk(event.id, event.record.value or b"{}")


async def _nothing(value: T) -> T:
    return value
