"""Whether the system's clock is trusted when the log removes records that are past their age.

The wall clock is compared with the time since boot, which nobody can set. A wall clock that jumps by more than the
shortest retention is not trusted: a clock that is a year ahead for a minute must not erase the log. How long a machine
was off cannot be measured; so after a boot, a clock that is far ahead is trusted only after a trial.
"""

import time
from dataclasses import dataclass
from pathlib import Path

TRIAL_MS = 3600 * 1000
"""For so long a clock that is far ahead after a boot must go evenly before it is trusted."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_HOUR_MS = 3600 * 1000


@dataclass(frozen=True, slots=True)
class Reading:
    """The clocks at one moment: epoch milliseconds, milliseconds since boot, and the boot's id (empty: unknown)."""

    wall_ms: int
    boot_ms: int
    boot_id: str = ""

    def jump_ms(self, since: "Reading") -> int:
        """Return by how much more the wall clock advanced since then than the time since boot; negative: by less."""
        return (self.wall_ms - since.wall_ms) - (self.boot_ms - since.boot_ms)

    def same_boot(self, other: "Reading") -> bool:
        """Return whether both readings are from the same boot, `other` first, so that their times can be compared."""
        return bool(self.boot_id) and self.boot_id == other.boot_id and self.boot_ms >= other.boot_ms


def doubt(
    now: Reading, trusted: Reading | None, newest_ms: int | None, even_since: Reading, shortest_ms: int | None
) -> str | None:
    """Return why the clock is not trusted, as a sentence; None: it is trusted, and old records may be removed.

    Args:
        now: the clocks.
        trusted: the clocks when they were trusted last, perhaps by another process or before a boot.
        newest_ms: the time of the newest record, which is used where `trusted` is None.
        even_since: the clocks when this process first read them, or at the last jump since then.
        shortest_ms: the shortest retention of all topics; None: no topic removes records for their age.
    """
    if shortest_ms is None:
        return None
    if trusted is not None and now.same_boot(trusted):
        jump_ms = now.jump_ms(trusted)
        if abs(jump_ms) <= shortest_ms:
            return None
        return f"the system's clock is {_span(jump_ms)} of the time that follows from the time since boot"
    known_ms = trusted.wall_ms if trusted is not None else newest_ms
    if known_ms is None:
        return None
    ahead_ms = now.wall_ms - known_ms
    if ahead_ms < -shortest_ms:
        return f"the system's clock is {_span(ahead_ms)} of the newest time in the log"
    off_ms = ahead_ms - (now.boot_ms if trusted is not None and now.boot_id else 0)
    if off_ms <= shortest_ms or now.boot_ms - even_since.boot_ms >= TRIAL_MS:
        return None
    return (
        f"the system's clock is {_span(ahead_ms)} of the newest time in the log, which is right only if this machine"
        f" was off for so long; the clock is trusted once it has gone evenly for {TRIAL_MS // 60_000} minutes"
    )


def even_since(now: Reading, since: Reading, shortest_ms: int | None) -> Reading:
    """Return since when the clocks have gone evenly: `since`, or `now` if the wall clock has jumped meanwhile."""
    return since if shortest_ms is None or abs(now.jump_ms(since)) <= shortest_ms else now


def boottime_ms() -> int:
    """Return the milliseconds since boot, including time that the system slept (Linux; else the monotonic clock)."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return int(time.clock_gettime(clock) * 1000)


def boot_id() -> str:
    """Return the id of the current boot of the system; empty where the system has none."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _span(ms: int) -> str:
    hours = abs(ms) / _HOUR_MS
    if hours >= 48:
        length = f"{hours / 24:.1f} days"
    else:
        length = f"{hours:.1f} hours" if hours >= 1 else f"{hours * 60:.1f} minutes"
    return f"{length} {'ahead' if ms > 0 else 'behind'}"
