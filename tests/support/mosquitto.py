"""An MQTT broker of a test's own (Debian package mosquitto), and a client that keeps what it receives."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.support.certificates import Pair
from tests.support.ports import free_port
from tests.support.programs import needed
from tests.support.waiting import until

_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"
"""Debian puts the broker where only root looks for programs."""
_PROGRAM, _PASSWORDS = shutil.which("mosquitto", path=_PATH), shutil.which("mosquitto_passwd", path=_PATH)
needs_mosquitto = needed(None if _PROGRAM and _PASSWORDS else "mosquitto is not installed (Debian package mosquitto)")

USER, PASSWORD = "sink", "a secret of the sink"
PATIENCE_S = 30.0
_FOR_EVER_S = 0xFFFFFFFF


class Mosquitto:
    """A broker on a port of its own, that keeps sessions and retained messages in its folder over a restart.

    `lines`: lines of its configuration; the line that a listener needs comes first.
    """

    def __init__(self, folder: Path, *lines: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port = folder, free_port()
        self._lines = lines or ("allow_anonymous true",)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the broker, and return when it accepts connections."""
        kept = ("persistence true", f"persistence_location {self.folder}/", "autosave_on_changes true")
        user = ("user root",) if os.geteuid() == 0 else ()
        more = (f"listener {self.port} 127.0.0.1", *self._lines, *kept, "autosave_interval 1", *user)
        config = self.folder / "mosquitto.conf"
        config.write_text("\n".join((*more, "max_queued_messages 0", "log_dest stderr", "log_type error", "")))
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([str(_PROGRAM), "-c", config], stdout=log, stderr=log)
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline_s
            time.sleep(0.02)

    def send(self, number: signal.Signals) -> None:
        """Send a signal: SIGSTOP makes the broker hang, SIGCONT lets it go on."""
        assert self._process is not None
        self._process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the broker by a signal."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
            self._process.wait(PATIENCE_S)
            self._process = None


@contextmanager
def mosquitto(folder: Path, *lines: str) -> Iterator[Mosquitto]:
    """Yield a broker that runs; it is killed at the end."""
    broker = Mosquitto(folder, *lines)
    broker.start()
    try:
        yield broker
    finally:
        broker.end(signal.SIGKILL)


def with_password(folder: Path) -> tuple[str, ...]:
    """Lines of a broker that knows one user."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "passwords"
    file.touch(mode=0o600)
    subprocess.run([str(_PASSWORDS), "-b", file, USER, PASSWORD], check=True, capture_output=True)
    return ("allow_anonymous false", f"password_file {file}")


def with_tls(pair: Pair) -> tuple[str, ...]:
    """Lines of a broker that speaks TLS."""
    return ("allow_anonymous true", f"certfile {pair.cert}", f"keyfile {pair.key}")


@dataclass(frozen=True, slots=True)
class Received:
    """A message as the watcher received it. `user`: the user properties."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    content_type: str | None
    expiry_s: int | None
    user: dict[str, str]


@dataclass
class Watcher:
    """What a client has received, in its order, and how much per topic; its session outlives its connections."""

    received: list[Received] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    connected: int = 0

    def at(self, topic: str) -> list[Received]:
        """The messages of a topic."""
        return [one for one in self.received if one.topic == topic]

    def under(self, prefix: str) -> list[Received]:
        """The messages of all topics that begin like this."""
        return [one for one in self.received if one.topic.startswith(prefix)]

    async def gets(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds."""
        await until(condition, PATIENCE_S)


@asynccontextmanager
async def watching(broker: Mosquitto, topic: str = "#", qos: int = 2, name: str = "watcher") -> AsyncIterator[Watcher]:
    """Yield a client that is subscribed to a topic filter, also over restarts of the broker."""
    watcher = Watcher()
    task = asyncio.create_task(_watch(watcher, broker.port, topic, qos, name))
    try:
        await until(lambda: watcher.connected or task.done(), PATIENCE_S)
        yield watcher
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _watch(watcher: Watcher, port: int, topic: str, qos: int, name: str) -> None:
    lasting = Properties(PacketTypes.CONNECT)
    lasting.SessionExpiryInterval = _FOR_EVER_S
    v5 = aiomqtt.ProtocolVersion.V5
    while True:
        client = aiomqtt.Client(
            "127.0.0.1", port, identifier=name, protocol=v5, clean_start=False, properties=lasting, timeout=5
        )
        try:
            async with client:
                await client.subscribe(topic, qos)
                watcher.connected += 1
                async for message in client.messages:
                    watcher.received.append(_received(message))
                    watcher.counts[str(message.topic)] += 1
        except aiomqtt.MqttError:
            await asyncio.sleep(0.05)


def _received(message: aiomqtt.Message) -> Received:
    properties: dict[str, Any] = vars(message.properties) if message.properties is not None else {}
    return Received(
        topic=str(message.topic),
        payload=bytes(message.payload or b""),
        qos=message.qos,
        retain=bool(message.retain),
        content_type=properties.get("ContentType"),
        expiry_s=properties.get("MessageExpiryInterval"),
        user=dict(properties.get("UserProperty", ())),
    )


async def publish(broker: Mosquitto, topic: str, payload: bytes, *, retain: bool = False) -> None:
    """Publish one message, as another program would."""
    async with aiomqtt.Client("127.0.0.1", broker.port) as client:
        await client.publish(topic, payload, qos=1, retain=retain)


async def retained(broker: Mosquitto, topic: str) -> dict[str, bytes]:
    """The retained messages that match a topic filter, topic -> payload."""
    found: dict[str, bytes] = {}
    end = "test/end-of-retained"
    async with aiomqtt.Client("127.0.0.1", broker.port) as client:
        await client.subscribe([(topic, 1), (end, 1)])
        await client.publish(end, b"", qos=1)
        async with asyncio.timeout(PATIENCE_S):
            async for message in client.messages:
                if str(message.topic) == end:
                    return found
                if message.retain:
                    found[str(message.topic)] = bytes(message.payload or b"")
    return found
