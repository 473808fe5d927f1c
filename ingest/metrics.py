"""What the server counts. Labels come from fixed lists only: a label made from input would be an attack on memory."""

from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ingest.line import ShedReason

# Finer where the deadline (3 s) and the aim for the added latency (3 ms) lie.
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
            "From the head of a request to its answer.",
            ("route",),
            registry=registry,
            buckets=_LATENCY_BUCKETS_S,
        )
        self.in_flight = Gauge("picturematch_http_in_flight", "API calls being served.", registry=registry)
        self.held_bytes = Gauge(
            "picturematch_http_held_bytes", "Bytes of bodies and answers being held.", registry=registry
        )
        self.connections = Gauge("picturematch_http_connections", "Open connections.", registry=registry)
        self.shed = Counter(
            "picturematch_http_shed",
            "Requests refused that can be sent again: wait (the answer is expected too late), turn (made way for "
            "another peer), late (its turn did not come in time), in_flight, memory, connections, log, processor "
            "(nobody processes requests), people (a record of them cannot be read), draining.",
            ("reason",),
            registry=registry,
        )
        for reason in get_args(ShedReason):
            self.shed.labels(reason)  # shown as 0 from the start: an increase from nothing is none to Prometheus
        self.waiting = Gauge("picturematch_http_waiting", "Calls that wait for their turn.", registry=registry)
        self.in_log = Gauge("picturematch_http_in_log", "Calls whose requests are in the log.", registry=registry)
        self.log_limit = Gauge(
            "picturematch_http_log_limit",
            "Most calls in the log at a time, as learnt.",
            registry=registry,
        )
        self.expected_s = Gauge(
            "picturematch_http_expected_seconds",
            "What the answer to one more call is expected to take at most.",
            registry=registry,
        )
        self.keys_refused = Counter(
            "picturematch_http_keys_refused",
            "API keys that let nobody in: wrong, or unjudged because too many wrong ones came from their address.",
            ("reason",),
            registry=registry,
        )
        for judged in ("wrong", "unjudged"):
            self.keys_refused.labels(judged)
        self.unknown_fields = Counter(
            "picturematch_http_unknown_fields", "Fields of request bodies that no rule knows.", registry=registry
        )
        self.replies = Counter(
            "picturematch_replies",
            "Replies read: delivered, late (nobody waits any more), foreign (another instance's), undecodable.",
            ("kind",),
            registry=registry,
        )
        self.reply_reader_errors = Counter(
            "picturematch_reply_reader_errors", "Failures to read the replies topic.", registry=registry
        )
