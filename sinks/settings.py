"""The settings of sinks: one class per kind, as the tables [[sinks]] of the settings file have them."""

import re
from pathlib import Path
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from sinks.acting import Acting
from sinks.retrying import Retrying
from sinks.wanted import Wanted

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
HttpUrl = Annotated[str, Meta(pattern=r"^https?://[^\s/@?#]+([/?][^\s#]*)?$", max_length=2048)]
Seconds = Annotated[float, Meta(gt=0, le=600)]
_ORIGIN = re.compile(r"(?i:https?)://[^\s/@?#]+")


class Sink(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """What every sink has. `secrets_of`: the names of the fields that are never shown."""

    name: Name
    """Name of the sink: lower-case letters, digits and hyphens. It names the consumer group `sink-NAME`."""

    secrets_of: ClassVar[frozenset[str]] = frozenset()

    @property
    def group(self) -> str:
        """The consumer group of the sink."""
        return f"sink-{self.name}"


class ChoosingSink(Sink, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """What sinks have that pass on chosen events."""

    wanted: Wanted = Wanted()
    """The events that the sink passes on: `kinds`, `outcomes`, `devices` (lists; empty: all), `repeats`, `replays`."""
    from_now: bool = True
    """Whether a new sink begins with the newest event; false: with the first event that the log still has."""


class ActingSink(ChoosingSink, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """What sinks have that can open a door."""

    acts: bool = False
    """Whether the receiver opens a door: it then gets matched people only, at most once, and only within moments."""
    acting: Acting = Acting()
    """When a receiver that acts gets an event: `valid_s`, `margin`, `liveness`."""
    retrying: Retrying = Retrying()
    """When a failed delivery is tried again: `max_tries`, `first_wait_s`, `longest_wait_s`."""


class JsonlSettings(Sink, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="jsonl"):
    """Every record of the topic as a line of JSON in rotating files, each once, from the first record of the log on."""

    out: Path
    """Folder of the files."""
    max_bytes: Annotated[int, Meta(ge=1)] = 64 * 1024 * 1024
    """Largest size of a file in bytes."""
    max_age_s: Annotated[float, Meta(gt=0)] = 86_400.0
    """Longest age of a file in seconds."""


class WebhookSettings(ActingSink, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="webhook"):
    """Posts each event as a CloudEvent, signed as Standard Webhooks describes; at least once, with the event's id."""

    url: HttpUrl
    """URL of the receiver, http:// or https://."""
    secrets: tuple[Annotated[str, Meta(min_length=8)], ...] = ()
    """Secrets of the signatures, in base64, with or without the prefix whsec_; several while one is replaced; empty:
    requests are not signed."""
    timeout_s: Seconds = 5.0
    """Longest time of one try, in seconds."""
    ca_file: Path | None = None
    """File of certificates (PEM) by which an https receiver is checked; absent: those of the system."""

    secrets_of: ClassVar[frozenset[str]] = frozenset({"secrets"})


class WebsocketSettings(Sink, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="websocket"):
    """Sends events to WebSocket clients and, at /events, to web pages; what happens while they are connected."""

    port: Annotated[int, Meta(ge=0, le=65535)] = 5679
    """Port to listen on, at the address `ingest.host`; 0 lets the system choose one."""
    wanted: Wanted = Wanted()
    """The events that clients can get: `kinds`, `outcomes`, `devices` (lists; empty: all), `repeats`, `replays`."""
    origins: tuple[str, ...] = ()
    """Origins of the web pages that may listen, such as https://desk.example; pages of other origins may not."""
    max_clients: Annotated[int, Meta(ge=1, le=10_000)] = 100
    """Most clients at a time."""
    max_held_bytes: Annotated[int, Meta(ge=1024 * 1024)] = 64 * 1024 * 1024
    """Most bytes of messages that wait for clients; beyond, the client that is furthest behind is disconnected."""
    ping_s: Annotated[float, Meta(ge=1, le=600)] = 15.0
    """Seconds of silence after which a client is pinged; a WebSocket client must answer within half of that time."""

    def __post_init__(self) -> None:
        """Check what types alone cannot check.

        Raises:
            ValueError: a text is no origin.
        """
        for origin in self.origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"origins must be origins of web pages such as https://desk.example, without a path: {origin!r}"
                    " is none"
                )


SinkSettings = JsonlSettings | WebhookSettings | WebsocketSettings
"""The settings of a sink of any kind."""
