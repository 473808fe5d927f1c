"""The connection of the mqtt sink: one for all partitions, made again in the background whenever it is lost.

Every connection begins with a birth message (`online`, retained) and leaves a last will (`offline`, retained), both on
the topic PREFIX/status. A connection is a new client each time, so no message of an earlier one is sent again by the
library; the lanes of the sink decide about that.
"""

import asyncio
import logging
import random
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import aiomqtt
from paho.mqtt.reasoncodes import ReasonCode

from sinks.mqtt_client import Lost, Message, MqttClient, Refused
from sinks.settings import MqttSettings
from sinks.waiting import pause

_log = logging.getLogger(__name__)

ONLINE, OFFLINE = b"online", b"offline"
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0
_STEADY_S = 10.0
"""A connection that has lasted for so long is made again after the first wait."""
_SILENCE_S = 1.0
"""A broker that is silent for so long, where an answer is due, is connected to again."""
_QUEUE = 10_000
"""The most messages from the broker that wait to be read."""
_PROTOCOLS = {"5": aiomqtt.ProtocolVersion.V5, "3.1.1": aiomqtt.ProtocolVersion.V311}
_ADVICE = {
    0x84: "the broker does not speak this version of MQTT: set protocol to the one that it speaks",
    0x86: "the broker refuses the user name or the password: check user and password_file",
    0x87: "the broker refuses the sink as not authorized: check user, password_file and the client certificate",
}
"""What a reason code of CONNACK means for an operator."""

OnMessage = Callable[[str, bytes], Awaitable[None]]
"""A function that takes the topic and the payload of a message."""


