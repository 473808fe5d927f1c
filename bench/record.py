"""What recording costs: `python -m bench.record`.

Two measurements on the embedded log. First the processor time and the memory of recording requests that a log contains,
with people, events and evidence, in this process: `--requests 100000 --rounds 0` shows that memory does not grow with
the length of the log. Then rounds of runs against a server at a steady rate, before, beside and after
`picturematch record --follow`: the median time of a match in each, and the processor time of the recording process per
recorded request.
"""

import asyncio
import signal
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import psutil

from bench.command import Command
from bench.import_beside_matches import Run, matches_at
from bench.load import match_call, run_load
from bench.people import enrol_features, made_up_features, name_of, people_records
from bench.pictures import bench_pictures
from broker.embedded import EmbeddedBroker, open_embedded
from broker.port import NewRecord
from capture.folder import CaptureFolder
from capture.recording.recorder import LogToRecord, record
from contract.codec import encode
from contract.events import Event, EventScope, RequestPlace, Threshold, encode_event
from contract.evidence import Evidence, EvidenceCandidate
from contract.requests import MatchRequest
from contract.topics import Topics
from picturematch.options import settings_of
from picturematch.settings import LogSettings

_TOPICS = Topics()
_DIMENSION = 512
_EMBEDDER = "made-up"
_AT_ONCE = 64
_AIM_MS = 0.5


