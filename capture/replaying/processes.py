"""Decides chunks of lines in several processes and returns their results in the order of the lines."""

import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice

import msgspec
from msgspec import structs
from threadpoolctl import threadpool_limits

from capture.replaying.chunks import Chunk
from capture.replaying.decide import Decider, LookNeeded, Result
from capture.replaying.given import Given
from capture.rows import Difference, Row, Tier
from contract.captures.values import CapturedDecision, CaptureError, CaptureLine
from contract.terms import Message

_AHEAD = 3
"""The number of chunks for each process that are in memory at once."""


class _Packed(Message, frozen=True, kw_only=True, array_like=True):
    """A result as it travels between processes; `look` is the reason of a `LookNeeded`."""

    number: int
    line: CaptureLine
    tier: Tier | None = None
    now: CapturedDecision | None = None
    differences: tuple[Difference, ...] | None = None
    trouble: str | None = None
    remark: str | None = None
    look: str | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[_Packed])


def decide_chunks(chunks: Iterable[Chunk], given: Given, jobs: int) -> Iterator[Result]:
    """Yield the result of every line, in the order of the lines; the lines in results have no embedding.

    `jobs`: the number of processes; with 1 the lines are decided in this process.

    Raises:
        CaptureError: a line is damaged; the results of the chunks before it were yielded.
    """
    if jobs == 1:
        decider = Decider(given)
        for chunk in chunks:
            yield from map(_without_embedding, decider.decide(list(chunk.lines())))
        return
    # A new process shares no lock with the threads of this one.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _begin, (given,)) as pool:
        remaining = iter(chunks)
        waiting: deque[Future[bytes]] = deque(pool.submit(_decide, c) for c in islice(remaining, jobs * _AHEAD))
        try:
            while waiting:
                packed = waiting.popleft().result()
                waiting.extend(pool.submit(_decide, chunk) for chunk in islice(remaining, 1))
                yield from map(_unpacked, _decoder.decode(packed))
        finally:
            pool.shutdown(cancel_futures=True)


_deciders: list[Decider] = []


def _begin(given: Given) -> None:
    """Prepare a new process."""
    threadpool_limits(1)  # one thread in each of the processes, which are as many as the cores
    _deciders.append(Decider(given))


def _decide(chunk: Chunk) -> bytes:
    return _encoder.encode([_packed(_without_embedding(result)) for result in _deciders[0].decide(list(chunk.lines()))])


def _without_embedding(result: Result) -> Result:
    """Return a result without the embedding of then, which is the largest part of a line and is not needed any more."""
    then = result.line.decision
    if then is None or then.embedding is None:
        return result
    line = structs.replace(result.line, decision=structs.replace(then, embedding=None))
    if isinstance(result, LookNeeded):
        return LookNeeded(result.number, line, result.reason)
    return Row(
        result.number,
        line,
        result.tier,
        result.now,
        result.differences,
        result.trouble,
        result.expected,
        result.latency_ms,
        result.remark,
    )


def _packed(result: Result) -> _Packed:
    if isinstance(result, LookNeeded):
        return _Packed(number=result.number, line=result.line, look=result.reason)
    return _Packed(
        number=result.number,
        line=result.line,
        tier=result.tier,
        now=result.now,
        differences=result.differences,
        trouble=result.trouble,
        remark=result.remark,
    )


def _unpacked(packed: _Packed) -> Result:
    if packed.look is not None:
        return LookNeeded(packed.number, packed.line, packed.look)
    return Row(
        packed.number,
        packed.line,
        packed.tier,
        packed.now,
        packed.differences,
        packed.trouble,
        packed.line.expected_identity_id,
        remark=packed.remark,
    )
