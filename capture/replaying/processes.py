"""Decides chunks of lines in several processes and returns their results in the order of the lines."""

import gc
import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, Generic, NamedTuple

import msgspec
from msgspec import structs
from threadpoolctl import threadpool_limits

from capture.replaying.chunks import Chunk
from capture.replaying.decide import Decider, LookNeeded, Result, without_embedding
from capture.replaying.given import Given
from capture.replaying.kept_looks import by_request
from capture.rows import Difference, Row, S, SameRows, Summing, Tier
from contract.captures.values import CapturedDecision, CaptureError, CaptureLine
from contract.operator_error import OperatorError
from contract.terms import Message

_AHEAD = 3
"""The number of chunks for each process that are in memory at once."""


_PROCESS_LOST = (
    "a process of the replay was ended from outside, most likely because the memory of the machine is exhausted; use "
    "fewer processes (--jobs)"
)


class ProcessLost(OperatorError):
    """A process that decides chunks was ended; the message is a sentence for the user."""


class _Packed(Message, frozen=True, kw_only=True, array_like=True):
    """A result as it travels between processes; `look` is the reason of a `LookNeeded`, whose row without
    a look is there if `otherwise`.

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
    otherwise: bool = False


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[_Packed])


_Answer = tuple[bytes, SameRows[Any] | None, str | None]
"""A `_Decided` as it travels between processes: its results are packed."""


class _Decided(NamedTuple, Generic[S]):
    """The results of a chunk; `same`: the rows that were added up instead; `damage`: why the chunk ends early."""

    results: Iterable[Result]
    same: SameRows[S] | None
    damage: str | None


class _Worker(Generic[S]):
    """Decides chunks."""

    def __init__(self, given: Given, summing: Summing[S] | None) -> None:
        self._decider, self._summing = Decider(given), summing
        self._pictures, self._keep_going = given.pictures, given.keep_going

    def decide(self, chunk: Chunk) -> _Decided[S]:
        """Return the results of the lines of a chunk up to the first damaged one."""
        lines = list[tuple[int, CaptureLine]]()
        damage: str | None = None
        try:
            for numbered in chunk.lines():
                lines.append(numbered)  # those before a damaged one are kept
        except CaptureError as error:
            damage = str(error)
        missing = {} if self._pictures is None else self._pictures.missing(lines)
        if missing and not self._keep_going:
            first = min(missing)
            lines, damage = [numbered for numbered in lines if numbered[0] < first], missing[first]
        results = self._decided(lines, missing, chunk)
        if self._summing is None:
            return _Decided(results, None, damage)
        same, others = list[Row](), list[Result]()
        for result in results:
            if isinstance(result, Row) and result.differences == () and result.trouble is None and not result.remark:
                same.append(result)
            else:
                others.append(result)
        return _Decided(others, SameRows(len(same), self._summing(same)) if same else None, damage)

    def _decided(
        self, lines: Sequence[tuple[int, CaptureLine]], missing: Mapping[int, str], chunk: Chunk
    ) -> Sequence[Result]:
        """Return the results of lines in their order; those whose picture is missing cannot be decided."""
        looks = by_request(chunk.looks)
        if not missing:
            return self._decider.decide(lines, looks)
        decided = self._decider.decide([numbered for numbered in lines if numbered[0] not in missing], looks)
        undecided = [
            Row(number, without_embedding(line), trouble=missing[number], expected=line.expected_identity_id)
            for number, line in lines
            if number in missing
        ]
        return sorted([*decided, *undecided], key=lambda result: result.number)


def decide_chunks(
    chunks: Iterable[Chunk], given: Given, jobs: int, summing: Summing[S] | None = None
) -> Iterator[Result | SameRows[S]]:
    """Yield the result of every line, in the order of the lines; the lines in results have no embedding.

    `jobs`: the number of processes; with 1 the lines are decided in this process. `summing`: adds up the rows of each
    chunk in which nothing differs; they are yielded as one `SameRows`, behind the other results of the chunk.

    Raises:
        CaptureError: a line is damaged; the results of all lines before it were yielded.
        ProcessLost: a process was ended from outside.
    """
    answers = (
        map(_Worker(given, summing).decide, chunks) if jobs == 1 else _decided_elsewhere(chunks, given, jobs, summing)
    )
    for results, same, damage in answers:
        yield from results
        if same is not None:
            yield same
        if damage is not None:
            raise CaptureError(damage)


def _decided_elsewhere(
    chunks: Iterable[Chunk], given: Given, jobs: int, summing: Summing[S] | None
) -> Iterator[_Decided[S]]:
    # A process that is started anew shares no lock with the threads of this one.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _begin, (given, summing)) as pool:
        remaining = _read(chunks)
        waiting: deque[Future[_Answer] | str] = deque(_submitted(pool, remaining, jobs * _AHEAD))
        try:
            while waiting:
                first = waiting.popleft()
                if isinstance(first, str):
                    yield _Decided((), None, first)
                    continue
                packed, same, damage = first.result()
                waiting.extend(_submitted(pool, remaining, 1))
                yield _Decided(map(_unpacked, _decoder.decode(packed)), same, damage)
        except BrokenProcessPool as error:
            raise ProcessLost(_PROCESS_LOST) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _read(chunks: Iterable[Chunk]) -> Iterator[Chunk | str]:
    """Yield the chunks, and after them the damage that was found at the end of the file: chunks are read ahead."""
    try:
        yield from chunks
    except CaptureError as error:
        yield str(error)


def _submitted(
    pool: ProcessPoolExecutor, remaining: Iterator[Chunk | str], most: int
) -> Iterator[Future[_Answer] | str]:
    for chunk in islice(remaining, most):
        yield chunk if isinstance(chunk, str) else pool.submit(_work, chunk)


_workers: list[_Worker[Any]] = []


def _begin(given: Given, summing: Summing[Any] | None) -> None:
    """Prepare a new process."""
    threadpool_limits(1)  # the processes are as many as the cores
    gc.disable()  # the values of a chunk refer to no values that refer to them, and are very many
    _workers.append(_Worker(given, summing))


def _work(chunk: Chunk) -> _Answer:
    results, same, damage = _workers[0].decide(chunk)
    return _encoder.encode([_packed(result) for result in results]), same, damage


def _packed(result: Result) -> _Packed:
    if isinstance(result, LookNeeded):
        if result.otherwise is not None:
            row = _packed(result.otherwise)
            return structs.replace(row, look=result.reason, keeps=result.keeps, otherwise=True)
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
        otherwise = _row(packed) if packed.otherwise else None
        return LookNeeded(packed.number, packed.line, packed.look, packed.keeps, otherwise)
    return _row(packed)


def _row(packed: _Packed) -> Row:
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
