import asyncio

from broker.embedded.tail import Recent, Waiters, record_bytes
from broker.port import Record


def numbered(offset: int, size: int = 100) -> Record:
    return Record("topic", 0, offset, 0, None, bytes(size))


def test_memory_serves_what_it_reaches_back_to_and_nothing_else() -> None:
    recent = Recent(keep_bytes=10_000)
    for offset in range(5, 10):
        recent.add(1, numbered(offset))
    assert recent.since(1, 4, 10, 10**6) is None
    assert recent.since(1, 10, 10, 10**6) is None
    assert recent.since(2, 5, 10, 10**6) is None
    found = recent.since(1, 7, 10, 10**6)
    assert found is not None
    assert [record.offset for record in found] == [7, 8, 9]


def test_memory_keeps_both_bounds_of_a_fetch_but_gives_at_least_one_record() -> None:
    recent = Recent(keep_bytes=100_000)
    for offset in range(10):
        recent.add(1, numbered(offset, size=1000))
    by_count, by_bytes, one = (
        recent.since(1, 0, 3, 10**6),
        recent.since(1, 0, 10, 2 * record_bytes(numbered(0, 1000))),
        recent.since(1, 0, 10, 1),
    )
    assert [len(found or ()) for found in (by_count, by_bytes, one)] == [3, 2, 1]


def test_the_oldest_record_over_all_leaves_memory_first() -> None:
    recent = Recent(keep_bytes=3 * record_bytes(numbered(0)))
    for offset in range(2):
        recent.add(1, numbered(offset))
        recent.add(2, numbered(offset))
    assert recent.since(1, 0, 10, 10**6) is None
    assert len(recent.since(1, 1, 10, 10**6) or ()) == 1
    assert len(recent.since(2, 0, 10, 10**6) or ()) == 2


def test_a_record_larger_than_memory_is_not_kept() -> None:
    recent = Recent(keep_bytes=1000)
    recent.add(1, numbered(0, size=5000))
    assert recent.since(1, 0, 1, 10**6) is None
    recent.add(1, numbered(1))
    assert len(recent.since(1, 1, 1, 10**6) or ()) == 1


def test_memory_forgets_up_to_the_highest_offset_removed() -> None:
    recent = Recent(keep_bytes=10_000)
    for offset in range(5):
        recent.add(1, numbered(offset))
        recent.add(2, numbered(offset))
    recent.forget(1, 2)
    assert recent.since(1, 2, 1, 10**6) is None
    assert len(recent.since(1, 3, 9, 10**6) or ()) == 2
    assert len(recent.since(2, 0, 9, 10**6) or ()) == 5
    recent.forget(1, 9)
    assert recent.since(1, 4, 1, 10**6) is None
    recent.add(1, numbered(10))
    assert len(recent.since(1, 10, 1, 10**6) or ()) == 1
    assert recent._bytes == 6 * record_bytes(numbered(0))


async def test_a_waiter_ends_with_its_time_and_leaves_nothing_behind() -> None:
    waiters = Waiters()
    await waiters.wait("topic", 0.001)
    waiting = asyncio.create_task(waiters.wait("topic", None))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert not any(waiters._waiting.values())


async def test_everybody_who_waits_for_a_topic_is_woken() -> None:
    waiters = Waiters()
    waiting = [asyncio.create_task(waiters.wait("topic", None)) for _ in range(3)]
    other = asyncio.create_task(waiters.wait("other", None))
    await asyncio.sleep(0)
    waiters.wake("topic")
    async with asyncio.timeout(10):
        await asyncio.gather(*waiting)
    assert not other.done()
    waiters.wake_all()
    async with asyncio.timeout(10):
        await other
