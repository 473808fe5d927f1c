"""The port of a receiver: a destination that takes events one by one. `sinks.delivery` runs all of them."""

from dataclasses import dataclass
from typing import Protocol

from sinks.outgoing import Outgoing


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver has the event."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The receiver does not have the event, or nobody knows; another try may succeed.

    `reason` is a sentence for an operator, without anything of the event. `retry_after_s`: the wait that the receiver
    has asked for. `sent`: whether the receiver may have got the event; false only where nothing of it was sent.
    """

    reason: str
    retry_after_s: float | None = None
    sent: bool = True


@dataclass(frozen=True, slots=True)
class NeverTakes:
    """The receiver will never take this event: it becomes a dead letter at once. `reason` as in `Failed`."""

    reason: str


@dataclass(frozen=True, slots=True)
class SwitchedOff:
    """The receiver wants no events any more (HTTP 410): the sink ends and keeps its offset. `reason` as in `Failed`."""

    reason: str


Delivery = Delivered | Failed | NeverTakes | SwitchedOff


class Receiver(Protocol):
    """A destination of events.

    `deliver` is called for the events of one partition one after the other, and for several partitions at the same
    time. A receiver gets an event again, with the same id, where nobody knows whether it has it.
    """

    async def open(self) -> None:
        """Prepare the receiver; called once, before `deliver`.

        Raises:
            sinks.port.SinkError: the receiver cannot be used; the message is a sentence for the user.
        """
        ...

    async def deliver(self, event: Outgoing) -> Delivery:
        """Deliver an event, within a time limit of the receiver's own."""
        ...

    async def close(self) -> None:
        """Release all resources."""
        ...