@click.command(epilog="Example: python -m bench.record --requests 2000 --rounds 5")
@click.option("--requests", default=2000, show_default=True, help="Requests that the first measurement records.")
@click.option("--people", default=1000, show_default=True, help="People enrolled.")
@click.option("--rounds", default=5, show_default=True, help="Rounds of the second measurement; 0 leaves it out.")
@click.option("--seconds", default=20.0, show_default=True, help="Of each run.")
@click.option("--rate", default=20.0, show_default=True, help="Matches a second.")
@click.option("--pictures", type=click.Path(exists=True, file_okay=False, path_type=Path), help="JPEGs to send.")
@click.pass_context
def main(
    ctx: click.Context, requests: int, people: int, rounds: int, seconds: float, rate: float, pictures: Path | None
) -> None:
    """Processor time per recorded request, and the median time of matches without and beside a recording."""
    settings = settings_of(ctx)
    jpegs = bench_pictures(settings, pictures)
    with tempfile.TemporaryDirectory(prefix="picturematch-bench-") as folder:
        past = asyncio.run(_past(Path(folder), jpegs, requests, people))
    size = statistics.mean(map(len, jpegs)) / 1000
    click.echo(
        f"recording {requests} requests of {size:.0f} KB from a log: {past.spent_ms:.2f} ms of a core per request"
    )
    click.echo(f"memory of the process above that before the recording, at most: {past.memory_mb:.0f} MB")
    if not rounds:
        return
    done = [asyncio.run(_round(jpegs, people, seconds, rate)) for _ in range(rounds)]
    for name in ("before", "beside", "after"):
        runs: list[Run] = [getattr(one, name) for one in done]
        p50, p99 = (statistics.median(run.percentile(share) for run in runs) for share in (50, 99))
        click.echo(f"{rate:g} matches a second {name} a recording: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    ratio = statistics.median(one.ratio() for one in done)
    click.echo(f"p50 beside a recording, divided by the mean of before and after, median of the rounds: {ratio:.3f}")
    following = statistics.median(one.recording_ms for one in done)
    click.echo(f"record --follow: {following:.2f} ms of a core per request (aim: at most {_AIM_MS:g})")


@dataclass(frozen=True, slots=True)
class _Past:
    """The processor milliseconds of this process per request that is recorded from a log, and by how many megabytes
    its memory rises meanwhile."""

    spent_ms: float
    memory_mb: float


async def _past(folder: Path, jpegs: Sequence[bytes], requests: int, people: int) -> _Past:
    data = folder / "data"
    async with open_embedded(data, role="owner", clock_ms=lambda: int(time.time() * 1000)) as log:
        await log.ensure_topics(LogSettings().topic_specs(_TOPICS))
        await _enrol(log, people)
        for first in range(0, requests, _AT_ONCE):
            await _decide(log, jpegs, range(first, min(first + _AT_ONCE, requests)), 2 * people)
    async with open_embedded(data, role="guest", clock_ms=lambda: 0) as log:
        with CaptureFolder(folder / "out") as out:
            before, began = _memory_mb(), time.process_time()
            watching = asyncio.create_task(_most_memory_mb())
            tally = await record(LogToRecord(log, _TOPICS, time.time, 10**9), out, asyncio.Event())
            spent = time.process_time() - began
            watching.cancel()
            most = await watching
    if (tally.recorded, tally.without_evidence) != (requests, 0):
        raise click.ClickException(f"{tally} is not a whole recording of {requests} requests")
    return _Past(spent * 1000.0 / requests, most - before)


def _memory_mb() -> float:
    return float(psutil.Process().memory_info().rss) / 1e6


async def _most_memory_mb() -> float:
    """Return the most memory of this process until the task is cancelled, looked at ten times a second."""
    most = _memory_mb()
    with suppress(asyncio.CancelledError):
        while True:
            most = max(most, _memory_mb())
            await asyncio.sleep(0.1)
    return most


async def _enrol(log: EmbeddedBroker, people: int) -> None:
    records = people_records(made_up_features(people, _DIMENSION), _EMBEDDER)
    await log.append([NewRecord(_TOPICS.people, record.key, record.value, partition=0) for record in records])


async def _decide(log: EmbeddedBroker, jpegs: Sequence[bytes], numbers: range, version: int) -> None:
    """Append requests, each with a picture of its own, and then their events with evidence."""
    requests = [
        MatchRequest(
            request_id=f"{number:032x}",
            device_ip=f"10.0.0.{number % 200}",
            picture=jpegs[number % len(jpegs)] + b"%d" % number,
            compare_time_s=time.time(),
            received_time_s=time.time(),
        )
        for number in numbers
    ]
    places = await log.append([NewRecord(_TOPICS.requests, request.key, encode(request)) for request in requests])
    records = []
    for request, place in zip(requests, places, strict=True):
        event = Event(
            id=request.request_id,
            kind="match",
            outcome="stranger",
            compare_time=request.compare_time_s,
            received_time=request.received_time_s,
            processed_time=time.time(),
            request=RequestPlace(topic=place.topic, partition=place.partition, offset=place.offset),
            gallery_version=version,
            models={"embedder": _EMBEDDER},
            device_ip=request.device_ip,
            retcode="0",
            score=0.2,
            threshold=Threshold(value=0.4, rule="setting"),
            scope=EventScope(group_name="default_group"),
        )
        records.append(NewRecord(_TOPICS.events, request.key, encode_event(event)))
        records.append(NewRecord(_TOPICS.evidence, event.id.encode(), encode(_evidence(event))))
    await log.append(records)


def _evidence(event: Event) -> Evidence:
    return Evidence(
        event_id=event.id,
        outcome=event.outcome,
        decided_time=event.processed_time,
        gallery_version=event.gallery_version,
        policy="0" * 16,
        model_set="0" * 16,
        embedder=_EMBEDDER,
        embedding=np.ones(_DIMENSION, np.dtype("<f2")).tobytes(),
        threshold=0.4,
        candidates=tuple(EvidenceCandidate(identity_id=name_of(n), number=0, cosine=0.1) for n in range(5)),
    )


@dataclass(frozen=True, slots=True)
class _Round:
    """Matches before, beside and after a recording, and the processor milliseconds of the recording per request."""

    before: Run
    beside: Run
    after: Run
    recording_ms: float

    def ratio(self) -> float:
        """Return the median time beside the recording, divided by that without: the mean of before and after."""
        return self.beside.percentile(50) / statistics.mean((self.before.percentile(50), self.after.percentile(50)))


async def _round(jpegs: Sequence[bytes], people: int, seconds: float, rate: float) -> _Round:
    with tempfile.TemporaryDirectory(prefix="picturematch-bench-") as name:
        folder = Path(name)
        environment = {
            "PICTUREMATCH_DATA_FOLDER": str(folder / "data"),
            "PICTUREMATCH_MATCHING__TRUST_UNNAMED_FEATURES": "true",
        }
        server = Command(("serve", "--port", 0, "--log-level", "warning"), environment, folder / "serve.log")
        recording = Command(("record", "--follow", "--out", folder / "out"), environment, folder / "record.log")
        calls = [match_call(jpeg, f"10.0.0.{number % 200}") for number, jpeg in enumerate(jpegs)]
        await server.start()
        try:
            port = await server.listening(60.0)
            await enrol_features(f"http://127.0.0.1:{port}", made_up_features(people, _DIMENSION))
            await run_load(port, calls, 20, 2)  # warms up
            before = await matches_at(port, calls, seconds, rate)
            await recording.start()
            recorded = await _recorded(folder / "out", 1)  # the people and the matches so far are recorded first
            process = psutil.Process(recording.pid)
            spent_s = -sum(process.cpu_times()[:2])
            beside = await matches_at(port, calls, seconds, rate)
            count = await _recorded(folder / "out", recorded + len(beside.latencies_ms)) - recorded
            spent_s += sum(process.cpu_times()[:2])
            await recording.end(signal.SIGTERM)
            after = await matches_at(port, calls, seconds, rate)
        finally:
            await server.end(signal.SIGTERM)
    return _Round(before, beside, after, spent_s * 1000.0 / count)


async def _recorded(out: Path, least: int) -> int:
    """Wait until the capture has so many requests, and for a second longer; return their number."""
    requests = out / "requests.jsonl"

    def count() -> int:
        return requests.read_bytes().count(b"\n") if requests.exists() else 0

    for _ in range(600):
        await asyncio.sleep(0.1)
        if await asyncio.to_thread(count) >= least:
            break
    else:
        raise click.ClickException(f"the recording has not got {least} requests within a minute")
    await asyncio.sleep(1.0)
    return await asyncio.to_thread(count)


if __name__ == "__main__":
    main()
