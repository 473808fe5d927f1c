"""Passes events to the real-time clients, whose queues are bounded: a client that is too slow is dropped.

Belongs to one event loop; nothing here waits for a client.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

from contract.errors import Code, Refused
from sinks.context import SinkContext
from sinks.meter import Meter
from sinks.outgoing import Outgoing
from sinks.realtime_choice import Choice
from sinks.realtime_messages import Message, Messages, chunk_of, ready

SLOW, STOPPING, REFUSED = "slow", "stopping", "refused"
"""Why a client is disconnected: it is too slow, the sink stops, or it sends too much or its API key was deleted."""
MAX_QUEUE = 200
"""The most messages that wait for one client."""
_RECENT_EVENTS = 1000
_RECENT_BYTES = 4 * 1024 * 1024


class Client:
    """A client with its queue. `choice`: what it has asked for; None: nothing yet. `peer`: its address.

    `ended`: why the client is to be disconnected: `SLOW`, `STOPPING` or `REFUSED`; None: it is not. `most`: how many
    messages may wait for it: more than `MAX_QUEUE` only until it has got the events that it has missed.
    """

    def __init__(self, choice: Choice | None = None, peer: str = "") -> None:
        self.choice, self.peer = choice, peer
        self.ended: str | None = None
        self.most = MAX_QUEUE
        self.queue: deque[Message] = deque()
        self._news, self._end = asyncio.Event(), asyncio.Event()

    def put(self, message: Message) -> None:
        """Add a message to the queue."""
        message.waiting += 1
        self.queue.append(message)
        self._news.set()

    def end(self, reason: str) -> None:
        """Let the client be disconnected."""
        self.ended = self.ended or reason
        self._news.set()
        self._end.set()

    def stays(self) -> bool:
        """Return whether the client is not to be disconnected."""
        return self.ended is None

    async def wait_ended(self) -> None:
        """Wait until the client is to be disconnected."""
        await self._end.wait()

    async def next(self, timeout_s: float | None = None) -> Message | None:
        """Wait for the next message, which stays in the queue; None: the client has ended, or the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.ended is None and not self.queue:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return None
        return None if self.ended is not None else self.queue[0]


class Hub:
    """All clients of a sink.

    Args:
        context: what the sink gets from its process.
        meter: the metrics of the sink.
        max_clients: the most clients.
        max_of_peer: the most clients of one address.
        max_held_bytes: the most bytes of messages that wait for clients; beyond, the client furthest behind is dropped.
    """

    def __init__(
        self, context: SinkContext, meter: Meter, *, max_clients: int, max_of_peer: int, max_held_bytes: int
    ) -> None:
        self._meter, self._max_held_bytes = meter, max_held_bytes
        self._max_clients, self._max_of_peer = max_clients, max_of_peer
        self._people = context.people
        self._messages = Messages(context, self._hold)
        self._clients: set[Client] = set()
        self._recent: deque[Outgoing] = deque()
        self._recent_bytes = 0
        self.held_bytes = 0
        """The bytes of the messages that wait for clients."""

    def __len__(self) -> int:
        return len(self._clients)

    def join(self, client: Client, last_event_id: str = "") -> None:
        """Add a client. `last_event_id`: the event after which it goes on, if that is among the last events.

        Raises:
            Refused: there are too many clients, of all addresses or of this one.
        """
        if len(self._clients) >= self._max_clients:
            raise Refused(Code.OVERLOADED, "too many clients listen to events; try again")
        if sum(other.peer == client.peer for other in self._clients) >= self._max_of_peer:
            raise Refused(
                Code.OVERLOADED,
                f"{self._max_of_peer} clients of this address listen to events already; end one of them, or let the"
                " operator raise max_clients_per_address of the sink",
            )
        self._clients.add(client)
        self._meter.clients.set(len(self._clients))
        for event in self._since(last_event_id) if last_event_id else ():
            if client.choice is not None and client.choice.contains(event.event, self._device_id(event)):
                message = ready(chunk_of(event))
                client.put(message)
                self._hold(message)
        client.most = MAX_QUEUE + len(client.queue)

    def leave(self, client: Client) -> None:
        """Remove a client with all that waits for it."""
        self._clients.discard(client)
        self._meter.clients.set(len(self._clients))
        self._forget(client)

    def sent(self, client: Client, message: Message) -> None:
        """Take a message from the beginning of a client's queue, unless the queue was emptied meanwhile."""
        if client.queue and client.queue[0] is message:
            self._take_off(client)
            client.most = max(MAX_QUEUE, client.most - 1)

    def tell(self, client: Client, text: bytes) -> None:
        """Send an error to one client."""
        message = ready(text, is_event=False)
        self._put(client, message)
        self._hold(message)

    def take(self, event: Outgoing) -> None:
        """Pass an event to all clients that want it."""
        self._remember(event)
        device_id = self._device_id(event)
        messages = self._messages.of(event)
        made: set[Message] = set()
        for client in tuple(self._clients):
            if client.choice is not None and client.choice.contains(event.event, device_id):
                message = messages.of(client.choice.form)
                self._put(client, message)
                made.add(message)
        for message in made:
            self._hold(message)  # counts 0 bytes where a task is still to make the message, and counts it then
        if made:
            messages.begin()
        else:
            self._meter.passed_over.inc()

    def drop(self, client: Client) -> None:
        """Disconnect a client that is too slow; what waits for it is forgotten at once."""
        if client.ended is None:
            self._meter.clients_dropped.inc()
        client.end(SLOW)
        self._forget(client)

    async def close(self) -> None:
        """Let all clients be disconnected, and make no more messages."""
        for client in self._clients:
            client.end(STOPPING)
        await self._messages.close()

    def _put(self, client: Client, message: Message) -> None:
        if len(client.queue) >= client.most:
            self.drop(client)
        if client.ended is None:
            client.put(message)

    def _hold(self, message: Message) -> None:
        """Count the bytes of a message that is made; drop clients where too many bytes wait."""
        if not message.waiting:
            return
        self.held_bytes += message.size
        while self.held_bytes > self._max_held_bytes:
            behind = max(self._clients, key=lambda client: len(client.queue), default=None)
            if behind is None or not behind.queue:
                return
            self.drop(behind)

    def _forget(self, client: Client) -> None:
        while client.queue:
            self._take_off(client)

    def _take_off(self, client: Client) -> None:
        message = client.queue.popleft()
        message.waiting -= 1
        if message.waiting == 0:
            self.held_bytes -= message.size

    def _device_id(self, event: Outgoing) -> str:
        address = event.event.device_ip
        return self._people.site.device_id_of(address) if address else ""

    def _remember(self, event: Outgoing) -> None:
        self._recent.append(event)
        self._recent_bytes += len(event.record.value or b"")
        while len(self._recent) > _RECENT_EVENTS or self._recent_bytes > _RECENT_BYTES:
            self._recent_bytes -= len(self._recent.popleft().record.value or b"")

    def _since(self, event_id: str) -> Sequence[Outgoing]:
        """Return the last events behind one of them; none where that one is not among them."""
        later: list[Outgoing] = []
        for event in reversed(self._recent):
            if event.id == event_id:
                return later[::-1]
            later.append(event)
        return ()
