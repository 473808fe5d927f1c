"""Metrics of the embedded log: damage of its file, and doubts about its clock, that need an operator."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge

from broker.embedded import Condition


def watch_log(registry: CollectorRegistry, condition: Callable[[], Condition]) -> None:
    """Register metrics that report the log's condition at the time of each query."""

    def gauge(name: str, meaning: str, value: Callable[[], float]) -> None:
        Gauge(f"picturematch_log_{name}", meaning, registry=registry).set_function(value)

    gauge("unavailable", "1 while the embedded log cannot be written.", lambda: condition().trouble is not None)
    gauge("damaged_records", "Damaged records that were read since the start.", lambda: condition().damaged_records)
    gauge("lost_frames", "Frames of the WAL that were dropped at the start.", lambda: condition().lost_frames)
    gauge(
        "lost_transactions",
        "The most transactions that may have been dropped with these frames.",
        lambda: condition().lost_transactions,
    )
    gauge(
        "sweep_suspended",
        "1 while no record is removed for its age, because the system's clock is in doubt.",
        lambda: condition().clock_doubt is not None,
    )
