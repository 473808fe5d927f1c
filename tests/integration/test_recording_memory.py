"""However long the log, a recording keeps few events and little evidence in memory, whatever it leaves out."""

from pathlib import Path

import numpy as np
import pytest

from broker.embedded import open_embedded
from broker.port import NewRecord
from capture.recording.evidence import EvidenceReader
from capture.recording.join import Join
from capture.recording.values import Wanted
from contract.codec import encode
from contract.evidence import Evidence
from picturematch.settings import LogSettings
from tests.support.recorded import lines_of, recorded_at
from tests.support.records import RECEIVED_S, TOPICS, append_decided, append_request, match_request

REQUESTS = 600
EVERY_S = 5


def evidence(request_id: str) -> Evidence:
    return Evidence(
        event_id=request_id,
        outcome="matched",
        decided_time=1.0,
        gallery_version=3,
        policy="p",
        model_set="m",
        embedder="e",
        embedding=np.ones(4, "<f2").tobytes(),
        threshold=0.5,
    )


async def test_a_recording_of_one_device_keeps_no_events_and_evidence_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = RECEIVED_S
    events, kept = [0], [0]
    forget, ready = EvidenceReader.forget, Join.ready

    def watched_forget(self: EvidenceReader, before_ms: float) -> None:
        forget(self, before_ms)
        kept.append(self.kept)

    def watched_ready(self: Join, give_up_before_s: float | None) -> object:
        events.append(self.kept_events)
        return ready(self, give_up_before_s)

    monkeypatch.setattr(EvidenceReader, "forget", watched_forget)
    monkeypatch.setattr(Join, "ready", watched_ready)
    async with open_embedded(tmp_path / "data", role="owner", clock_ms=lambda: int(now_s * 1000)) as log:
        await log.ensure_topics(LogSettings(request_partitions=2).topic_specs(TOPICS))
        for number in range(REQUESTS):
            now_s = RECEIVED_S + EVERY_S * number
            request = match_request(number, "10.0.0.1" if number % 50 == 0 else "10.0.0.2")
            if number == 100:
                await append_request(log, request)  # it is never decided
                continue
            await append_decided(log, request)
            found = evidence(request.request_id)
            await log.append([NewRecord(TOPICS.evidence, request.request_id.encode(), encode(found))])
        wanted = Wanted(device_ip="10.0.0.1")
        tally = await recorded_at(log, tmp_path / "out", lambda: now_s + 1000, wanted=wanted)
    assert (tally.recorded, tally.undecided, tally.without_evidence) == (12, 1, 0)
    assert all(line.decision is None or line.decision.embedding for line in lines_of(tmp_path / "out").values())
    assert max(events) <= 250, "no more than what was fetched ahead"
    assert max(kept) <= 250
