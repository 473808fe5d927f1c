"""Meters a running process: each thread's processor time, by the part of the work in which it was spent.

The functions at which a part begins are wrapped, and the kernel's clock of the thread is read on the way in and out. So
the figures are exact, also for work in C and in the kernel (the disk), which a sampler in the process would see only
where a thread gives the interpreter's lock away. Callbacks of the event loop and jobs of thread pools are told apart by
the module of their function (bench.cost_parts), without wrapping each of them.
"""

import asyncio
import inspect
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Generator
from functools import partial, wraps
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from bench.cost_parts import (
    APPEND,
    BASE64,
    CALLS,
    COMMIT,
    DIGEST,
    ENGINE,
    HANDOVER,
    HEADERS,
    IN_PLACE,
    JSON,
    KAFKA,
    NATIVE_THREADS,
    OTHER,
    RECEIVING,
    TRANSACTION,
    ThreadTotals,
    Totals,
    part_of,
    thread_of,
)

BOUNDARIES = {
    "asyncio.base_events:BaseEventLoop.call_soon_threadsafe": HANDOVER,
    "asyncio.base_events:BaseEventLoop.run_in_executor": HANDOVER,
    "broker.embedded.writer:Writer._commit": TRANSACTION,
    "broker.embedded.writer:Writer._displaced": IN_PLACE,
    "broker.embedded.writer:Writer._put": HANDOVER,
    "broker.kafka.appends:Appender.append_one": KAFKA,
    "broker.kafka.appends:Appender.append_together": KAFKA,
    "broker.kafka.feed:Feed.fetch": KAFKA,
    "broker.kafka.reader:KafkaReader.fetch": KAFKA,
    "broker.kafka.transactions:Writer.write": KAFKA,
    "engine.calls.match:MatchCall.decide": ENGINE,
    "ingest.api.binding:read_object": JSON,
    "ingest.exchange:Exchange._append": APPEND,
    "ingest.exchange:Exchange._record": APPEND,
    "ingest.pictures:PictureLimits.check": HEADERS,
    "ingest.pictures:decode_base64": BASE64,
    "processor.commits:Commits.write": COMMIT,
    "processor.processing:digests_of": DIGEST,
}
"""Functions at which a part begins, wherever they are called."""

_CLOCK_OF_A_THREAD, _CLOCK_BITS = 6, 3
_TRIED = 20_000


class _Account:
    """What one thread has spent; only this thread writes to it."""

    __slots__ = ("crossings", "inside", "since_ns", "spent_ns")

    def __init__(self) -> None:
        self.inside: list[str] = []
        self.since_ns = 0
        self.spent_ns: Counter[str] = Counter()
        self.crossings = 0

    def enter(self, part: str) -> None:
        now_ns = time.thread_time_ns()
        if self.inside:
            self.spent_ns[self.inside[-1]] += now_ns - self.since_ns
        self.inside.append(part)
        self.crossings += 1
        self.since_ns = now_ns

    def leave(self) -> None:
        now_ns = time.thread_time_ns()
        self.spent_ns[self.inside.pop()] += now_ns - self.since_ns
        self.since_ns = now_ns


class _Steps(Generator[Any, Any, Any]):
    """A coroutine each of whose steps belongs to a part; a generator, because `await` wants an iterator with `send`."""

    def __init__(self, work: Coroutine[Any, Any, Any], part: str, meter: "Meter") -> None:
        self._work, self._part, self._meter = work, part, meter

    def __await__(self) -> Generator[Any, Any, Any]:
        return self

    def send(self, value: Any) -> Any:
        account = self._meter.account()
        account.enter(self._part)
        try:
            return self._work.send(value)
        finally:
            account.leave()

    def throw(self, error: Any, value: Any = None, trace: TracebackType | None = None) -> Any:
        account = self._meter.account()
        account.enter(self._part)
        try:
            return self._work.throw(error if value is None else value)
        finally:
            account.leave()

    def close(self) -> None:
        self._work.close()


