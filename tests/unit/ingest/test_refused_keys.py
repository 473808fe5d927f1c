"""Counts of refused keys: per peer and minute, in bounded memory, written when the minute is over."""

import asyncio

import pytest

from broker.port import BrokerUnavailable, NewRecord
from contract.audit import OTHER_PEERS, RefusedKeysRecord, decode_audit
from ingest.refused_keys import RefusedKeyCounts, RefusedKeys


def test_keys_are_counted_per_peer_minute_and_reason():
    counts = RefusedKeyCounts()
    for peer, reason, now_s in (("a", "wrong", 61), ("a", "wrong", 119), ("a", "weak_role", 62), ("b", "wrong", 120)):
        counts.count(peer, reason, now_s)
    assert counts.over(119.9) == []
    first = RefusedKeysRecord(peer="a", time=60.0, counts={"wrong": 2, "weak_role": 1})
    assert counts.over(120.0) == [first]
    counts.forget([first])
    assert counts.over(180.0) == [RefusedKeysRecord(peer="b", time=120.0, counts={"wrong": 1})]


def test_peers_beyond_the_capacity_are_counted_together_and_no_row_is_added_beyond_it():
    counts = RefusedKeyCounts(capacity=4)
    for number in range(1000):
        counts.count(f"peer-{number}", "wrong", 60)
    assert len(counts) == 4
    rows = {record.peer: record.counts["wrong"] for record in counts.over(120)}
    assert rows == {"peer-0": 1, "peer-1": 1, "peer-2": 1, OTHER_PEERS: 997}
    counts.count("peer-0", "wrong", 70)
    counts.count("late", "wrong", 120)
    assert (len(counts), counts.dropped) == (4, 1), "a table that nobody could write grows no further"


class Log:
    """As much of a log as the counts use."""

    def __init__(self) -> None:
        self.written: list[RefusedKeysRecord] = []
        self.error: Exception | None = None
        self.blocks = False
        self.lasts_s = 0.0

    async def append(self, records: list[NewRecord]) -> None:
        if self.blocks:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        self.written += [decode_audit(record.value or b"") for record in records]
        await asyncio.sleep(self.lasts_s)


async def test_counts_that_cannot_be_written_are_written_later_and_what_is_left_at_the_end():
    log, now = Log(), [60.0]
    async with RefusedKeys(log, "audit", lambda: now[0], every_s=0.01) as refused:
        log.error = BrokerUnavailable("the disk is full")
        refused.count("a", "wrong")
        now[0] = 130.0
        await asyncio.sleep(0.05)
        assert log.written == []
        log.error = None
        await asyncio.sleep(0.05)
        assert log.written == [RefusedKeysRecord(peer="a", time=60.0, counts={"wrong": 1})]
        refused.count("b", "in_url")
    assert log.written[1:] == [RefusedKeysRecord(peer="b", time=120.0, counts={"in_url": 1})]


async def test_counting_never_waits_for_a_log_that_hangs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ingest.refused_keys._WRITE_S", 0.05)
    log, now = Log(), [60.0]
    log.blocks = True
    async with RefusedKeys(log, "audit", lambda: now[0], every_s=0.01) as refused:
        refused.count("a", "wrong")
        now[0] = 120.0
        await asyncio.sleep(0.03)
        refused.count("a", "wrong")
    assert log.written == []


async def test_counts_that_are_being_written_when_the_ingress_ends_are_written_once():
    log, now = Log(), [60.0]
    log.lasts_s = 0.2
    async with RefusedKeys(log, "audit", lambda: now[0], every_s=0.01) as refused:
        refused.count("a", "wrong")
        now[0] = 120.0
        await asyncio.sleep(0.05)
        assert len(log.written) == 1
        refused.count("b", "wrong")
    assert [(record.peer, record.counts) for record in log.written] == [("a", {"wrong": 1}), ("b", {"wrong": 1})]


async def test_a_write_that_takes_long_is_waited_for_and_not_repeated(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ingest.refused_keys._WRITE_S", 0.02)
    log, now = Log(), [60.0]
    log.lasts_s = 0.2
    async with RefusedKeys(log, "audit", lambda: now[0], every_s=0.01) as refused:
        refused.count("a", "wrong")
        now[0] = 120.0
        await asyncio.sleep(0.4)
    assert [record.counts for record in log.written] == [{"wrong": 1}]


def test_a_key_that_is_refused_while_its_minute_is_written_stays_counted():
    counts = RefusedKeyCounts()
    counts.count("a", "wrong", 60)
    written = counts.over(120)
    counts.count("a", "wrong", 61)
    counts.forget(written)
    assert counts.over(120) == [RefusedKeysRecord(peer="a", time=60.0, counts={"wrong": 1})]
