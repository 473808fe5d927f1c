"""The settings of sinks: one class per kind, as the tables [[sinks]] of the settings file have them."""

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


class Sink(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """What every sink has. `secrets_of`: the names of the fields that are never shown."""

    name: Name
    """Name of the sink: lower-case letters, digits and hyphens. It names the consumer group `sink-NAME`."""
    wanted: Wanted = Wanted()
    """The events that the sink passes on: `kinds`, `outcomes`, `devices` (lists; empty: all), `repeats`, `replays`."""
    from_now: bool = True
    """Whether a new sink begins with the newest event; false: with the first event that the log still has."""

    secrets_of: ClassVar[frozenset[str]] = frozenset()

    @property
    def group(self) -> str:
        """The consumer group of the sink."""
        return f"sink-{self.name}"


class ActingSink(Sink, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """What sinks have that can open a door."""

    acts: bool = False
    """Whether the receiver opens a door: it then gets matched people only, at most once, and only within moments."""
    acting: Acting = Acting()
    """When a receiver that acts gets an event: `valid_s`, `margin`, `liveness`."""
    retrying: Retrying = Retrying()
    """When a failed delivery is tried again: `max_tries`, `first_wait_s`, `longest_wait_s`."""


class JsonlSettings(Sink, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="jsonl"):
    """Lines of JSON in rotating files; each event once."""

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


class PushSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How events are uploaded to the receivers that the site has set with HistoryEventUrl; the table [push]."""

    timeout_s: Seconds = 10.0
    """Longest time of one upload of an event, in seconds."""
    ca_file: Path | None = None
    """File of certificates (PEM) by which https receivers are checked; absent: those of the system."""
    retrying: Retrying = Retrying()
    """When a failed upload is tried again."""

    @property
    def name(self) -> str:
        """The common name of all push sinks."""
        return "push"


SinkSettings = JsonlSettings | WebhookSettings
"""The settings of a sink of any kind."""
