"""What is known about the evidence of an event when the recording is stopped."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Self

import pytest

from broker.port import Position, Record
from capture.recording.evidence import EvidenceReader
from capture.recording.join import Decided, Pending
from contract.codec import encode
from contract.events import RequestPlace
from contract.evidence import Evidence
from tests.support.records import RECEIVED_S, event_of, match_request

EVIDENCE = Evidence(
    event_id="r1",
    outcome="matched",
    decided_time=RECEIVED_S + 1,
    gallery_version=3,
    policy="p",
    model_set="m",
    embedder="e",
    embedding=b"",
    threshold=0.5,
)
EVENT = Decided(event_of(match_request(1), Position("requests", 0, 0)), 1000)
REQUEST = Pending(match_request(1), RequestPlace(topic="requests", partition=0, offset=0), 1.0, 11.0)


class Slow:
    """An evidence topic whose first poll returns nothing, as that of Kafka may."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records, self.at, self.polls = records, 0, 0

    def reader(self, *_: Any) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def end_offsets(self, topic: str) -> Mapping[int, int]:
        return {0: len(self.records)}

    def positions(self) -> Mapping[int, int]:
        return {0: self.at}

    async def fetch(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        self.polls += 1
        if self.polls == 1:
            return []
        self.at = len(self.records)
        return self.records


@pytest.mark.parametrize(
    ("stopped", "written", "found"),
    [
        (False, True, {EVENT: EVIDENCE}),
        (False, False, {EVENT: None}),
        (True, True, {}),
        (True, False, {EVENT: None}),
    ],
    ids=["found", "not there", "stopped before it was found", "stopped at the end of the topic"],
)
async def test_an_event_is_left_out_only_where_stopping_ended_the_search_for_its_evidence(
    stopped: bool, written: bool, found: dict[Decided, Evidence | None]
) -> None:
    stop = asyncio.Event()
    if stopped:
        stop.set()
    topic: Any = Slow([Record("evidence", 0, 0, 1000, b"r1", encode(EVIDENCE))] if written else [])
    async with EvidenceReader(topic, "evidence", 1, 0.0, stop) as evidence:
        assert await evidence.of([(REQUEST, EVENT)]) == found