class Connection:
    """A connection that is made again whenever it is lost.

    Args:
        settings: The settings of the sink.
        status: The topic of `online` and `offline`.
        client_id: An id that no other process uses.
        password: The password; "": none.
        tls: How the broker is checked; None: no TLS.
    """

    def __init__(
        self,
        settings: MqttSettings,
        status: str,
        client_id: str,
        password: str,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._settings, self._status, self._client_id = settings, status, client_id
        self._password, self._tls = password, tls
        self._filters: Sequence[str] = ()
        self._on_up: Callable[[], None] | None = None
        self._on_message: OnMessage | None = None
        self._client: MqttClient | None = None
        self._up, self._closing = asyncio.Event(), asyncio.Event()
        self._reason = "the broker was not reached yet"
        self._logged = ""
        self._task: asyncio.Task[None] | None = None

    def serve(self, filters: Sequence[str], on_up: Callable[[], None], on_message: OnMessage) -> None:
        """Pass messages on; called before `open`.

        Args:
            filters: Topic filters to subscribe to on every connection.
            on_up: Called on every new connection, before it counts as up.
            on_message: Called for every message from the broker that is not about the status.
        """
        self._filters, self._on_up, self._on_message = filters, on_up, on_message

    def open(self) -> None:
        """Begin to connect, in the background."""
        self._task = asyncio.create_task(self._keep(), name=f"sink-{self._settings.name}-mqtt")

    async def close(self) -> None:
        """Say `offline` and disconnect, within the time limit of the settings; then end."""
        self._closing.set()
        client = self._client
        if client is not None and self._up.is_set():
            await self._end(client)
        if self._task is not None:
            await asyncio.wait({self._task})

    async def put(self, message: Message, until_s: float) -> None:
        """Publish a message as soon as there is a connection.

        `until_s`: the time limit, by the clock of the event loop.

        Raises:
            Lost: the broker did not confirm the message within the time limit; it may have the message all the same.
            Refused, TooLarge, ValueError: as `MqttClient.put`.
        """
        client = await self._connected(until_s)
        try:
            await client.put(message, max(0.0, until_s - asyncio.get_running_loop().time()))
        except Lost:
            client.drop()  # a broker that does not answer keeps the slots of what waits for it
            raise

    async def answers(self, until_s: float) -> None:
        """Return when the broker has answered a packet that changes nothing.

        Raises:
            Lost: there was no connection or no answer within the time limit, by the clock of the event loop.
        """
        client = await self._connected(until_s)
        left_s = max(0.001, until_s - asyncio.get_running_loop().time())
        try:
            await client.answers(left_s)
        except Lost:
            if left_s >= _SILENCE_S:
                client.drop()
            raise

    async def _connected(self, until_s: float) -> MqttClient:
        try:
            async with asyncio.timeout_at(until_s):
                await self._up.wait()
        except TimeoutError:
            raise Lost(f"there is no connection to the broker: {self._reason}") from None
        if self._client is None:
            raise Lost(self._reason)
        return self._client

    async def _keep(self) -> None:
        """Connect, serve the connection until it is lost, and connect again, until the sink ends."""
        loop = asyncio.get_running_loop()
        wait_s = _FIRST_WAIT_S
        while not self._closing.is_set():
            client = self._new_client()
            began_s = loop.time()
            self._reason = await self._serve(client)
            self._up.clear()
            self._client = None
            client.drop()
            if self._closing.is_set():
                return
            self._note(self._reason)
            wait_s = _FIRST_WAIT_S if loop.time() - began_s >= _STEADY_S else wait_s
            if await pause(wait_s * random.uniform(0.5, 1), self._closing):  # noqa: S311 - chance, not a secret
                return
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    async def _serve(self, client: MqttClient) -> str:
        """Connect, and pass messages on until the connection is lost; return why there is no connection."""
        try:
            await client.__aenter__()
        except aiomqtt.exceptions.MqttConnectError as error:
            code = error.rc.value if isinstance(error.rc, ReasonCode) else 0
            return _ADVICE.get(code, f"the broker refuses the connection: {error.rc}")
        except aiomqtt.MqttError as error:
            return f"the broker at {self._settings.host}, port {self._settings.tcp_port} cannot be reached: {error}"
        except ValueError as error:
            return f"MQTT cannot express the host, the user name or the password: {error}"
        if not client.takes_qos_1:
            return "the broker takes messages of QoS 0 only, and the sink needs QoS 1"
        try:
            await self._begin(client)
            if self._closing.is_set():
                await self._end(client)
                return ""
            async for message in client.messages:
                await self._take(client, message)
        except (Lost, aiomqtt.MqttError) as error:
            return f"the connection to the broker was lost: {error}"
        finally:
            if client.lost.done() and not client.lost.cancelled():
                client.lost.exception()  # retrieved here, because asyncio would log it otherwise
        return "the connection to the broker was lost"

    async def _begin(self, client: MqttClient) -> None:
        timeout_s = self._settings.timeout_s
        for wanted in (self._status, *self._filters):
            refusal = await client.listen(wanted, timeout_s)
            if refusal is not None:
                _log.warning("sink %s may not subscribe to %s: %s", self._settings.name, wanted, refusal)
        await self._say_online(client)
        self._client = client
        if self._on_up is not None:
            self._on_up()
        self._up.set()
        if self._logged:
            self._logged = ""
            _log.warning("sink %s: the broker is connected again", self._settings.name)

    async def _say_online(self, client: MqttClient) -> None:
        try:
            await client.put(self._status_message(ONLINE), self._settings.timeout_s)
        except Refused as error:
            _log.warning("sink %s may not publish to %s: %s", self._settings.name, self._status, error)

    async def _take(self, client: MqttClient, message: aiomqtt.Message) -> None:
        """Pass a message on; after another process with this prefix has ended, or a last will came late, say online."""
        topic, payload = str(message.topic), bytes(message.payload or b"")
        if topic != self._status:
            if self._on_message is not None:
                await self._on_message(topic, payload)
        elif payload == OFFLINE and not self._closing.is_set():
            await self._say_online(client)

    async def _end(self, client: MqttClient) -> None:
        """Say `offline`, and disconnect; both within the time limit of the settings."""
        with suppress(Lost, Refused):
            await client.put(self._status_message(OFFLINE), self._settings.timeout_s)
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                await client.__aexit__(None, None, None)
        except (TimeoutError, aiomqtt.MqttError):
            client.drop()

    def _new_client(self) -> MqttClient:
        settings = self._settings
        return MqttClient(
            settings.host,
            settings.tcp_port,
            protocol=_PROTOCOLS[settings.protocol],
            username=settings.user or None,
            password=self._password or None,
            identifier=self._client_id,
            clean_session=True if settings.protocol == "3.1.1" else None,
            keepalive=settings.keepalive_s,
            timeout=settings.timeout_s,
            tls_context=self._tls,
            will=aiomqtt.Will(self._status, OFFLINE, qos=1, retain=True),
            max_queued_incoming_messages=_QUEUE,
        )

    def _status_message(self, payload: bytes) -> Message:
        return Message(topic=self._status, payload=payload, retain=True)

    def _note(self, reason: str) -> None:
        if reason != self._logged:
            self._logged = reason
            _log.warning("sink %s: %s", self._settings.name, reason)
