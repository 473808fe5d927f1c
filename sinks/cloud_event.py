"""An event as other systems receive it: in the JSON event format of CloudEvents 1.0. Pure.

Source: CloudEvents 1.0.2, JSON event format.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

import orjson

from sinks.outgoing import Outgoing

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
"""The media type of `cloud_event`."""

_SOURCE = "/picturematch"
"""The source of an event whose record names none."""
_NAMES = ("specversion", "id", "source", "type", "time")


def valid_until(until_s: float) -> dict[str, str]:
    """Return the extension attribute that says until when (epoch seconds) a receiver that acts may act."""
    return {"validuntil": datetime.fromtimestamp(until_s, UTC).isoformat(timespec="milliseconds")}


def attributes(event: Outgoing) -> dict[str, str]:
    """Return the attributes of an event's record, name -> value, with those of W3C Trace Context.

    The required attributes are always there: where the record has none, as that of an erasure by version 0.1.0, they
    follow from the event.
    """
    named = {name: text for name in _NAMES if (text := event.header(f"ce_{name}"))}
    return {"specversion": "1.0", "id": event.id, "source": _SOURCE, "type": event.type} | named | event.trace


def cloud_event(event: Outgoing, extensions: Mapping[str, str] | None = None) -> bytes:
    """Return an event as a CloudEvent: the attributes of the record, extension attributes, and the event as `data`."""
    data = orjson.Fragment(event.record.value or b"null")
    head = {**attributes(event), **(extensions or {})}
    return orjson.dumps({**head, "datacontenttype": "application/json", "data": data})
