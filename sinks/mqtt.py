"""The mqtt sink: publishes each event as a CloudEvent to a topic per device and outcome.

An event counts as delivered when the broker has confirmed it (QoS 1), and nothing about a person is retained. Sources:
MQTT 5.0 and 3.1.1; CloudEvents 1.0.2 with its MQTT protocol binding (structured content mode; with MQTT 5 the
attributes are user properties too).

A sink that acts publishes with QoS 0, which no broker sends twice or keeps for a relay that is away, and says how long
the message is valid: as the message expiry interval, and as the attribute `validuntil`, which the relay compares with
its own clock. Before the message the broker must answer a packet, since a message that waits in front of a broker
that hangs would open the door when the broker goes on.
"""

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator, Callable

from contract.people.site import Site
from sinks.cloud_event import CONTENT_TYPE, attributes, cloud_event, valid_until
from sinks.context import SinkContext
from sinks.delivery import deliver_as, plan_of
from sinks.lookups import Lookups
from sinks.mqtt_announcer import Announcer
from sinks.mqtt_client import Lost, Message, Refused, TooLarge
from sinks.mqtt_connection import Connection
from sinks.mqtt_topics import MqttTopics, Picture, is_usable
from sinks.outgoing import Outgoing
from sinks.port import SinkError
from sinks.receiver import Delivered, Delivery, Failed, NeverTakes
from sinks.settings import MqttSettings

_NEVER_TAKEN = frozenset({0x90, 0x99})
"""Reason codes that say that the message itself is wrong: its topic name, or the format of its payload."""


class MqttReceiver:
    """A `sinks.receiver.Receiver` that publishes to a broker.

    Args:
        settings: The settings of the sink.
        site: Returns the registered devices.
        lookups: Reads the pictures of events.
        clock: Returns epoch seconds.
    """

    def __init__(
        self, settings: MqttSettings, site: Callable[[], Site], lookups: Lookups, clock: Callable[[], float]
    ) -> None:
        self._settings, self._site, self._lookups, self._clock = settings, site, lookups, clock
        self._topics = MqttTopics(settings.prefix)
        self._announcer = Announcer(settings, site, self._put_now) if settings.home_assistant else None
        self._connection: Connection | None = None

    async def open(self) -> None:
        """Check the settings, and begin to connect.

        Raises:
            SinkError: the settings contradict each other, or a file cannot be used.
        """
        settings, announcer = self._settings, self._announcer
        _check(settings)
        password = await asyncio.to_thread(_password, settings)
        tls = await asyncio.to_thread(_tls, settings) if settings.tls else None
        client_id = f"{settings.client_id}-{secrets.token_hex(5)}"
        self._connection = Connection(settings, self._topics.status, client_id, password, tls)
        if announcer is not None:
            self._connection.serve(announcer.filters, announcer.connected, announcer.take)
            announcer.open()
        self._connection.open()

    async def deliver(self, event: Outgoing) -> Delivery:
        """Publish the pictures that are asked for, and then the event."""
        try:
            if self._settings.acts:
                return await self._act(event)
            return await self._publish(event)
        except (Lost, Refused) as error:
            wrong = isinstance(error, Refused) and error.code in _NEVER_TAKEN
            return NeverTakes(str(error)) if wrong else Failed(str(error))
        except TooLarge:
            return NeverTakes("the event is larger than the broker takes")
        except ValueError:
            return NeverTakes("MQTT cannot express the topic of the event")

    async def close(self) -> None:
        """Say that the sink is offline, and close the connection."""
        if self._announcer is not None:
            await self._announcer.close()
        if self._connection is not None:
            await self._connection.close()

    async def _publish(self, event: Outgoing) -> Delivery:
        device_id = self._device_id(event)
        if self._announcer is not None and event.event.kind == "match" and event.event.device_ip:
            self._announcer.note(event.event.device_ip)
        async for picture, data in self._pictures(event):
            topic = self._topics.picture(device_id, picture)
            message = Message(topic=topic, payload=data, content_type="image/jpeg", user=attributes(event))
            try:
                await self._put_now(message)
            except TooLarge:
                continue  # the event is worth more than its picture
        topic = self._topics.event(device_id, event.event.outcome)
        head = attributes(event)
        await self._put_now(Message(topic=topic, payload=cloud_event(event), content_type=CONTENT_TYPE, user=head))
        return Delivered()

    async def _act(self, event: Outgoing) -> Delivery:
        """Publish an event to a receiver that acts, once, and only while it is valid."""
        until_s = event.event.received_time + self._settings.acting.valid_s
        try:
            await self._open_connection.answers(self._deadline(until_s - self._clock()))
        except Lost as error:
            return Failed(str(error), sent=False)
        left_s = until_s - self._clock()
        if left_s <= 0:
            return Failed("the broker answered too late", sent=False)
        valid = valid_until(until_s)
        message = Message(
            topic=self._topics.event(self._device_id(event), event.event.outcome),
            payload=cloud_event(event, valid),
            qos=0,
            content_type=CONTENT_TYPE,
            expiry_s=max(1, int(left_s)),  # whole seconds, and brokers read 0 as never
            user={**attributes(event), **valid},
        )
        deadline_s = self._deadline(left_s)
        await self._open_connection.put(message, deadline_s)
        await self._open_connection.answers(deadline_s)  # whether the broker has read the message
        return Delivered()

    async def _pictures(self, event: Outgoing) -> AsyncIterator[tuple[Picture, bytes]]:
        if not self._settings.pictures:
            return
        spot, _ = await self._lookups.pictures(event.event)
        for picture in dict.fromkeys(self._settings.pictures):
            data = spot if picture == "spot" else await self._lookups.face(event.event, spot)
            if data is not None:
                yield picture, data

    async def _put_now(self, message: Message) -> None:
        await self._open_connection.put(message, self._deadline(self._settings.timeout_s))

    def _device_id(self, event: Outgoing) -> str:
        address = event.event.device_ip
        return "" if not address else self._site().device_id_of(address)

    def _deadline(self, left_s: float) -> float:
        return asyncio.get_running_loop().time() + min(left_s, self._settings.timeout_s)

    @property
    def _open_connection(self) -> Connection:
        if self._connection is None:
            raise Lost("the sink is not open")
        return self._connection


