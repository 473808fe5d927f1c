"""The evidence of events is found in every partition of its topic, however many are asked for at once."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from broker.embedded import open_embedded
from broker.port import NewRecord, Position, TopicSpec
from capture.recording.evidence import EvidenceReader
from capture.recording.join import Decided, Pending
from contract.codec import encode
from contract.events import RequestPlace
from contract.evidence import Evidence
from contract.requests import MatchRequest
from tests.support.records import TOPICS, event_of, match_request

PARTITIONS = 4
MADE_S = time.time() - 86_400


def evidence(request: MatchRequest, decided_s: float) -> Evidence:
    return Evidence(
        event_id=request.request_id,
        outcome="matched",
        decided_time=decided_s,
        gallery_version=3,
        policy="p",
        model_set="m",
        embedder="e",
        embedding=b"\0\0",
        threshold=0.5,
    )


def pending_and_decided(
    request: MatchRequest, place: Position, decided_s: float, written_s: float = MADE_S
) -> tuple[Pending, Decided]:
    at = RequestPlace(topic=place.topic, partition=place.partition, offset=place.offset)
    event = event_of(request, place, processed_time=decided_s)
    return Pending(request, at, written_s, written_s + 10), Decided(event, int(written_s * 1000))


@asynccontextmanager
async def evidence_log(folder: Path, records: Sequence[tuple[str, bytes]]) -> AsyncIterator[EvidenceReader]:
    async with open_embedded(folder, role="owner", clock_ms=lambda: int(MADE_S * 1000)) as log:
        await log.ensure_topics([TopicSpec(TOPICS.evidence, PARTITIONS)])
        places = await log.append([NewRecord(TOPICS.evidence, key.encode(), value) for key, value in records])
        if len(records) > 10:
            assert {place.partition for place in places} == set(range(PARTITIONS))
        async with EvidenceReader(log, TOPICS.evidence, PARTITIONS, MADE_S - 60, asyncio.Event()) as reader:
            yield reader


async def test_the_first_events_of_all_partitions_have_their_evidence(tmp_path: Path) -> None:
    """The first question about a day that is over comes from all partitions at once."""
    requests = [match_request(number) for number in range(32)]
    records = [(one.request_id, encode(evidence(one, MADE_S))) for one in requests]
    asked = [pending_and_decided(one, Position("requests", 0, 0), MADE_S) for one in requests]
    async with evidence_log(tmp_path, records) as reader:
        found = await reader.of(asked)
    assert [found[decided] for _, decided in asked] == [evidence(one, MADE_S) for one in requests]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_each_event_of_a_request_that_is_in_the_log_twice_has_its_own_evidence(
    tmp_path: Path, order: Sequence[int]
) -> None:
    """Two lanes decide the two, and the second decision may come before the first."""
    request, times = match_request(1), (MADE_S, MADE_S + 5)
    records = [(request.request_id, encode(evidence(request, times[number]))) for number in order]
    asked = [pending_and_decided(request, Position("requests", 0, n), times[n]) for n in (0, 1)]
    async with evidence_log(tmp_path, records) as reader:
        found = await reader.of(asked)
        assert [found[decided] for _, decided in asked] == [evidence(request, time_s) for time_s in times]
        assert reader.kept == 0
    async with evidence_log(tmp_path / "apart", records) as reader:
        for one, time_s in zip(asked, times, strict=True):
            assert list((await reader.of([one])).values()) == [evidence(request, time_s)]


async def test_evidence_of_another_decision_of_the_request_is_not_taken(tmp_path: Path) -> None:
    request = match_request(1)
    asked = pending_and_decided(request, Position("requests", 0, 0), MADE_S + 1)
    async with evidence_log(tmp_path, [(request.request_id, encode(evidence(request, MADE_S)))]) as reader:
        assert await reader.of([asked]) == {asked[1]: None}


async def test_damaged_evidence_is_none(tmp_path: Path) -> None:
    asked = pending_and_decided(match_request(1), Position("requests", 0, 0), MADE_S)
    async with evidence_log(tmp_path, [("r1", b"\xc1")]) as reader:
        assert await reader.of([asked]) == {asked[1]: None}