class Meter:
    """The accounts of the threads of this process."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._accounts: dict[int, _Account] = {}
        self._crossing_ns = self._price()

    def account(self) -> _Account:
        """Return the account of the calling thread."""
        found: _Account | None = getattr(self._local, "account", None)
        if found is None:
            found = self._local.account = _Account()
            self._accounts[threading.get_native_id()] = found
        return found

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same, and whose time belongs to the part."""
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def steps(*args: Any, **named: Any) -> Any:
                return await _Steps(function(*args, **named), part, self)

            return steps

        @wraps(function)
        def timed(*args: Any, **named: Any) -> Any:
            account = self.account()
            account.enter(part)
            try:
                return function(*args, **named)
            finally:
                account.leave()

        return timed

    def totals(self) -> Totals:
        """Return what the process has spent since its start."""
        names = {thread.native_id: thread_of(thread.name) for thread in threading.enumerate()}
        threads: dict[int, ThreadTotals] = {}
        for entry in Path("/proc/self/task").iterdir():
            number = int(entry.name)
            account = self._accounts.get(number)
            try:
                spent_ns = time.clock_gettime_ns(_clock_of(number))
            except OSError:  # it has just ended
                continue
            parts_ns = {} if account is None else dict(account.spent_ns)
            threads[number] = ThreadTotals(names.get(number, NATIVE_THREADS), spent_ns, parts_ns)
        crossings = sum(account.crossings for account in tuple(self._accounts.values()))
        return Totals(time.process_time_ns(), threads, crossings, self._crossing_ns)

    def _price(self) -> float:
        account = _Account()
        timed = time.thread_time_ns()
        for _ in range(_TRIED):
            account.enter(OTHER)
            account.leave()
        return (time.thread_time_ns() - timed) / _TRIED

    def install(self, rooms: frozenset[str]) -> None:
        """Wrap the functions of these rooms, the callbacks of event loops and the jobs of thread pools."""
        for boundary, part in BOUNDARIES.items():
            if boundary.split(".")[0] in rooms:
                replace(boundary, partial(self.timed, part))
        if "broker" in rooms:
            replace("broker.embedded.writer:Writer.submit", self._metering_jobs)
            replace("broker.embedded.writer:Writer.submit_alone", self._metering_jobs)
        replace("asyncio.events:Handle._run", self._metering_handles)
        replace("concurrent.futures.thread:_WorkItem.run", self._metering_items)

    def _metering_jobs(self, submit: Callable[..., Any]) -> Callable[..., Any]:
        """Return a `Writer.submit` or `submit_alone` whose jobs belong to the parts of their functions."""

        def submitting(writer: Any, run: Callable[..., Any]) -> Any:
            return submit(writer, self.timed(_part_of_function(run) or OTHER, run))

        return submitting

    def _metering_handles(self, run: Callable[[Any], None]) -> Callable[[Any], None]:
        def running(handle: Any) -> None:
            part = _part_of_callback(handle._callback)  # noqa: SLF001 - it has no public name
            if part is None:
                run(handle)
                return
            account = self.account()
            account.enter(part)
            try:
                run(handle)
            finally:
                account.leave()

        return running

    def _metering_items(self, run: Callable[[Any], None]) -> Callable[[Any], None]:
        def running(item: Any) -> None:
            # The hand-over of the result wakes the event loop; `call_soon_threadsafe` is metered by itself.
            item.fn = self.timed(_part_of_function(item.fn) or OTHER, item.fn)
            run(item)

        return running


def replace(boundary: str, wrapped: Callable[[Any], Any]) -> None:
    """Replace the function MODULE:NAME by `wrapped` of it; the name may be that of a method."""
    module, _, name = boundary.partition(":")
    owner_name, _, last = name.rpartition(".")
    owner: Any = import_module(module)
    if owner_name:
        owner = attrgetter(owner_name)(owner)
    setattr(owner, last, wrapped(getattr(owner, last)))


def _clock_of(number: int) -> int:
    """Return the clock of the processor time of a thread of this process, as Linux numbers such clocks; unlike
    `time.pthread_getcpuclockid` it may be asked for a thread that has ended."""
    return (~number << _CLOCK_BITS) | _CLOCK_OF_A_THREAD


def _part_of_callback(callback: Any) -> str | None:
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return _part_of_coroutine(owner.get_coro())
    protocol = getattr(owner, "_protocol", None)
    if protocol is not None:  # a transport has received or sent bytes
        part = part_of(type(protocol).__module__, type(protocol).__qualname__)
        return RECEIVING if part == CALLS else part
    return _part_of_function(callback)


def _part_of_coroutine(work: Any) -> str | None:
    frame = getattr(work, "cr_frame", None)
    if frame is None:
        return None
    return part_of(frame.f_globals.get("__name__", ""), getattr(work, "__qualname__", ""))


def _part_of_function(function: Any) -> str | None:
    while isinstance(function, partial):
        # asyncio.to_thread hands over partial(Context.run, FUNCTION, ...)
        is_context = getattr(function.func, "__name__", "") == "run" and function.args and callable(function.args[0])
        function = function.args[0] if is_context else function.func
    name = getattr(function, "__qualname__", type(function).__qualname__).replace(".<locals>", "")
    return part_of(getattr(function, "__module__", None) or "", name)


def answer_questions(meter: Meter) -> None:
    """Print the totals as a line of JSON for every line on standard input; end the process with the input."""
    for _ in sys.stdin:
        sys.stdout.write(msgspec.json.encode(meter.totals()).decode() + "\n")
        sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGTERM)
