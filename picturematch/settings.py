"""All settings of all roles in one frozen value, from defaults, a TOML file, the environment and the command line.

Later sources win. The file's tables are the sections below. In the environment a section's field is
PICTUREMATCH_SECTION__FIELD (two underscores) and a top-level field PICTUREMATCH_FIELD; a value is read as TOML (lists
are ["a", "b"]) and, where it is none, as text. What is unknown or out of range is refused by name.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import msgspec.inspect
from platformdirs import user_cache_path, user_data_path

from broker.kafka.config import KafkaConfig, KafkaSettings
from broker.port import TopicSpec
from contract.pictures.limits import PictureSettings
from contract.site_settings import OPERATOR_SETTINGS, Configured
from contract.topics import Topics
from engine.policy import Policy
from ingest.settings import IngestSettings
from models.runtimes import ExactRuntime, Runtimes
from processor.settings import ProcessorSettings
from sinks.settings import PushSettings, SinkSettings, SqlSettings

_PREFIX = "PICTUREMATCH_"
_SECTION_SEPARATOR = "__"
_KAFKA = "kafka://"
_STORE_FILE = "events.sqlite"
_STORE_SINK = "store"
# Where msgspec says that it found something wrong.
_PLACE = re.compile(r" - at `\$\.([^`]+)`$")
_EMBEDDED = "embedded"
_MEMBERS_RETENTION_MS = 10 * 60 * 1000
_DAY_MS = 24 * 60 * 60 * 1000
_HISTORY_MARGIN_MS = 2 * 60 * 60 * 1000
_MIB = 1024 * 1024
_GIB = 1024 * _MIB

Milliseconds = Annotated[int, msgspec.Meta(ge=1000)]
Bytes = Annotated[int, msgspec.Meta(ge=_MIB)]


class SettingsError(ValueError):
    """A setting is wrong; the message names it and says what it must be."""


class LogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long the log keeps what. Retention of the requests topic is the retention of faces."""

    topic_prefix: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")] = "picturematch"
    """Tells several installations on the same Kafka apart."""
    request_partitions: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 8
    """Partitions of requests, events, photos and evidence; no more processors can share the work."""
    reply_partitions: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 4
    """Partitions of replies; best one or more per ingress."""
    requests_retention_ms: Milliseconds = 7 * _DAY_MS
    """How long requests, with their pictures, and evidence are kept."""
    requests_retention_bytes: Bytes = 2 * _GIB
    """Per partition."""
    events_retention_ms: Milliseconds = 365 * _DAY_MS
    """How long events are kept."""
    events_retention_bytes: Bytes = 1 * _GIB
    """Per partition."""
    replies_retention_ms: Milliseconds = 10 * 60 * 1000
    """How long replies are kept; an ingress reads them within seconds."""
    dead_letters_retention_ms: Milliseconds = 30 * _DAY_MS
    """How long dead letters, with their pictures, are kept."""
    audit_retention_ms: Milliseconds = 2 * 365 * _DAY_MS
    """How long audit records are kept: who changed what, and from where."""
    people_history_ms: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """How long a record about people is kept that a newer one replaced or deleted; 0: not at all, None: a little longer
    than requests (`history_ms`), so that every request that is left can be replayed against the gallery of then."""
    max_record_bytes: Bytes = 32 * _MIB
    """Larger than the body limit of the ingress, or requests would be refused by the log."""

    @property
    def history_ms(self) -> int:
        """How long a record about people is kept that a newer one replaced or deleted.

        By default that is two hours longer than requests, and at most a fifth longer: the oldest requests are still
        there for some minutes after their time, and clocks may differ by an hour.
        """
        if self.people_history_ms is not None:
            return self.people_history_ms
        return self.requests_retention_ms + min(_HISTORY_MARGIN_MS, self.requests_retention_ms // 5)

    def topic_specs(self, topics: Topics) -> tuple[TopicSpec, ...]:
        """The topics of every log; the events have as many partitions as the requests, since they share their keys."""
        size = self.max_record_bytes
        return (
            TopicSpec(
                topics.requests,
                self.request_partitions,
                self.requests_retention_ms,
                self.requests_retention_bytes,
                max_record_bytes=size,
            ),
            TopicSpec(
                topics.events,
                self.request_partitions,
                self.events_retention_ms,
                self.events_retention_bytes,
                max_record_bytes=size,
            ),
            TopicSpec(topics.replies, self.reply_partitions, self.replies_retention_ms, max_record_bytes=size),
            TopicSpec(
                topics.admin, 1, self.requests_retention_ms, self.requests_retention_bytes, max_record_bytes=size
            ),
            TopicSpec(
                topics.people,
                1,
                compacted=True,
                max_record_bytes=size,
                min_compaction_lag_ms=self.history_ms,
            ),
            TopicSpec(topics.photos, self.request_partitions, compacted=True, max_record_bytes=size),
            TopicSpec(
                topics.evidence,
                self.request_partitions,
                self.requests_retention_ms,
                self.requests_retention_bytes,
                max_record_bytes=size,
            ),
            TopicSpec(topics.configs, 1, compacted=True, max_record_bytes=size),
            # One partition, so that the order of the records is the order of the changes.
            TopicSpec(topics.audit, 1, self.audit_retention_ms, max_record_bytes=size),
            TopicSpec(topics.dead_letters, 1, self.dead_letters_retention_ms, max_record_bytes=2 * size),
        )


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which networks."""

    folder: Path = user_cache_path("picturematch") / "models"
    """Where the networks are kept."""
    manifest: Path | None = None
    """A manifest of one's own, added to the one that comes along."""
    kind: Literal["networks", "stand-in", "stand-in-2"] = "networks"
    """stand-in: no networks, drawn faces only. For tests; it recognises nobody. stand-in-2 has another embedder."""
    runtime: ExactRuntime = "onnxruntime"
    """What runs the networks: onnxruntime, or openvino, which needs pip install 'picturematch[openvino]'."""
    runtimes: Runtimes = Runtimes()

    @property
    def stand_in(self) -> int | None:
        """The release of the stand-in networks; None: networks are used."""
        return {"stand-in": 1, "stand-in-2": 2}.get(self.kind)


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The store of events, which answers who was where and when."""

    enabled: bool = True
    """Whether `serve` keeps events in the store."""
    url: str | None = None
    """URL of a database: sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME. Absent: on the embedded log the file
    events.sqlite in the data folder; on Kafka there is no store."""
    keep_days: Annotated[float, msgspec.Meta(gt=0, le=36_500)] = 365.0
    """How many days the store keeps events."""


class GallerySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a processor searches the gallery; every index decides the same (docs/architecture.md)."""

    index: Literal["auto", "exact", "sketch", "annoy"] = "auto"
    """auto: sketch from 10,000 templates on if faiss is installed, else exact; exact: every face is compared; sketch:
    one bit for each number of an embedding names candidates; annoy: trees do, and are refused where they miss."""
    sketch_sigmas: Annotated[float, msgspec.Meta(ge=3.0, le=12.0)] = 5.0
    """How many standard deviations of its estimate below the threshold a sketch still compares a face exactly: at 5 it
    misses less than 3 in 10 million of the templates that reach the threshold."""
    local_copy: bool = True
    """Whether a processor with at least 10,000 faces keeps a copy of the people in a file, to start quickly from it.
    The file contains embeddings and names."""
    local_copy_folder: Path | None = None
    """Folder of that file, which stays on this machine; each processor needs one of its own. By default the data folder
    of the embedded log; with Kafka there is no copy unless this is set."""


class HealthSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a processor without an ingress tells how it is: /healthz, /readyz and /metrics."""

    host: str = "127.0.0.1"
    """Address to listen on; these calls need no key, so keep it inside."""
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 5556
    """Port to listen on; 0 lets the system choose one."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything an operator can set."""

    broker: Annotated[str, msgspec.Meta(pattern=r"^(embedded|kafka://[^\s/,]+:\d+(,[^\s/,]+:\d+)*)$")] = "embedded"
    """embedded: the log in the data folder; kafka://host:port,host:port: these Kafka brokers."""
    data_folder: Path = user_data_path("picturematch")
    """Folder of the embedded log."""
    ingest: IngestSettings = IngestSettings()
    pictures: PictureSettings = PictureSettings()
    matching: Policy = Policy()
    processor: ProcessorSettings = ProcessorSettings()
    log: LogSettings = LogSettings()
    models: ModelSettings = ModelSettings()
    kafka: KafkaSettings = KafkaSettings()
    gallery: GallerySettings = GallerySettings()
    health: HealthSettings = HealthSettings()
    store: StoreSettings = StoreSettings()
    push: PushSettings = PushSettings()
    sinks: tuple[SinkSettings, ...] = ()
    """The sinks that `serve` runs: one table [[sinks]] each, with its `kind` and its `name`."""

    @property
    def topics(self) -> Topics:
        """The names of the topics."""
        return Topics.of(self.log.topic_prefix)

    @property
    def topic_specs(self) -> tuple[TopicSpec, ...]:
        """How the topics are to be kept."""
        members = TopicSpec(self.topics.members, 1, _MEMBERS_RETENTION_MS)
        return self.log.topic_specs(self.topics) + (() if self.broker == _EMBEDDED else (members,))

    @property
    def local_copy_folder(self) -> Path | None:
        """The folder of the local copy of the people, whether or not one is kept; None: there is no place for one."""
        return self.gallery.local_copy_folder or (self.data_folder if self.broker == _EMBEDDED else None)

    @property
    def store_url(self) -> str | None:
        """The URL of the store of events; None: there is none."""
        if not self.store.enabled or self.store.url is not None or self.broker != _EMBEDDED:
            return self.store.url if self.store.enabled else None
        return f"sqlite:///{self.data_folder.absolute() / _STORE_FILE}"

    @property
    def store_sink(self) -> SqlSettings | None:
        """The sink that fills the store of events; None: there is no store."""
        url = self.store_url
        return None if url is None else SqlSettings(name=_STORE_SINK, url=url, keep_days=self.store.keep_days)

    @property
    def kafka_config(self) -> KafkaConfig | None:
        """The connection to Kafka, or None where the log is the embedded one."""
        if self.broker == _EMBEDDED:
            return None
        return KafkaConfig.of(self.kafka, self.broker.removeprefix(_KAFKA))


def configured(settings: Settings, pinned: frozenset[str]) -> Configured:
    """Return what settings of the site are laid over. `pinned`: the settings that a source has set."""
    return Configured({path: attrgetter(path)(settings) for path in OPERATOR_SETTINGS}, pinned)


_NOT_SETTINGS = {
    "API_KEY",
    "CA_FILE",
    "CONFIG",
    "URL",
}
"""Variables with our prefix that are read elsewhere."""


def load_settings(
    file: Path | None, environment: Mapping[str, str], overrides: Mapping[str, Any] | None = None
) -> Settings:
    """Settings from a TOML file (None: no file), the environment, and overrides by "section.field" (None: not given).

    Raises:
        SettingsError: a setting is unknown or wrong.
    """
    merged: dict[str, Any] = {}
    for source, path, value in _given(file, environment, overrides or {}):
        _put(merged, path, value, source)
    try:
        settings = msgspec.convert(merged, Settings, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{_what_is_wrong(error, merged)}; see docs/settings.md") from error
    if settings.log.max_record_bytes < settings.ingest.max_body_bytes:
        raise SettingsError("log.max_record_bytes must be at least ingest.max_body_bytes, or requests would be lost")
    names = [_STORE_SINK, *(sink.name for sink in settings.sinks)]
    if len(set(names)) < len(names):
        raise SettingsError(
            "two sinks have the same name, or one has the name store, which is taken; each needs a name of its own"
        )
    return settings


def settings_sources(
    file: Path | None, environment: Mapping[str, str], overrides: Mapping[str, Any]
) -> Mapping[str, str]:
    """Where each setting is given that is not its default: "section.field" -> the source, in words.

    Raises:
        SettingsError: the file cannot be read.
    """
    sources: dict[str, str] = {}
    for source, path, value in _given(file, environment, overrides):
        place = ".".join(path)
        for replaced in [name for name in sources if f"{name}.".startswith(f"{place}.")]:
            del sources[replaced]
        sources |= dict.fromkeys(_places(place, value), source)
    return sources


def _given(
    file: Path | None, environment: Mapping[str, str], overrides: Mapping[str, Any]
) -> Iterator[tuple[str, list[str], Any]]:
    """Source, path and value of what is given; a later value, which can be a table, replaces an earlier one."""
    for name, value in (_read_file(file) if file is not None else {}).items():
        yield f"settings file {file}", [name], value
    for name, text in environment.items():
        if name.startswith(_PREFIX) and name.removeprefix(_PREFIX) not in _NOT_SETTINGS:
            path = name.removeprefix(_PREFIX).lower().split(_SECTION_SEPARATOR)
            yield f"environment variable {name}", path, _value(text)
    for name, value in overrides.items():
        if value is not None:
            yield "command line", name.split("."), value


def _places(place: str, value: Any) -> Iterator[str]:
    """The paths of all values that are no tables."""
    if not isinstance(value, dict):
        yield place
        return
    for name, inner in value.items():
        yield from _places(f"{place}.{name}", inner)


def _what_is_wrong(error: msgspec.ValidationError, given: Mapping[str, Any]) -> str:
    place = _PLACE.search(str(error))
    path = place[1].split(".") if place else []
    choices = _choices(path)
    if not choices:
        return f"a setting is wrong: {error}"
    value: Any = given
    for name in path:
        value = value[name]
    return f"the setting {'.'.join(path)} must be one of {', '.join(choices)}, not {value!r}"


def _choices(path: Sequence[str]) -> Sequence[str]:
    """What the setting at `path` can be, where it is one of a few words; else nothing."""
    kind: msgspec.inspect.Type = msgspec.inspect.type_info(Settings)
    for name in path:
        fields = kind.fields if isinstance(kind, msgspec.inspect.StructType) else ()
        kind = next((field.type for field in fields if field.encode_name == name), msgspec.inspect.AnyType())
    if isinstance(kind, msgspec.inspect.UnionType):  # a few words, or not set
        kind = next((one for one in kind.types if isinstance(one, msgspec.inspect.LiteralType)), kind)
    return [str(value) for value in kind.values] if isinstance(kind, msgspec.inspect.LiteralType) else ()


def _read_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"the settings file {file} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"the settings file {file} is not valid TOML: {error}") from error


def _put(tree: dict[str, Any], path: list[str], value: Any, source: str) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            raise SettingsError(f"{source}: {part} is a setting, not a section")
    tree[path[-1]] = value


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _path(kind: type[Any], value: Any) -> Any:
    if kind is Path and isinstance(value, str | Path):
        return Path(value).expanduser()
    raise NotImplementedError(f"no setting is a {kind.__name__}")
