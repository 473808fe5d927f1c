"""Whether the system's clock may be believed when the log removes what is past its age.

The wall clock is held against the time since boot, which nobody sets. A wall clock that jumps by more than the shortest
retention is not believed: a clock that is a year ahead for a minute must not erase the log. What cannot be told is how
long a machine was off; so after a boot a clock that is far ahead is on trial first.
"""

import time
from dataclasses import dataclass
from pathlib import Path

TRIAL_MS = 3600 * 1000
"""So long a clock must go evenly after a boot before it is believed that the machine was off for all that time."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_HOUR_MS = 3600 * 1000


@dataclass(frozen=True, slots=True)
class Reading:
    """The clocks at one moment: epoch milliseconds, milliseconds since boot, and which boot (empty: not known)."""

    wall_ms: int
    boot_ms: int
    boot_id: str = ""

    def jump_ms(self, since: "Reading") -> int:
        """How far the wall clock went ahead of the time since boot meanwhile; negative: it was put back."""
        return (self.wall_ms - since.wall_ms) - (self.boot_ms - since.boot_ms)

    def same_boot(self, other: "Reading") -> bool:
        """Whether the times since boot of both can be compared."""
        return bool(self.boot_id) and self.boot_id == other.boot_id and self.boot_ms >= other.boot_ms


def doubt(
    now: Reading, trusted: Reading | None, newest_ms: int | None, even_since: Reading, shortest_ms: int | None
) -> str | None:
    """Why nothing may be removed for its age now, as a sentence; None: the clock is believed.

    Args:
        now: the clocks.
        trusted: the clocks when they were believed last, perhaps by another process or before a boot.
        newest_ms: the time of the newest record, which counts where `trusted` is not known.
        even_since: the clocks when this process began to watch them, or at the last jump since.
        shortest_ms: the shortest retention of all topics; None: nothing is removed for its age.
    """
    if shortest_ms is None:
        return None
    if trusted is not None and now.same_boot(trusted):
        jump_ms = now.jump_ms(trusted)
        if abs(jump_ms) <= shortest_ms:
            return None
        return f"the system's clock is {_span(jump_ms)} of where it should be by the time since boot"
    known_ms = trusted.wall_ms if trusted is not None else newest_ms
    if known_ms is None:
        return None
    ahead_ms = now.wall_ms - known_ms
    if ahead_ms < -shortest_ms:
        return f"the system's clock is {_span(ahead_ms)} of what the log holds"
    off_ms = ahead_ms - (now.boot_ms if trusted is not None and now.boot_id else 0)
    if off_ms <= shortest_ms or now.boot_ms - even_since.boot_ms >= TRIAL_MS:
        return None
    return (
        f"the system's clock is {_span(ahead_ms)} of what the log holds, and only a machine that was off for so long"
        f" explains that; it is believed once it has gone evenly for {TRIAL_MS // 60_000} minutes"
    )


def even_since(now: Reading, since: Reading, shortest_ms: int | None) -> Reading:
    """Since when the clocks have gone evenly, given since when they had at the last look."""
    return since if shortest_ms is None or abs(now.jump_ms(since)) <= shortest_ms else now


def boottime_ms() -> int:
    """Milliseconds since boot, with the time that the system slept (Linux; elsewhere the monotonic clock)."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return int(time.clock_gettime(clock) * 1000)


def boot_id() -> str:
    """Which boot of the system this is; empty where it does not say."""
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
