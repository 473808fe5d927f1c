"""When a delivery that failed is tried again, and how often. Pure; chance is an argument."""

from typing import Annotated

import msgspec
from msgspec import Meta


class Retrying(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Repeated tries of one event; the table `retrying` of a sink's settings.

    The wait doubles from `first_wait_s` up to `longest_wait_s`, and a random part of it, up to one half, is left out,
    so that many sinks do not try at the same moment. An event that has failed `max_tries` times becomes a dead letter
    where the receiver takes other events; where it takes none, the events wait for it, for `patience_s` at most.
    """

    max_tries: Annotated[int, Meta(ge=1, le=10_000)] = 12
    """Tries of one event, the first one included, after which it becomes a dead letter if the receiver takes others."""
    first_wait_s: Annotated[float, Meta(gt=0, le=3600)] = 1.0
    """Seconds before the second try."""
    longest_wait_s: Annotated[float, Meta(gt=0, le=86_400)] = 300.0
    """Longest wait between two tries, in seconds."""
    patience_s: Annotated[float, Meta(ge=0, le=31_536_000)] = 259_200.0
    """Seconds for which events wait for a receiver that takes none; then an event that has failed `max_tries` times
    becomes a dead letter."""

    def wait_s(self, failed: int, chance: float, asked_s: float | None = None) -> float | None:
        """Return the seconds before the next try; None: there is no further one.

        Args:
            failed: the number of tries that have failed, from 1 on.
            chance: a random number, 0 to 1.
            asked_s: the wait that the receiver has asked for, in seconds; it is kept up to `longest_wait_s`.
        """
        if failed >= self.max_tries:
            return None
        wait_s = self._whole_s(failed) * (1 - chance / 2)
        return wait_s if asked_s is None else min(max(wait_s, asked_s), self.longest_wait_s)

    def probe_s(self, chance: float) -> float:
        """Return the seconds between two tries while events wait for a receiver that takes none."""
        return self.longest_wait_s * (1 - chance / 2)

    @property
    def horizon_s(self) -> float:
        """The longest time from the first to the last try of one event, in seconds, without the tries themselves."""
        doubling = min(self.max_tries - 1, 64)
        waits = sum(self._whole_s(failed) for failed in range(1, doubling + 1))
        waits += (self.max_tries - 1 - doubling) * self.longest_wait_s
        return max(waits, self.patience_s + self.longest_wait_s)

    def _whole_s(self, failed: int) -> float:
        return float(min(self.longest_wait_s, self.first_wait_s * 2 ** min(failed - 1, 64)))
