"""The metrics of the server. Labels have fixed lists of values, because labels from input could exhaust the memory."""

from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ingest.keys import Reason
from ingest.line import ShedReason

# The steps are smaller near the deadline (3 s) and near the goal for the added latency (3 ms).
_LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 5, 10)


class Metrics:
    """The server's metrics in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.requests = Counter(
            "picturematch_http_requests", "Answers by route and code.", ("route", "code"), registry=registry
        )
        self.latency_s = Histogram(
            "picturematch_http_request_seconds",
            "Seconds from the head of a request to its answer.",
            ("route",),
            registry=registry,
            buckets=_LATENCY_BUCKETS_S,
        )
        self.in_flight = Gauge("picturematch_http_in_flight", "API calls in flight.", registry=registry)
        self.reserved_bytes = Gauge(
            "picturematch_http_held_bytes", "Bytes of bodies and answers in memory.", registry=registry
        )
        self.connections = Gauge("picturematch_http_connections", "Open connections.", registry=registry)
        self.shed = Counter(
            "picturematch_http_shed",
            "Requests that were shed and can be sent again: wait (the answer would be late), turn (shed in favour of "
            "another peer), late (the turn was not reached in time), in_flight, memory, connections, log, processor "
            "(no processor answers), people (a record of the people topic cannot be read), draining.",
            ("reason",),
            registry=registry,
        )
        for reason in get_args(ShedReason):
            self.shed.labels(reason)  # exported as 0, as Prometheus needs a first value
        self.waiting = Gauge(
            "picturematch_http_waiting", "Calls that wait in a line for their turn.", registry=registry
        )
        self.in_log = Gauge("picturematch_http_in_log", "Calls whose requests are in the log.", registry=registry)
        self.log_limit = Gauge(
            "picturematch_http_log_limit",
            "Calls whose requests may be in the log at a time, as measured.",
            registry=registry,
        )
        self.expected_s = Gauge(
            "picturematch_http_expected_seconds",
            "Seconds within which the answer to one more call is expected.",
            registry=registry,
        )
        self.keys_refused = Counter(
            "picturematch_http_keys_refused",
            "API keys that were refused: wrong, unjudged (too many wrong keys from their address), weak_role (the role "
            "of the key may not make the call), plain_http (sent where others can read it), in_url, starting (no key "
            "was known yet).",
            ("reason",),
            registry=registry,
        )
        for refused in get_args(Reason):
            self.keys_refused.labels(refused)
        self.unknown_fields = Counter(
            "picturematch_http_unknown_fields",
            "Fields of request bodies that the call does not declare.",
            registry=registry,
        )
        self.replies = Counter(
            "picturematch_replies",
            "Replies read: delivered, late (no call waits any more), foreign (to another instance), undecodable.",
            ("kind",),
            registry=registry,
        )
        self.reply_reader_errors = Counter(
            "picturematch_reply_reader_errors", "Failures to read the replies topic.", registry=registry
        )
