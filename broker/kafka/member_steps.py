"""Answers the questions of a member's machine: each is one thing to be awaited, and nothing is decided here."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from broker.going_on import Committed
from broker.kafka import member_events as ev
from broker.kafka.clients import Consumer
from broker.kafka.cluster import Cluster
from broker.kafka.config import KafkaConfig
from broker.kafka.contact import Contact
from broker.kafka.membership import is_member
from broker.kafka.places import Places, metadata_of
from broker.kafka.records import Checked, PartitionGone, check
from broker.kafka.transactions import GroupOffset, Writer
from broker.port import BrokerUnavailable, CommitFailed, FollowUp, Position, RecordTooLarge


@dataclass(slots=True)
class Asked:
    """What the user of a member asked for: of a commit, its outputs; and when it is done, what was written."""

    done: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    outputs: Sequence[Checked] = ()
    then: Sequence[FollowUp] = ()
    positions: Sequence[Position] = ()


class Steps:
    """The writers of one member, by their epochs, and what has to be asked of the brokers for it."""

    def __init__(
        self,
        config: KafkaConfig,
        cluster: Cluster,
        contact: Contact,
        topic: str,
        group: str,
        consumer: Consumer,
        places: Places,
    ) -> None:
        self._config, self._cluster, self._contact = config, cluster, contact
        self._topic, self._group = topic, group
        self._consumer, self._places = consumer, places
        self._writers: dict[int, Writer] = {}
        self.asked: dict[int, Asked] = {}
        """Ticket -> what was asked for with it and is not answered yet."""

    async def answer(self, question: ev.Question) -> ev.Answer:
        """The answer, which may be that there is none now."""
        try:
            return await self._answer(question)
        except Exception as error:  # noqa: BLE001 - the machine decides what follows from an error, whatever it is
            usable = isinstance(question, ev.Write) and self._writers[question.epoch].usable
            return ev.Failed(question.step, error, usable)

    def given_up(self, question: ev.Question) -> ev.Answer:
        """The answer to a question that was cancelled."""
        name = f"partition {question.ownership.partition} of {self._topic}"
        return ev.Failed(question.step, BrokerUnavailable(f"{name} was given up meanwhile"))

    async def _answer(self, question: ev.Question) -> ev.Answer:
        step, partition = question.step, question.ownership.partition
        match question:
            case ev.StartWriter():
                self._contact.require()
                name = f"{self._group}-{self._topic}-{partition}"
                self._writers[step] = await Writer.start(self._config, name)
            case ev.AskCommitted():
                return ev.CommittedFound(step, await self._places.committed(partition))
            case ev.FindPlace():
                return ev.PlaceFound(step, await self._places.going_on(partition, question.committed))
            case ev.AskMembership():
                known = await is_member(self._consumer, self._group, self._config.patience_s)
                return ev.Confirmed(step, known)
            case ev.CheckWriter():
                return ev.Confirmed(step, self._writers[question.epoch].answered)
            case ev.Write():
                await self._write(question)
            case ev.Wait():
                await asyncio.sleep(question.seconds)
        return ev.Done(step)

    async def _write(self, question: ev.Write) -> None:
        async def checked(follow_up: FollowUp, positions: Sequence[Position]) -> Sequence[Checked]:
            return await check(self._cluster, follow_up(positions))

        asked = Asked() if question.ticket is None else self.asked[question.ticket]
        offset = self._group_offset(question.ownership.partition, question.committed)
        then = [partial(checked, follow_up) for follow_up in asked.then]
        try:
            asked.positions = await self._writers[question.epoch].write(asked.outputs, then, offset)
        except RecordTooLarge:
            self._cluster.forget()  # so that the next try finds the limit of now before it sends
            raise
        except PartitionGone as error:
            self._cluster.forget()  # as above; it finds then whether the partition is really gone
            raise CommitFailed(str(error)) from error

    def _group_offset(self, partition: int, committed: Committed) -> GroupOffset:
        metadata = "" if committed.time_ms is None else metadata_of(committed.time_ms)
        return GroupOffset(self._group, self._topic, partition, committed.offset or 0, metadata)

    def end(self, answer: ev.Succeed | ev.Fail) -> None:
        """What was asked for with that ticket is done, or failed."""
        done = self.asked.pop(answer.ticket).done
        if isinstance(answer, ev.Fail):
            done.set_exception(answer.error)
        else:
            done.set_result(None)

    async def close(self, epoch: int) -> None:
        """Close the writer of that epoch."""
        await self._writers.pop(epoch).close()
