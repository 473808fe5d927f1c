"""The settings of the processor role."""

from typing import Annotated

import msgspec


class ProcessorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a processor works."""

    workers: Annotated[int, msgspec.Meta(ge=0, le=256)] = 0
    """Matching threads; 0 takes one per core."""
    queued_per_worker: Annotated[int, msgspec.Meta(ge=1, le=64)] = 16
    """Requests fetched ahead for each worker; more stay in the log."""
    commit_wait_ms: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 30
    """How long a finished result waits for those behind it in its partition, so that a backlog shares transactions."""
    gallery_wait_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = 1000
    """How long a request waits for people that its sender has seen enrolled; after it, OVERLOADED."""
    evidence: bool = True
    """Whether each match leaves evidence: the embedding of the probe, the nearest people, the findings."""
    event_source: str = "/picturematch"
    """CloudEvents source of the events: a URI-reference naming this installation."""
