"""The order in which waiting requests reach the matching threads."""

import asyncio
from collections.abc import Sequence

import pytest

from processor.runs import Runs


async def order_of(arriving: Sequence[int], most: int = 1) -> list[int]:
    """Return the places in `arriving`, which names the partition of each request, in the order in which they pass."""
    runs, passed = Runs(most), list[int]()

    async def request(place: int, partition: int) -> None:
        async with runs.turn(partition):
            passed.append(place)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        for place, partition in enumerate(arriving):
            tasks.create_task(request(place, partition))
    return passed


async def test_requests_of_one_partition_pass_one_after_the_other() -> None:
    assert await order_of([0, 1, 0, 1, 0, 2]) == [0, 2, 4, 1, 3, 5]


async def test_a_partition_that_waits_passes_after_eight_of_another() -> None:
    # The first has begun a run before the others come; the last of partition 0 come after the one of partition 1.
    assert await order_of([0] * 4 + [1] + [0] * 6) == [0, 1, 2, 3, 5, 6, 7, 8, 4, 9, 10]


async def test_the_partition_whose_request_has_waited_longest_is_next() -> None:
    assert await order_of([3, 2, 1, 2, 1]) == [0, 1, 3, 2, 4]


@pytest.mark.parametrize("most", [1, 2, 3])
async def test_no_more_than_the_given_number_pass_at_a_time(most: int) -> None:
    runs, inside, highest = Runs(most), 0, 0

    async def request(partition: int) -> None:
        nonlocal inside, highest
        async with runs.turn(partition):
            inside += 1
            highest = max(highest, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(request(number % 3) for number in range(20)))
    assert (highest, inside) == (most, 0)


async def test_cancelled_and_failed_requests_give_their_turn_to_the_next() -> None:
    runs, passed, entered = Runs(1), list[str](), asyncio.Event()

    async def request(name: str, *, fails: bool = False) -> None:
        async with runs.turn(0):
            passed.append(name)
            entered.set()
            await asyncio.sleep(0)
            if fails:
                raise ValueError(name)

    async def holding() -> None:
        async with runs.turn(0):
            await asyncio.sleep(3600)

    holder = asyncio.create_task(holding())
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(request(name, fails=name == "b")) for name in "abcd"]
    await asyncio.sleep(0)
    waiting[0].cancel()  # while it waits
    await asyncio.sleep(0)
    holder.cancel()
    waiting[2].cancel()
    ended = await asyncio.gather(holder, *waiting, return_exceptions=True)
    assert passed == ["b", "d"]
    assert [type(one) for one in ended[1:]] == [asyncio.CancelledError, ValueError, asyncio.CancelledError, type(None)]


async def test_a_request_that_is_cancelled_at_the_moment_of_its_turn_passes_it_on() -> None:
    runs, passed = Runs(1), list[str]()

    async def request(name: str) -> None:
        async with runs.turn(0):
            passed.append(name)

    async with runs.turn(0):
        first, second = asyncio.create_task(request("first")), asyncio.create_task(request("second"))
        await asyncio.sleep(0)
    first.cancel()  # it was let through, but has not run yet
    await asyncio.wait([first, second])
    assert passed == ["second"]
    assert first.cancelled()
    await asyncio.wait_for(request("third"), 5)
    assert passed == ["second", "third"]
