"""The evidence of events is found in every partition of its topic, however many are asked for at once."""

import asyncio
import time
from pathlib import Path

from broker.embedded import open_embedded
from broker.port import NewRecord, Position, TopicSpec
from capture.recording.evidence import EvidenceReader
from capture.recording.join import Decided
from contract.codec import encode
from contract.evidence import Evidence
from tests.support.records import TOPICS, event_of, match_request

PARTITIONS = 4
MADE_S = time.time() - 86_400


def evidence(event_id: str) -> Evidence:
    return Evidence(
        event_id=event_id,
        outcome="matched",
        decided_time=MADE_S,
        gallery_version=3,
        policy="p",
        model_set="m",
        embedder="e",
        embedding=b"\0\0",
        threshold=0.5,
    )


async def test_the_first_events_of_all_partitions_have_their_evidence(tmp_path: Path) -> None:
    """The first question about a day that is over comes from all partitions at once."""
    requests = [match_request(number) for number in range(32)]
    async with open_embedded(tmp_path, role="owner", clock_ms=lambda: int(MADE_S * 1000)) as log:
        await log.ensure_topics([TopicSpec(TOPICS.evidence, PARTITIONS)])
        records = [(one.request_id, encode(evidence(one.request_id))) for one in requests]
        places = await log.append([NewRecord(TOPICS.evidence, key.encode(), value) for key, value in records])
        assert {place.partition for place in places} == set(range(PARTITIONS))
        reader = EvidenceReader(
            log, TOPICS.evidence, PARTITIONS, MADE_S - 60, time.time, asyncio.Event(), patient=False
        )
        decided = [Decided(event_of(one, Position("requests", 0, 0)), int(MADE_S * 1000)) for one in requests]
        async with reader:
            found = await reader.of(decided)
    assert {name for name, one in found.items() if one is not None} == {one.request_id for one in requests}
