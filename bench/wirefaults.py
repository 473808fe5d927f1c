"""The faults of `bench.faults` that are made between the roles and the broker, by the proxy."""

import asyncio
import random
from collections import Counter

from bench.kafka_frames import TRANSACTIONAL, Act, Api, rule
from bench.kafka_proxy import KafkaProxy

LATE = "requests of a former transaction come late"
SLOW = "commits are slow"
SILENT = "connections die in silence"
WIRE_FAULTS = (LATE, SLOW, SILENT)

_LASTS_S = (4.0, 8.0)
_LATE_SHARE = 0.1
_LATE_MS = (2.0, 80.0)
_SLOW_SHARE = 0.5
_SLOW_MS = (50.0, 2500.0)
_SILENT_SHARE = 0.7


class WireFaults:
    """Makes them, one at a time. `counts`: what was done, in words, and how often."""

    def __init__(self, proxy: KafkaProxy, chance: random.Random, silence_s: float) -> None:
        """`silence_s`: how long silent connections are left to be found out."""
        self._proxy, self._chance, self._silence_s = proxy, chance, silence_s
        self.counts: Counter[str] = Counter()

    async def make(self, fault: str) -> None:
        """One of `WIRE_FAULTS`, from its beginning to its end."""
        if fault == LATE:
            await self._late()
        elif fault == SLOW:
            await self._slow()
        else:
            await self._silent()

    async def _late(self) -> None:
        """The first copies are kept back and their connections reset; they arrive some milliseconds later."""
        rules = [
            self._proxy.add(rule(act, api, share=_LATE_SHARE, times=None, delay_ms=_LATE_MS))
            for act in (Act.LATE_AFTER_RESET, Act.LATE_AFTER_SILENCE)
            for api in ((*TRANSACTIONAL, Api.PRODUCE) if act is Act.LATE_AFTER_RESET else (Api.END_TXN,))
        ]
        await self._last()
        for applied in rules:
            self._proxy.remove(applied)
        await asyncio.sleep(2 * _LATE_MS[1] / 1000)
        for applied in rules:
            for request, error in zip(applied.caught, applied.late_errors, strict=False):
                taken = "never arrived" if error is None else "refused" if error else "answered without an error"
                if request.api_key == Api.PRODUCE:
                    taken = "delivered"
                self.counts[f"late {Api(request.api_key).name} {taken}"] += 1

    async def _slow(self) -> None:
        """The broker gets the requests to commit late, or its answers come late."""
        rules = [
            self._proxy.add(rule(act, Api.END_TXN, share=_SLOW_SHARE, times=None, delay_ms=_SLOW_MS))
            for act in (Act.HOLD, Act.SLOW_ANSWER)
        ]
        await self._last()
        for applied in rules:
            self._proxy.remove(applied)
            self.counts["commits slowed down"] += len(applied.caught)

    async def _silent(self) -> None:
        """All connections, or most of them; new ones are as good as ever."""
        share = self._chance.choice((1.0, _SILENT_SHARE))
        self.counts["connections silenced"] += self._proxy.silence(lambda _: self._chance.random() < share)
        await asyncio.sleep(self._silence_s)

    async def _last(self) -> None:
        await asyncio.sleep(self._chance.uniform(*_LASTS_S))
