"""The configs topic: what events and evidence name by an id, and a daily checkpoint of the gallery.

Compacted, one partition, JSON. Keys: policy/ID (the settings of the engine), model-set/ID (role -> identity of the
network), checkpoint/DAY (a UTC date). An id is the beginning of the sha256 of the value, so the same settings have the
same id on every processor, and a record never changes.
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
    """A record of the configs topic; `id` is the part of the key that others name."""

    id: str
    key: bytes
    value: bytes


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """How far the people topic was at that time (epoch seconds), and what its fold came to.

    Who reads the people topic up to `gallery_version` must find as many people and faces.
    """

    time: float
    gallery_version: int
    people: int
    faces: int


def policy_record(settings: Mapping[str, Any]) -> ConfigRecord:
    """The settings of the engine, as plain values."""
    return _named_by_content("policy", settings)


def model_set_record(identities: Mapping[str, str]) -> ConfigRecord:
    """The networks: role -> identity."""
    return _named_by_content("model-set", identities)


def checkpoint_record(checkpoint: Checkpoint) -> ConfigRecord:
    """The checkpoint of its day; a later one of the same day replaces it."""
    day = datetime.fromtimestamp(checkpoint.time, UTC).date().isoformat()
    return ConfigRecord(day, CHECKPOINT_KEYS + day.encode(), _encoder.encode(checkpoint))


def _named_by_content(kind: str, content: Mapping[str, Any]) -> ConfigRecord:
    value = _encoder.encode(content)
    name = sha256(value).hexdigest()[:_ID_DIGITS]
    return ConfigRecord(name, f"{kind}/{name}".encode(), value)
