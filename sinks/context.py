"""What a sink gets from the process that runs it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from broker.port import Broker
from contract.findings import FaceBox
from contract.people.records import PersonRecord, PhotoReference
from contract.people.site import Site
from contract.topics import Topics
from sinks.letters import Letters
from sinks.meter import SinkMetrics

if TYPE_CHECKING:
    from sinks.listening import Listening  # a command that only reads the log must not wait for the HTTP library

Crop = Callable[[bytes, FaceBox], bytes | None]
"""A function of a picture's bytes and a face's box that returns a JPEG of the face; None: the picture cannot be read.
It takes milliseconds of a core, so it is called in a thread."""


class PeopleView(Protocol):
    """The enrolled people and the site; contract.people.directory.Directory is an implementation."""

    @property
    def site(self) -> Site:
        """The groups, permissions, devices, settings and API keys."""
        ...

    def person(self, identity_id: str) -> PersonRecord | None:
        """Return the person with an id; None where nobody with that id is enrolled."""
        ...

    def photo(self, identity_id: str, number: int) -> PhotoReference | None:
        """Return the reference to the photo of a face; None where the face was enrolled without one."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkContext:
    """What a sink gets from the process that runs it.

    Attributes:
        broker: the open log.
        topics: the names of the topics.
        people: the enrolled people and the site, which follow the log.
        crop: cuts a face out of a picture.
        metrics: the metrics of the process's sinks.
        clock: returns epoch seconds.
        stop: the event that ends the sink.
        events_retention_ms: how long the log keeps events.
        idle_exit_s: the seconds without events after which the sink ends; None: never.
        listening: opens ports for the sink's own clients; None: the process has none for sinks.
    """

    broker: Broker
    topics: Topics
    people: PeopleView
    crop: Crop
    metrics: SinkMetrics
    clock: Callable[[], float]
    stop: asyncio.Event
    events_retention_ms: int | None
    idle_exit_s: float | None = None
    listening: "Listening | None" = None

    def letters(self, sink: str) -> Letters:
        """Return the dead letters of a sink."""
        return Letters(self.topics.dead_letters, sink)

    def with_stop(self, stop: asyncio.Event) -> "SinkContext":
        """Return this context with another event that ends the sink."""
        return replace(self, stop=stop)
