"""However long the log, a recording keeps few events and little evidence in memory, whatever it leaves out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from broker.embedded import EmbeddedBroker, open_embedded
from broker.port import NewRecord
from capture.recording.evidence import EvidenceReader
from capture.recording.join import Join
from capture.recording.values import Wanted
from contract.codec import encode
from contract.events import encode_event
from contract.evidence import Evidence
from contract.requests import MatchRequest
from picturematch.settings import LogSettings
from tests.support.recorded import lines_of, recorded_at
from tests.support.records import RECEIVED_S, TOPICS, event_of, match_request

REQUESTS = 3000
EVERY_S = 5


def evidence(request: MatchRequest) -> Evidence:
    return Evidence(
        event_id=request.request_id,
        outcome="matched",
        decided_time=request.received_time_s,
        gallery_version=3,
        policy="p",
        model_set="m",
        embedder="e",
        embedding=np.ones(4, "<f2").tobytes(),
        threshold=0.5,
    )


class Watched:
    """The most events and the most evidence in memory at any time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events, self.evidence = 0, 0
        fetched, ready = EvidenceReader._read_on, Join.ready

        async def watched_fetch(reader: EvidenceReader) -> bool:
            found = await fetched(reader)
            self.evidence = max(self.evidence, reader.kept)
            return found

        def watched_ready(join: Join, give_up_before_s: float | None) -> object:
            self.events = max(self.events, join.kept_events)
            return ready(join, give_up_before_s)

        monkeypatch.setattr(EvidenceReader, "_read_on", watched_fetch)
        monkeypatch.setattr(Join, "ready", watched_ready)


async def fill(log: EmbeddedBroker, clock: list[float], devices: Callable[[int], str], undecided: int = -1) -> None:
    """Decided requests with evidence, written together in portions; the clock goes on by 5 s with each."""
    for first in range(0, REQUESTS, 100):
        requests = []
        for number in range(first, first + 100):
            clock[0] += EVERY_S
            request = structs.replace(match_request(number % 50, devices(number)), request_id=f"r{number}")
            requests.append(structs.replace(request, received_time_s=clock[0]))
        places = await log.append([NewRecord(TOPICS.requests, one.key, encode(one)) for one in requests])
        decided = [(r, p) for r, p in zip(requests, places, strict=True) if r.request_id != f"r{undecided}"]
        await log.append([NewRecord(TOPICS.events, r.key, encode_event(event_of(r, p))) for r, p in decided])
        await log.append([NewRecord(TOPICS.evidence, r.request_id.encode(), encode(evidence(r))) for r, _ in decided])


async def test_a_recording_of_one_device_keeps_no_events_and_evidence_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, watched = [RECEIVED_S], Watched(monkeypatch)
    async with open_embedded(tmp_path / "data", role="owner", clock_ms=lambda: int(clock[0] * 1000)) as log:
        await log.ensure_topics(LogSettings(request_partitions=2).topic_specs(TOPICS))
        await fill(log, clock, lambda number: "10.0.0.1" if number % 250 == 0 else "10.0.0.2", undecided=500)
        wanted = Wanted(device_ip="10.0.0.1")
        tally = await recorded_at(log, tmp_path / "out", lambda: clock[0] + 1000, wanted=wanted)
    assert (tally.recorded, tally.undecided, tally.without_evidence) == (12, 1, 0)
    assert all(line.decision is None or line.decision.embedding for line in lines_of(tmp_path / "out").values())
    assert watched.events <= 450, "no more than what was fetched ahead"
    assert watched.evidence <= 450


async def test_a_door_that_was_used_on_monday_and_friday_costs_no_memory_for_the_days_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of its requests are one batch, so that the evidence of all others is between the first and the last."""
    clock, watched = [RECEIVED_S], Watched(monkeypatch)
    async with open_embedded(tmp_path / "data", role="owner", clock_ms=lambda: int(clock[0] * 1000)) as log:
        await log.ensure_topics(LogSettings(request_partitions=2).topic_specs(TOPICS))
        await fill(log, clock, lambda number: "10.0.0.1" if number in (1, REQUESTS - 2) else "10.0.0.2")
        wanted = Wanted(device_ip="10.0.0.1")
        tally = await recorded_at(log, tmp_path / "out", lambda: clock[0] + 1000, wanted=wanted)
    assert (tally.recorded, tally.undecided, tally.without_evidence) == (2, 0, 0)
    assert watched.evidence <= 450
