"""Decides chunks of lines in several processes and returns their results in the order of the lines."""

import gc
import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice

import msgspec
from threadpoolctl import threadpool_limits

from capture.replaying.chunks import Chunk
from capture.replaying.decide import Decider, LookNeeded, Result
from capture.replaying.given import Given
from capture.replaying.kept_looks import by_request
from capture.rows import Difference, Row, Tier
from contract.captures.values import CapturedDecision, CaptureError, CaptureLine
from contract.terms import Message

_AHEAD = 3
"""The number of chunks for each process that are in memory at once."""


class _Packed(Message, frozen=True, kw_only=True, array_like=True):
    """A result as it travels between processes; `look` is the reason of a `LookNeeded`.

    `same`: the decision of now is that of then, and `now` is None.
    """

    number: int
    line: CaptureLine
    tier: Tier | None = None
    now: CapturedDecision | None = None
    same: bool = False
    differences: tuple[Difference, ...] | None = None
    trouble: str | None = None
    remark: str | None = None
    look: str | None = None
    keeps: bool = False


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[list[_Packed], str | None])


def decide_chunks(chunks: Iterable[Chunk], given: Given, jobs: int) -> Iterator[Result]:
    """Yield the result of every line, in the order of the lines; the lines in results have no embedding.

    `jobs`: the number of processes; with 1 the lines are decided in this process.

    Raises:
        CaptureError: a line is damaged; the results of all lines before it were yielded.
    """
    answers = _decided_here(chunks, given) if jobs == 1 else _decided_elsewhere(chunks, given, jobs)
    for results, damage in answers:
        yield from results
        if damage is not None:
            raise CaptureError(damage)


def _decided_here(chunks: Iterable[Chunk], given: Given) -> Iterator[tuple[Iterable[Result], str | None]]:
    decider = Decider(given)
    return (_decided(decider, chunk) for chunk in chunks)


def _decided_elsewhere(
    chunks: Iterable[Chunk], given: Given, jobs: int
) -> Iterator[tuple[Iterable[Result], str | None]]:
    # A process that is started anew shares no lock with the threads of this one.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _begin, (given,)) as pool:
        remaining = _read(chunks)
        waiting: deque[Future[bytes] | str] = deque(_submitted(pool, remaining, jobs * _AHEAD))
        try:
            while waiting:
                first = waiting.popleft()
                if isinstance(first, str):
                    yield (), first
                    continue
                packed, damage = _decoder.decode(first.result())
                waiting.extend(_submitted(pool, remaining, 1))
                yield map(_unpacked, packed), damage
        finally:
            pool.shutdown(cancel_futures=True)


def _read(chunks: Iterable[Chunk]) -> Iterator[Chunk | str]:
    """Yield the chunks, and after them the damage that was found at the end of the file: chunks are read ahead."""
    try:
        yield from chunks
    except CaptureError as error:
        yield str(error)


def _submitted(pool: ProcessPoolExecutor, remaining: Iterator[Chunk | str], most: int) -> Iterator[Future[bytes] | str]:
    for chunk in islice(remaining, most):
        yield chunk if isinstance(chunk, str) else pool.submit(_work, chunk)


_deciders: list[Decider] = []


def _begin(given: Given) -> None:
    """Prepare a new process."""
    threadpool_limits(1)  # the processes are as many as the cores
    gc.disable()  # the values of a chunk refer to no values that refer to them, and are very many
    _deciders.append(Decider(given))


def _work(chunk: Chunk) -> bytes:
    results, damage = _decided(_deciders[0], chunk)
    return _encoder.encode(([_packed(result) for result in results], damage))


def _decided(decider: Decider, chunk: Chunk) -> tuple[Sequence[Result], str | None]:
    """Return the results of the lines up to the first damaged one, and the damage."""
    lines: list[tuple[int, CaptureLine]] = []
    damage = None
    try:
        for numbered in chunk.lines():
            lines.append(numbered)  # noqa: PERF402 - the lines before a damaged one are kept
    except CaptureError as error:
        damage = str(error)
    return decider.decide(lines, by_request(chunk.looks)), damage


def _packed(result: Result) -> _Packed:
    if isinstance(result, LookNeeded):
        return _Packed(number=result.number, line=result.line, look=result.reason, keeps=result.keeps)
    same = result.now is not None and result.now == result.line.decision
    return _Packed(
        number=result.number,
        line=result.line,
        tier=result.tier,
        now=None if same else result.now,
        same=same,
        differences=result.differences,
        trouble=result.trouble,
        remark=result.remark,
    )


def _unpacked(packed: _Packed) -> Result:
    if packed.look is not None:
        return LookNeeded(packed.number, packed.line, packed.look, packed.keeps)
    return Row(
        packed.number,
        packed.line,
        packed.tier,
        packed.line.decision if packed.same else packed.now,
        packed.differences,
        packed.trouble,
        packed.line.expected_identity_id,
        remark=packed.remark,
    )
