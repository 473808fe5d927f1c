"""Records a log into a capture, and decides its requests again from nothing but the capture."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from broker.port import Broker
from capture.folder import CaptureFolder
from capture.reader import CaptureReader
from capture.recording.recorder import LogToRecord, record
from capture.recording.values import Tally
from capture.timeline import Timeline
from contract.captures.convert import request_with_pictures
from contract.captures.values import CaptureLine
from contract.topics import Topics
from engine.calls.match import MatchCall
from engine.calls.matching import MatchDecision
from engine.policy import Policy
from tests.support.faces import MODELS, context

DAY_MS = 86_400_000
HISTORY_MS = 7 * DAY_MS


async def recorded(broker: Broker, out: Path, **options: Any) -> Tally:
    """Record into the folder `out`, new or continued; the log keeps a week of history."""
    return await recorded_at(broker, out, time.time, **options)


async def recorded_at(
    broker: Broker, out: Path, clock_s: Callable[[], float], *, history_ms: int = HISTORY_MS, **options: Any
) -> Tally:
    """Record a log that has that clock."""
    with CaptureFolder(out) as folder:
        return await record(LogToRecord(broker, Topics(), clock_s, history_ms), folder, asyncio.Event(), **options)


def lines_of(out: Path) -> dict[str, CaptureLine]:
    """The lines by the id of their request."""
    return {line.request_id: line for _, line in CaptureReader(out).lines()}


def decided_again(out: Path) -> dict[str, tuple[CaptureLine, MatchDecision]]:
    """Each line, and what is decided now with the pictures, people and policies of the capture."""
    reader = CaptureReader(out)
    policies = {line.key: msgspec.convert(line.value, Policy) for _, line in reader.configs() if "policy/" in line.key}
    people = Timeline([line for _, line in reader.people()], MODELS.embedder.dimension, MODELS.embedder_identity)
    found = {}
    for _, line in reader.lines():
        assert line.decision is not None
        request = request_with_pictures(line, reader.picture)
        snapshot = people.at(line.decision.gallery_version)
        decision = MatchCall().decide(request, snapshot, context(policies[f"policy/{line.decision.policy}"]))
        found[line.request_id] = (line, decision)
    return found


def assert_same_decisions(out: Path) -> int:
    """Check that every decision comes out as it was recorded; return how many there were."""
    again = decided_again(out)
    for request_id, (line, now) in again.items():
        then = line.decision
        assert then is not None
        candidates = [(c.person.identity_id, c.number, c.cosine) for c in now.candidates]
        assert (request_id, now.outcome) == (request_id, then.outcome)
        assert candidates == [(c.identity_id, c.number, c.cosine) for c in then.candidates]
        assert then.scope == now.scope
    return len(again)
