"""The metrics of a processor (Prometheus)."""

from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from broker.port import Skip, Skipped
from contract.findings import LeftOut
from engine.calls import CALLS
from processor.outputs import Emission

_STAGE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class ProcessorMetrics:
    """The metrics of one processor in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter(
            "picturematch_events", "Events committed, by kind and outcome.", ("kind", "outcome"), registry=registry
        )
        self._replayed = Counter(
            "picturematch_replayed_events",
            "Events committed of requests that replay earlier ones (X-Replay-Of), which are counted nowhere else, by"
            " kind and outcome.",
            ("kind", "outcome"),
            registry=registry,
        )
        for call in CALLS:
            for outcome in call.outcomes:  # shown as 0: an increase from nothing is none to Prometheus
                self._events.labels(call.kind, outcome)
                self._replayed.labels(call.kind, outcome)
        self._answers_only = Counter(
            "picturematch_answers_without_event",
            "Comparisons and quality assessments that were answered and left no event, by kind and outcome.",
            ("kind", "outcome"),
            registry=registry,
        )
        self._pictures = Counter(
            "picturematch_passage_pictures",
            "Pictures of matches with several, by result: used, or why the picture was left out.",
            ("result",),
            registry=registry,
        )
        for result in ("used", *get_args(LeftOut)):
            self._pictures.labels(result)
        self._stages = Histogram(
            "picturematch_stage_seconds",
            "Time spent in each stage of a decision.",
            ("stage",),
            buckets=_STAGE_BUCKETS_S,
            registry=registry,
        )
        self._commits_failed = Counter(
            "picturematch_commits_failed", "Transactions that were aborted and tried again.", registry=registry
        )
        self._skipped = Counter(
            "picturematch_requests_skipped",
            "Requests that the group skipped: removed (by retention, before they were decided), worked_on (decided;"
            " the group's offset was lost), other_log (of a topic that was created anew or lost records: older than the"
            " group's last commit, or decided).",
            ("reason",),
            registry=registry,
        )
        for reason in Skip:
            self._skipped.labels(reason.value)  # the series exist from the start, with the value 0
        self._replies_left_out = Counter(
            "picturematch_replies_left_out",
            "Replies that were not written, because the replies topic does not have their partition any more.",
            registry=registry,
        )
        self.outstanding = Gauge(
            "picturematch_requests_outstanding", "Requests fetched and not yet committed.", registry=registry
        )
        self.people = Gauge("picturematch_people", "People enrolled.", registry=registry)
        self.foreign_faces = Gauge(
            "picturematch_foreign_faces",
            "Faces that are not searched because all their embeddings are of other embedders; run people reembed.",
            registry=registry,
        )

    def committed(self, emission: Emission) -> None:
        """Count a request whose records are durable."""
        events = self._replayed if emission.is_replay else self._events
        (events if emission.kept else self._answers_only).labels(emission.kind, emission.outcome).inc()
        if emission.mute:
            self._replies_left_out.inc()
        for result in emission.pictures:
            self._pictures.labels(result).inc()
        for stage, spent_ms in emission.timings_ms.items():
            self._stages.labels(stage).observe(spent_ms / 1000.0)

    def skipped(self, skipped: Skipped) -> None:
        """Count requests that the group skipped."""
        self._skipped.labels(skipped.reason.value).inc(skipped.count)

    def commit_failed(self) -> None:
        """Count a transaction that was aborted."""
        self._commits_failed.inc()
