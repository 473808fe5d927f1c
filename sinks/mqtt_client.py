"""A connection to an MQTT broker that tells what the broker refuses and what it takes.

aiomqtt passes over the reason codes of PUBACK, with which an MQTT 5 broker refuses a message, and it waits for its
whole time limit where the connection has broken. A refused message would count as delivered then. So this module
reaches below aiomqtt's public interface, to the client of paho-mqtt that it drives.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiomqtt
from paho.mqtt.client import MQTT_ERR_SUCCESS, ConnectFlags
from paho.mqtt.client import Client as PahoClient
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

T = TypeVar("T")

_IN_FLIGHT = 20
"""The most messages that wait for the broker's answer at the same time."""
_NOTHING = "picturematch/nothing"
"""A topic to which the client never subscribes."""
_HEAD_BYTES = 16
"""More than the fixed header, the lengths and the packet id of PUBLISH have."""

QUIET = logging.getLogger("sinks.mqtt.client")
"""The logger of the libraries. They log topics, and every failure once more; the sink reports failures itself."""
QUIET.setLevel(logging.CRITICAL)


class Lost(Exception):
    """The broker has not confirmed the message; the text is a sentence for an operator."""


class Refused(Exception):
    """The broker has refused the message, with a reason code of MQTT 5. `message` is a sentence for an operator."""

    def __init__(self, code: ReasonCode) -> None:
        super().__init__(f"the broker has refused the message: {code.getName()}")
        self.code = code.value


class TooLarge(Exception):
    """The message is larger than the broker takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message to publish.

    `user` (user properties), `content_type` and `expiry_s` (whole seconds after which the broker drops the message)
    are sent with MQTT 5 only.
    """

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    content_type: str = ""
    expiry_s: int | None = None
    user: Mapping[str, str] = field(default_factory=dict)

    def properties(self) -> Properties:
        """Return the properties of the packet."""
        found = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if self.content_type:
            found.ContentType = self.content_type
        if self.expiry_s is not None:
            found.MessageExpiryInterval = self.expiry_s
        # A broker ends the connection at a text with control characters.
        user = [(name, text) for name, text in self.user.items() if text.isprintable()]
        if user:
            found.UserProperty = user
        return found


class MqttClient(aiomqtt.Client):
    """One connection, which is never made again; the arguments are those of `aiomqtt.Client`."""

    def __init__(self, hostname: str, port: int, *, protocol: aiomqtt.ProtocolVersion, **more: Any) -> None:
        super().__init__(hostname, port, protocol=protocol, logger=QUIET, **more)
        self._five = protocol == aiomqtt.ProtocolVersion.V5
        self._client.connect_timeout = self.timeout
        self._answers: dict[int, asyncio.Future[ReasonCode]] = {}
        self._slots = asyncio.Semaphore(_IN_FLIGHT)
        self._largest: int | None = None
        self.takes_qos_1 = True

    @property
    def lost(self) -> "asyncio.Future[None]":
        """A future that ends with the connection."""
        return self._disconnected

    async def put(self, message: Message, timeout_s: float) -> None:
        """Publish a message; return when the broker has confirmed it (QoS 1), or when it is sent (QoS 0).

        Raises:
            Lost: the broker did not confirm the message within the time limit; it may have the message all the same.
            Refused: the broker has refused the message.
            TooLarge: the broker takes no message of this size, so nothing was sent.
            ValueError: MQTT cannot express the message.
        """
        properties = message.properties() if self._five else None
        size = len(message.payload) + len(message.topic.encode()) + _HEAD_BYTES
        if properties is not None:
            size += len(properties.pack())  # type: ignore[no-untyped-call]
        if self._largest is not None and size > self._largest:
            raise TooLarge
        try:
            async with asyncio.timeout(timeout_s):
                async with self._slots:
                    await self._put(message, properties)
        except TimeoutError:
            raise Lost(f"the broker did not answer within {timeout_s:.1f} s") from None

    async def _put(self, message: Message, properties: Properties | None) -> None:
        info = self._client.publish(message.topic, message.payload, message.qos, message.retain, properties)
        if info.rc != MQTT_ERR_SUCCESS:
            raise Lost("the connection to the broker is lost")
        if info.is_published():
            return
        answer: asyncio.Future[ReasonCode] = asyncio.get_running_loop().create_future()
        self._answers[info.mid] = answer
        try:
            code = await self._unless_lost(answer)
        finally:
            self._answers.pop(info.mid, None)
        if code.is_failure:
            raise Refused(code)

    async def answers(self, timeout_s: float) -> None:
        """Return when the broker has answered a packet that changes nothing, and so has read all earlier ones.

        Raises:
            Lost: the broker did not answer within the time limit.
        """
        await self._call(self.unsubscribe(_NOTHING, timeout=timeout_s))

    async def listen(self, topic: str, timeout_s: float) -> str | None:
        """Subscribe to a topic filter (QoS 1); return the reason why the broker refused that; None: it did not.

        Raises:
            Lost: the broker did not answer within the time limit.
        """
        codes = await self._call(self.subscribe(topic, 1, timeout=timeout_s))
        return next((code.getName() for code in codes if isinstance(code, ReasonCode) and code.is_failure), None)

    async def _call(self, calling: Awaitable[T]) -> T:
        task = asyncio.ensure_future(calling)
        try:
            return await self._unless_lost(task)
        except aiomqtt.MqttError as error:
            raise Lost(f"the broker did not answer: {error}") from None
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, aiomqtt.MqttError):
                await task

    async def _unless_lost(self, answer: "asyncio.Future[T]") -> T:
        either: list[asyncio.Future[Any]] = [answer, self._disconnected]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise Lost("the connection to the broker was lost before the broker answered")
        return answer.result()

    def drop(self) -> None:
        """End the connection at once, without DISCONNECT; the broker publishes the last will."""
        found = self._client.socket()
        if isinstance(found, socket.socket):
            with suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)  # paho-mqtt then reads the end of the stream and cleans up

    def _on_connect(
        self,
        client: PahoClient,
        userdata: Any,
        flags: ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        """Keep what the broker says about its limits, in the properties of CONNACK."""
        limits = vars(properties) if properties is not None else {}
        self._largest = limits.get("MaximumPacketSize")
        self._slots = asyncio.Semaphore(min(_IN_FLIGHT, limits.get("ReceiveMaximum", _IN_FLIGHT)))
        self.takes_qos_1 = limits.get("MaximumQoS", 2) > 0
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_publish(
        self, client: PahoClient, userdata: Any, mid: int, reason_code: ReasonCode, properties: Properties
    ) -> None:
        answer = self._answers.get(mid)
        if answer is not None and not answer.done():
            answer.set_result(reason_code)
