"""kill -9 of `picturematch record` while it writes, several times in a row: the capture has each request, each record
of the people topic and each policy once, and never a line without what it needs."""

import time
from collections import Counter
from pathlib import Path

import pytest

from broker.embedded import EmbeddedBroker, open_embedded
from broker.port import NewRecord
from capture.reader import CaptureReader
from contract.configs import policy_record
from picturematch.settings import LogSettings
from tests.support.commands import finish, start
from tests.support.records import TOPICS, append_decided, match_request
from tests.support.waiting import until

PATIENCE_S = 60.0
PARTITIONS = 3
REQUESTS = 80
KILLS = 3


@pytest.mark.timeout(600)
async def test_a_capture_that_was_killed_and_continued_has_each_record_once_and_what_each_line_needs(
    tmp_path: Path,
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    command = ("record", "--data-folder", data, "--out", out)

    async with open_embedded(data, role="owner", clock_ms=lambda: int(time.time() * 1000)) as log:
        await log.ensure_topics(LogSettings(request_partitions=PARTITIONS).topic_specs(TOPICS))
        for kill in range(KILLS):
            await fill(log, kill)
            before = size(out)
            process = await start(*command)
            await until(lambda before=before: size(out) > before, PATIENCE_S, every_s=0.001)
            process.kill()
            await finish(process, PATIENCE_S)
            check_what_lines_need(out)
        last = await finish(await start(*command), PATIENCE_S)
        assert last.status == 0, last.err
        ends = await log.end_offsets(TOPICS.requests)
        people = (await log.end_offsets(TOPICS.people))[0]
    lines = [line for _, line in CaptureReader(out).lines()]
    places = Counter((line.place.partition, line.place.offset) for line in lines if line.place)
    assert places == Counter((partition, offset) for partition, end in ends.items() for offset in range(end))
    assert all(line.decision for line in lines)
    assert [line.offset for _, line in CaptureReader(out).people()] == list(range(people))
    policies = [line.key for _, line in CaptureReader(out).configs()]
    assert sorted(policies) == sorted({f"policy/{line.decision.policy}" for line in lines if line.decision})


def size(out: Path) -> int:
    requests = out / "requests.jsonl"
    return requests.stat().st_size if requests.exists() else 0


async def fill(log: EmbeddedBroker, kill: int) -> None:
    """Requests, each decided with a person and a policy that were written just before."""
    for number in range(kill * REQUESTS, (kill + 1) * REQUESTS):
        policy = policy_record({"number": number // 10})
        person = NewRecord(TOPICS.people, f"person/{number}".encode(), b"value", partition=0)
        _, place = await log.append([NewRecord(TOPICS.configs, policy.key, policy.value, partition=0), person])
        decided = {"gallery_version": place.offset + 1, "policy": policy.id}
        await append_decided(log, match_request(number, f"10.0.0.{number % 7}"), **decided)


def check_what_lines_need(out: Path) -> None:
    reader = CaptureReader(out, keep_going=True)
    people = max((line.offset for _, line in reader.people()), default=-1)
    policies = {line.key for _, line in reader.configs()}
    for _, line in reader.lines():
        assert line.decision is not None
        assert line.decision.gallery_version <= people + 1
        assert f"policy/{line.decision.policy}" in policies
        assert reader.has_picture(line.request.picture)
