"""An event as other systems receive it: in the JSON event format of CloudEvents 1.0. Pure.

Source: CloudEvents 1.0.2, JSON event format.
"""

from collections.abc import Mapping

import orjson

from sinks.outgoing import Outgoing

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
"""The media type of `cloud_event`."""

_NAMES = ("specversion", "id", "source", "type", "time")


def attributes(event: Outgoing) -> dict[str, str]:
    """Return the attributes of an event's record, name -> value, with those of W3C Trace Context."""
    return {name: text for name in _NAMES if (text := event.header(f"ce_{name}"))} | event.trace


def cloud_event(event: Outgoing, extensions: Mapping[str, str] | None = None) -> bytes:
    """Return an event as a CloudEvent: the attributes of the record, extension attributes, and the event as `data`."""
    data = orjson.Fragment(event.record.value or b"null")
    head = {**attributes(event), **(extensions or {})}
    return orjson.dumps({**head, "datacontenttype": "application/json", "data": data})
