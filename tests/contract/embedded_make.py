"""The embedded make under test: a folder, a clock that the test moves, housekeeping on demand."""

import time
from pathlib import Path

from broker.embedded import EmbeddedBroker, open_embedded
from broker.port import Broker


class EmbeddedMake:
    """See `tests.contract.suites.KeepingMake`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._now_ms = int(time.time() * 1000)
        self._boot_ms = 10_000_000

    def open(self) -> EmbeddedBroker:
        return open_embedded(
            self.folder,
            role="owner",
            clock_ms=lambda: self._now_ms,
            boottime_ms=lambda: self._boot_ms,
            housekeeping_s=3600,
        )

    def guest(self) -> EmbeddedBroker:
        return open_embedded(self.folder, role="guest", clock_ms=lambda: self._now_ms)

    def topic(self, name: str) -> str:
        return name

    def elapse(self, ms: int) -> None:
        self._now_ms += ms
        self._boot_ms += ms

    @property
    def now_ms(self) -> int:
        """What the wall clock says."""
        return self._now_ms

    def reboot(self, off_ms: int) -> None:
        """Switch the machine off for so long. The same boot with an earlier time is none that can be compared."""
        self._now_ms += off_ms
        self._boot_ms = 60_000

    def set_clock(self, ms: int) -> None:
        """Put the wall clock on or back, while no time passes."""
        self._now_ms += ms

    async def let_pass(self, broker: Broker, topic: str, ms: int) -> None:
        self.elapse(ms)
        await self.tidy(broker)

    async def tidy(self, broker: Broker) -> None:
        assert isinstance(broker, EmbeddedBroker)
        await broker.housekeep()