def _check(settings: MqttSettings) -> None:
    """Check settings against each other.

    Raises:
        SinkError: two of them contradict each other.
    """
    name = settings.name
    for field in ("prefix", "discovery_prefix"):
        if not is_usable(getattr(settings, field)):
            raise SinkError(
                f"sink {name}: {field} must be levels separated by /, none of them empty, without +, # and control"
                " characters, and must not begin with $"
            )
    if settings.acts and settings.protocol != "5":
        raise SinkError(f'sink {name}: a sink that acts needs messages that expire: set protocol = "5"')
    if settings.acts and (settings.pictures or settings.home_assistant):
        raise SinkError(
            f"sink {name}: a sink that acts publishes neither pictures nor announcements to Home Assistant; use a sink"
            " of its own for these"
        )
    if settings.password and settings.password_file is not None:
        raise SinkError(f"sink {name}: set either password or password_file, not both")
    if (settings.password or settings.password_file is not None) and not settings.user and settings.protocol != "5":
        raise SinkError(f"sink {name}: MQTT 3.1.1 knows a password with a user name only: set user")
    if not settings.tls and (settings.ca_file or settings.cert_file or settings.key_file):
        raise SinkError(f"sink {name}: ca_file, cert_file and key_file need tls = true")
    if settings.key_file is not None and settings.cert_file is None:
        raise SinkError(f"sink {name}: key_file needs cert_file")


def _password(settings: MqttSettings) -> str:
    file = settings.password_file
    if file is None:
        return settings.password
    try:
        first, _, _ = file.read_text("utf-8").partition("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SinkError(f"sink {settings.name}: the password file {file} cannot be read: {_why(error)}") from error
    if not first.rstrip("\r"):
        raise SinkError(f"sink {settings.name}: the first line of the password file {file} is empty")
    return first.rstrip("\r")


def _tls(settings: MqttSettings) -> ssl.SSLContext:
    class Socket(ssl.SSLSocket):
        """A socket whose handshake has the sink's time limit; paho-mqtt gives a handshake `keepalive_s`."""

        def do_handshake(self, block: bool = False) -> None:
            self.settimeout(settings.timeout_s)
            super().do_handshake(block)

    def loading(what: str, error: Exception) -> SinkError:
        return SinkError(f"sink {settings.name}: the file {what} cannot be used: {_why(error)}")

    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ValueError) as error:
        raise loading(str(settings.ca_file), error) from error
    context.sslsocket_class = Socket
    if settings.cert_file is not None:
        try:
            # The empty pass phrase makes an encrypted key an error; without it OpenSSL would ask at the terminal.
            context.load_cert_chain(settings.cert_file, settings.key_file, password="")
        except (OSError, ValueError) as error:
            files = f"{settings.cert_file} or {settings.key_file}" if settings.key_file else str(settings.cert_file)
            raise loading(files, error) from error
    return context


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


async def run_sink_of(settings: MqttSettings, context: SinkContext) -> int:
    """Publish events until the context's `stop` is set; return the number of delivered events."""
    receiver = MqttReceiver(settings, lambda: context.people.site, Lookups(context), context.clock)
    return await deliver_as(settings.name, settings.group, receiver, plan_of(settings, context), context)
