"""The faults of `bench.faults` that are made between the roles and the broker, by the proxy."""

import asyncio
import random
from collections import Counter
from typing import Any

from bench.kafka_frames import TRANSACTIONAL, Act, Api, Rule, rule
from bench.kafka_proxy import KafkaProxy

LATE = "requests of a former transaction come late"
SLOW = "commits are slow"
SILENT = "connections die in silence"
WIRE_FAULTS = (LATE, SLOW, SILENT)

_LASTS_S = (4.0, 8.0)
_LATE_SHARE = 0.1
_LOST_SHARE = 0.03
_LATE_MS = (2.0, 80.0)
_MIDST_MS = (0.0, 40.0)
_ENDS = (Api.END_TXN, Api.TXN_OFFSET_COMMIT)
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
        """The first copies are kept back and their connections reset or silent; they arrive some milliseconds later.

        What ends a transaction, or moves the group's offset, arrives in the midst of the next transaction, whose own
        requests are slow, so that there is time for it.
        """
        rules = [
            *(
                _late_one(Act.LATE_AFTER_RESET, api, behind=Api.ADD_PARTITIONS_TO_TXN, delay_ms=_MIDST_MS)
                for api in _ENDS
            ),
            _late_one(Act.LATE_AFTER_SILENCE, Api.END_TXN, behind=Api.ADD_PARTITIONS_TO_TXN, delay_ms=_MIDST_MS),
            *(_late_one(Act.LATE_AFTER_RESET, api, delay_ms=_LATE_MS) for api in (*TRANSACTIONAL, Api.PRODUCE)),
            rule(Act.LOSE_ANSWER, *TRANSACTIONAL, Api.PRODUCE, share=_LOST_SHARE, times=None),
            rule(Act.HOLD, Api.PRODUCE, Api.TXN_OFFSET_COMMIT, share=_SLOW_SHARE, times=None, delay_ms=_MIDST_MS),
        ]
        applied = [self._proxy.add(each) for each in rules]
        await self._last()
        for each in applied:
            self._proxy.remove(each)
        await asyncio.sleep(1.0)
        for each in applied:
            if each.rule.act is Act.LOSE_ANSWER:
                self.counts["answers lost"] += len(each.caught)
            for request, error in each.late:
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


def _late_one(act: Act, api: Api, **options: Any) -> Rule:
    return rule(act, api, share=_LATE_SHARE, times=None, **options)
