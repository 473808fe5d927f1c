"""The configs topic: the policies and model sets that evidence names by an id, and a daily checkpoint of the gallery.

The topic is compacted, has one partition, and its values are JSON. Keys: policy/ID (the settings of the engine),
model-set/ID (role -> identity of the network), checkpoint/DAY (a UTC date). The ID of a policy or model set is the
beginning of the sha256 of its value, so the same settings have the same ID on every processor, and the record under an
ID never changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec

CHECKPOINT_KEYS = b"checkpoint/"
"""What the keys of checkpoints begin with."""

_ID_DIGITS = 16

_encoder = msgspec.json.Encoder(order="sorted")


@dataclass(frozen=True, slots=True)
class ConfigRecord:
    """A record of the configs topic; evidence refers to a policy or model set by its `id`, the last part of the key."""

    id: str
    key: bytes
    value: bytes


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The gallery at `time` (epoch seconds): its version, and the numbers of people and faces.

    The people topic, read up to `gallery_version`, must contain exactly these numbers of people and faces.
    """

    time: float
    gallery_version: int
    people: int
    faces: int


def policy_key(policy: str) -> bytes:
    """Return the key of the record of a policy, by its id."""
    return _key("policy", policy)


def policy_record(settings: Mapping[str, Any]) -> ConfigRecord:
    """Return the record of a policy: the settings of the engine, as plain values."""
    return _named_by_content("policy", settings)


def model_set_record(identities: Mapping[str, str]) -> ConfigRecord:
    """Return the record of a model set. `identities`: role of a network -> identity of the network."""
    return _named_by_content("model-set", identities)


def checkpoint_record(checkpoint: Checkpoint) -> ConfigRecord:
    """Return the record of a checkpoint, keyed by its UTC date: a later checkpoint of the same date replaces it."""
    day = datetime.fromtimestamp(checkpoint.time, UTC).date().isoformat()
    return ConfigRecord(day, CHECKPOINT_KEYS + day.encode(), _encoder.encode(checkpoint))


def _named_by_content(kind: str, content: Mapping[str, Any]) -> ConfigRecord:
    value = _encoder.encode(content)
    name = sha256(value).hexdigest()[:_ID_DIGITS]
    return ConfigRecord(name, _key(kind, name), value)


def _key(kind: str, name: str) -> bytes:
    return f"{kind}/{name}".encode()
