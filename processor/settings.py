"""The settings of the processor role."""

from typing import Annotated

import msgspec


class ProcessorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of a processor."""

    workers: Annotated[int, msgspec.Meta(ge=0, le=256)] = 0
    """The number of matching threads; 0: one per core."""
    queued_per_worker: Annotated[int, msgspec.Meta(ge=1, le=64)] = 32
    """The number of requests that are fetched ahead for each matching thread; the others stay in the log."""
    commit_wait_ms: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 30
    """The usual wait of a finished request for later ones of its partition, so that several share a transaction; longer
    for a request that has taken long (processor.commits.shared_wait_s). 0: none."""
    gallery_wait_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = 1000
    """The longest wait of a request for people enrolled before it; after that the answer is OVERLOADED."""
    evidence: bool = True
    """Whether each match leaves evidence: the embedding of the probe, the nearest people, the findings."""
    event_source: str = "/picturematch"
    """The CloudEvents source of the events: a URI-reference that names this installation."""
