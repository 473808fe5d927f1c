"""The headers of a record of the events topic: a CloudEvent in Kafka's binary content mode.

CloudEvents 1.0.2 and its Kafka protocol binding: the attributes are `ce_` headers of the record, the JSON is its value.
The trace context of the HTTP call is there twice, as CloudEvents' extension Distributed Tracing says: `traceparent` is
for the tracing tools of whoever carries the record on, which may replace it at each step, and `ce_traceparent` always
names the call that began it.
"""

from datetime import UTC, datetime

from contract.events import Event
from contract.trace import Trace

ATTRIBUTE = "ce_"
"""The beginning of the name of a header that contains an attribute of CloudEvents."""

PERSON_EVENTS = "picturematch.person.v1"
"""The CloudEvents type of events about one person's enrolment, deletion and erasure."""

_FIRST_EXPRESSIBLE_S, _LAST_EXPRESSIBLE_S = -62_135_596_800.0, 253_402_300_799.0
"""The first second of the year 1 and the last one of the year 9999: RFC 3339 expresses no other times."""


def is_expressible(time_s: float) -> bool:
    """Return whether RFC 3339 can express a time (epoch seconds)."""
    return _FIRST_EXPRESSIBLE_S <= time_s <= _LAST_EXPRESSIBLE_S


def cloud_event_headers(
    event: Event, event_type: str, source: str, trace: Trace | None = None
) -> tuple[tuple[str, bytes], ...]:
    """Return the record headers of an event.

    Args:
        event: the event.
        event_type: its CloudEvents type.
        source: the URI-reference of the installation.
        trace: the trace context of the call; None: the call had none.
    """
    occurred_s = min(max(event.compare_time, _FIRST_EXPRESSIBLE_S), _LAST_EXPRESSIBLE_S)
    occurred = datetime.fromtimestamp(occurred_s, UTC)
    attributes = {
        "specversion": "1.0",
        "id": event.id,
        "source": source,
        "type": event_type,
        "time": occurred.isoformat().replace("+00:00", "Z"),
    }
    context = () if trace is None else trace.headers
    return (
        *((f"{ATTRIBUTE}{name}", value.encode()) for name, value in attributes.items()),
        ("content-type", b"application/json"),
        *((f"{ATTRIBUTE}{name}", value) for name, value in context),
        *context,
    )
