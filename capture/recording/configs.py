"""Reads the configs topic: the policies and model sets that decisions name, and the checkpoints of the gallery."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack

import msgspec

from broker.port import Broker, Reader, Start
from capture.folder import CaptureFolder
from contract.captures.values import CapturedDecision, ConfigLine
from contract.configs import CHECKPOINT_KEYS, Checkpoint

_BATCH = 500
_POLL_S = 0.2
_TRIES, _AGAIN_S = 3, 0.1
"""A policy is written in the transaction of the first event that names it, and is readable moments after the event."""

_object_decoder = msgspec.json.Decoder(dict[str, object])
_checkpoint_decoder = msgspec.json.Decoder(Checkpoint)


class ConfigsReader:
    """The newest record of each key of the configs topic, read as far as decisions need."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self._broker, self._topic = broker, topic
        self._reader: Reader | None = None
        self._configs: dict[str, ConfigLine] = {}
        self._checkpoints: dict[bytes, Checkpoint] = {}
        self._gone: set[str] = set()

    async def begin(self, stack: AsyncExitStack) -> None:
        """Read what the topic contains now.

        Raises:
            BrokerError: the log cannot be read.
        """
        self._reader = await stack.enter_async_context(self._broker.reader(self._topic, Start.EARLIEST, [0]))
        await self._read_on()

    @property
    def checkpoints(self) -> Sequence[Checkpoint]:
        """The checkpoints, by rising gallery version."""
        return sorted(self._checkpoints.values(), key=lambda checkpoint: checkpoint.gallery_version)

    async def keep(self, folder: CaptureFolder, decisions: Iterable[CapturedDecision]) -> Sequence[ConfigLine]:
        """Return the policies and model sets that the decisions name and that the capture does not have yet.

        Those that the topic does not contain are left out.

        Raises:
            BrokerError: the log cannot be read.
        """
        named = dict.fromkeys(key for decision in decisions for key in _keys(decision))
        missing = [key for key in named if key not in folder.config_keys]
        for _ in range(_TRIES):
            if all(key in self._configs or key in self._gone for key in missing):
                break
            await self._read_on()
            await asyncio.sleep(_AGAIN_S)
        self._gone.update(key for key in missing if key not in self._configs)
        return [self._configs[key] for key in missing if key in self._configs]

    async def _read_on(self) -> None:
        if self._reader is None:
            return
        end = (await self._broker.end_offsets(self._topic)).get(0, 0)
        while self._reader.positions()[0] < end:
            for record in await self._reader.fetch(_BATCH, _POLL_S):
                self._take(record.key or b"", record.value or b"")

    def _take(self, key: bytes, value: bytes) -> None:
        try:
            if key.startswith(CHECKPOINT_KEYS):
                self._checkpoints[key] = _checkpoint_decoder.decode(value)
            else:
                name = key.decode()
                self._configs[name] = ConfigLine(key=name, value=_object_decoder.decode(value))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return  # a damaged record


def _keys(decision: CapturedDecision) -> Iterable[str]:
    if decision.policy is not None:
        yield f"policy/{decision.policy}"
    if decision.model_set is not None:
        yield f"model-set/{decision.model_set}"
