"""Announces devices to Home Assistant, and removes what is announced of devices that were deleted."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from importlib.metadata import version

from contract.addresses import canonical_address
from contract.people.site import Site
from sinks.mqtt_client import Lost, Message, Refused, TooLarge
from sinks.mqtt_home import announced, announcements, outdated
from sinks.settings import MqttSettings

_log = logging.getLogger(__name__)

MOST_SEEN = 200
"""The most addresses without a registered device that are announced: a request can contain any address."""
_LOOK_EVERY_S = 1.0

Put = Callable[[Message], Awaitable[None]]
"""A function that publishes a message; it raises what `MqttClient.put` raises."""


class Announcer:
    """Keeps the discovery messages of a sink.

    Args:
        settings: The settings of the sink.
        site: Returns the registered devices.
        put: Publishes a message.
    """

    def __init__(self, settings: MqttSettings, site: Callable[[], Site], put: Put) -> None:
        self._settings, self._site, self._put = settings, site, put
        self._version = version("picturematch")
        self._configs = f"{settings.discovery_prefix}/device/"
        self._home_status = f"{settings.discovery_prefix}/status"
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._full_logged = False
        self._mine: dict[str, bytes] = {}
        self._found: dict[str, bytes] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def filters(self) -> tuple[str, ...]:
        """The topic filters of the messages that `take` needs."""
        return (self._home_status, f"{self._configs}+/config")

    def open(self) -> None:
        """Begin to announce, in the background."""
        self._task = asyncio.create_task(self._run(), name=f"sink-{self._settings.name}-home-assistant")

    async def close(self) -> None:
        """End; what is announced stays."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def connected(self) -> None:
        """Announce everything that the broker does not have; called on every new connection."""
        self._mine.clear()
        self._found.clear()
        self._wake.set()

    def note(self, address: str) -> None:
        """Announce an address from which a request has come, unless a registered device has it."""
        address = canonical_address(address)
        if address in self._seen or self._site().device_at(address) is not None:
            return
        if len(self._seen) < MOST_SEEN:
            self._seen[address] = None
            self._wake.set()
        elif not self._full_logged:
            self._full_logged = True
            _log.warning(
                "sink %s announces no more than %d addresses without a registered device to Home Assistant",
                *(self._settings.name, MOST_SEEN),
            )

    async def take(self, topic: str, payload: bytes) -> None:
        """Take a message from the broker: that Home Assistant has started, or a discovery message that it has."""
        if topic == self._home_status:
            if payload == b"online":
                self.connected()
        elif announced(self._settings, payload) is None:
            self._found.pop(topic, None)
        elif topic not in self._mine:
            self._found[topic] = payload
            self._wake.set()

    async def _run(self) -> None:
        last: Site | None = None
        while True:
            site = self._site()
            if self._wake.is_set() or last is None or site.devices is not last.devices:
                self._wake.clear()
                last = site
                if not await self._publish(site):
                    last = None
            try:
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _publish(self, site: Site) -> bool:
        """Publish what differs; return False where the broker was lost meanwhile."""
        wanted = announcements(self._settings, site, self._seen, self._version)
        changes = {topic: payload for topic, payload in wanted.items() if self._mine.get(topic) != payload}
        gone = outdated(self._settings, site, self._found | self._mine)
        try:
            for topic, payload in changes.items():
                if self._found.get(topic) != payload:
                    await self._publish_one(topic, payload)
                self._mine[topic] = payload
            for topic in gone:
                if topic not in wanted:
                    await self._publish_one(topic, b"")
                    self._mine.pop(topic, None)
                    self._found.pop(topic, None)
        except Lost:
            return False
        return True

    async def _publish_one(self, topic: str, payload: bytes) -> None:
        try:
            await self._put(Message(topic=topic, payload=payload, retain=True))
        except (Refused, TooLarge, ValueError) as error:
            _log.warning("sink %s cannot announce a device to Home Assistant: %s", self._settings.name, error)
