"""The settings of sinks: one class per kind, as the tables [[sinks]] of the settings file have them."""

import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal

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


class SqlSettings(Sink, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="sql"):
    """Events in a database, each once, for questions about who was where and when."""

    url: Annotated[str, Meta(min_length=1)]
    """URL of the database: sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME."""
    keep_days: Annotated[float, Meta(gt=0, le=36_500)] = 365.0
    """How many days the database keeps events."""

    secrets_of: ClassVar[frozenset[str]] = frozenset({"url"})


Topic = Annotated[str, Meta(min_length=1, max_length=200)]


class MqttSettings(ActingSink, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="mqtt"):
    """Publishes each event as a CloudEvent to a topic per device and outcome; at least once, with the event's id."""

    host: Annotated[str, Meta(min_length=1, max_length=255)]
    """Host name or IP address of the MQTT broker."""
    port: Annotated[int, Meta(ge=1, le=65_535)] | None = None
    """TCP port of the broker; absent: 8883 with `tls`, else 1883."""
    prefix: Topic = "picturematch"
    """The first levels of all topics: PREFIX/DEVICE_ID/OUTCOME, PREFIX/DEVICE_ID/image/PICTURE, PREFIX/status."""
    protocol: Literal["5", "3.1.1"] = "5"
    """Version of MQTT; a sink that acts needs 5."""
    client_id: Annotated[str, Meta(pattern=r"^[0-9A-Za-z._-]{1,64}\Z")] = "picturematch"
    """Beginning of the client id; each process adds ten random characters."""
    user: str = ""
    """User name; empty: none."""
    password: str = ""
    """Password; `password_file` keeps it out of the settings file."""
    password_file: Path | None = None
    """File with the password in its first line."""
    tls: bool = False
    """Whether the connection is encrypted and the broker's certificate is checked."""
    ca_file: Path | None = None
    """File of certificates (PEM) by which the broker is checked; absent: those of the system."""
    cert_file: Path | None = None
    """File of the client certificate (PEM)."""
    key_file: Path | None = None
    """File of the private key of the client certificate (PEM, without a pass phrase)."""
    keepalive_s: Annotated[int, Meta(ge=5, le=3600)] = 20
    """Longest silence on the connection in seconds; after 1.5 times it the broker publishes the last will."""
    timeout_s: Seconds = 5.0
    """Longest time of one try, in seconds."""
    pictures: tuple[Literal["face", "spot"], ...] = ()
    """Pictures that are published before the event: `face` (cut out), `spot` (as it was sent); JPEG as a rule."""
    home_assistant: bool = False
    """Whether every device is announced to Home Assistant, as an event, a sensor, and an image where there is one."""
    discovery_prefix: Topic = "homeassistant"
    """The discovery prefix of Home Assistant."""

    secrets_of: ClassVar[frozenset[str]] = frozenset({"password"})

    @property
    def tcp_port(self) -> int:
        """The TCP port of the broker."""
        return self.port or (8883 if self.tls else 1883)


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
    max_clients_per_address: Annotated[int, Meta(ge=1, le=10_000)] = 25
    """Most clients of one address at a time (of IPv6: of its first 64 bits)."""
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


SinkSettings = JsonlSettings | WebhookSettings | MqttSettings | SqlSettings | WebsocketSettings
"""The settings of a sink of any kind."""
