"""Writes the decisions of a replay into its capture, in place of those of then, after somebody has read the report."""

from collections.abc import Generator, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from msgspec import structs

from capture.folder import CaptureFolder
from capture.reader import CaptureReader
from capture.replaying.decide import embedder_of
from capture.rows import Row
from contract.captures.convert import REQUESTS_FILE
from contract.captures.values import CapturedDecision, CaptureError, CaptureLine, ConfigLine
from contract.configs import model_set_record

_BATCH = 200  # lines that are written at once
_NOTHING_ACCEPTED = "nothing was accepted"


@dataclass(slots=True)
class Accepted:
    """The number of decisions that were accepted."""

    decisions: int = 0


def accepting(capture: Path, rows: Iterable[Row], accepted: Accepted) -> Generator[Row]:
    """Yield the rows of a replay of a capture; behind the last one, put the decisions that differ into the capture.

    The requests are replaced at once, so that after a crash the capture has either the old decisions or the new ones.
    Where no decision differs, nothing is written. Decisions that do not differ, lines that were not compared, and lines
    without a decision stay as they are. The time, the policy and the embedding of a decision are those of then, unless
    its picture was looked at.

    Args:
        capture: the folder of the capture.
        rows: all rows, in the order of the lines.
        accepted: counts the decisions that were put into the capture.

    Raises:
        CaptureError: a row could not be decided or another embedder decided, and nothing was accepted; or the capture
            cannot be written, and has either the old decisions or the new ones.
    """
    if not capture.is_dir():
        raise CaptureError(f"{capture} is not a folder; unpack it with `picturematch capture unpack`, and accept there")
    with ExitStack() as stack:
        folder = stack.enter_context(CaptureFolder(capture))
        lines = CaptureReader(capture, check=False).lines()
        model_sets: dict[str, ConfigLine] = {}
        with folder.replacing_requests() as new:
            batch: list[CaptureLine] = []
            for row, (_, line) in zip(rows, lines, strict=True):
                after = _line_after(line, row)
                accepted.decisions += after is not line
                if after is not line and after.decision is not None and row.tier == "look":
                    config = _model_set(after.decision)
                    model_sets[config.key] = config
                batch.append(after)
                if len(batch) == _BATCH:
                    new.append(batch)
                    batch.clear()
                yield row
            new.append(batch)
            new.add_configs([config for key, config in model_sets.items() if key not in folder.config_keys])
            if not accepted.decisions:
                new.drop()


def _line_after(line: CaptureLine, row: Row) -> CaptureLine:
    """Return the line with the decision of now; the same line where nothing differs.

    Raises:
        CaptureError: the decision of now cannot be accepted.
    """
    then, now = line.decision, row.now
    if row.trouble is not None:
        raise _refusal(row.number, row.trouble)
    if not row.differences or then is None or now is None:
        return line
    before, after = embedder_of(then), embedder_of(now)
    if before and after and before != after:
        raise _refusal(row.number, f"the embedder of then was {before}, and that of now is {after}")
    changed = structs.replace(now, policy=then.policy, decided_time=then.decided_time, timings_ms=then.timings_ms)
    if row.tier == "decide" and now.candidates:
        changed = structs.replace(changed, embedding=then.embedding)
    return structs.replace(line, decision=changed)


def _refusal(number: int, reason: str) -> CaptureError:
    return CaptureError(f"line {number} of {REQUESTS_FILE}: {reason}; {_NOTHING_ACCEPTED}")


def _model_set(decision: CapturedDecision) -> ConfigLine:
    return ConfigLine(key=model_set_record(decision.models).key.decode(), value=dict(decision.models))
