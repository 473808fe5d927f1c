"""Decides from the beats in the members topic which members of a group are alive. Pure.

Kafka itself removes a member after its session timeout, which brokers do not allow to be shorter than six seconds: too
long for a person at a door. Members that write several beats a second are missed sooner, that is, count as dead. A
wrong decision costs a rebalance and no record, because a partition passes to another member by fencing.

The time is an argument, in seconds of any steady clock.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import msgspec

BEAT_S = 0.2
"""The time between two beats of a member, in seconds."""

_MISSED_OWN_BEATS = 4
"""A member is missed only when the observer has read so many of its own beats since the member's last one. A delay of
the topic or of the observer delays those beats, too."""

_LEAST_PATIENCE_S, _MOST_PATIENCE_S = 0.8, 3.0
_PATIENCE_IN_GAPS = 4
"""A member whose beats come irregularly, on a busy machine, is missed after so many times its longest recent gap."""
_GAP_FADES = 0.9

_LONG_AGO_S = 3.0
_MISSED_OWN_BEATS_LONG_AGO = 2
"""A member whose last beat was old when the observer began is missed after so few own beats: a living one beats now."""

_FORGOTTEN_AFTER_S = 60.0


class Beat(msgspec.Struct, frozen=True, array_like=True):
    """One sign of life.

    Attributes:
        group: the group of the member.
        instance: the id of the member.
        serves: the partitions from which the member takes records.
        leaves: whether this is the member's last beat, because it stops.
    """

    group: str
    instance: str
    serves: tuple[int, ...] = ()
    leaves: bool = False


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Beat] = msgspec.msgpack.Decoder(Beat)


def encode_beat(beat: Beat) -> bytes:
    """Return the value of the beat's record in the members topic."""
    return _encoder.encode(beat)


def decode_beat(value: bytes | None) -> Beat | None:
    """Return the beat in the value of a record of the members topic; None: the value cannot be decoded."""
    try:
        return None if value is None else _decoder.decode(value)
    except msgspec.MsgspecError:
        return None


@dataclass(frozen=True, slots=True)
class _Member:
    """What an observer knows of one member.

    Attributes:
        at_s: the time when the member's last beat was read.
        written_s: the time when that beat was written, epoch seconds.
        gap_s: the longest recent time between two of the member's beats.
        served_s: the time of the member's last beat in which it served a partition.
        own_beats_since: the number of the observer's own beats that were read since the member's last beat.
        age_s: by how much the first of those own beats is newer than the member's last beat.
    """

    at_s: float
    written_s: float
    gap_s: float = BEAT_S
    served_s: float = -math.inf
    own_beats_since: int = 0
    age_s: float = 0.0

    def with_own(self, written_s: float) -> "_Member":
        """Return this state after one more of the observer's own beats, which was written at that time."""
        age_s = self.age_s if self.own_beats_since else written_s - self.written_s
        return replace(self, own_beats_since=self.own_beats_since + 1, age_s=age_s)

    def is_missed(self, now_s: float) -> bool:
        if self.age_s > _LONG_AGO_S and self.own_beats_since >= _MISSED_OWN_BEATS_LONG_AGO:
            return True
        patience_s = min(_MOST_PATIENCE_S, max(_LEAST_PATIENCE_S, _PATIENCE_IN_GAPS * self.gap_s))
        return self.own_beats_since >= _MISSED_OWN_BEATS and now_s - self.at_s > patience_s


class Presence:
    """The members of all groups in one members topic.

    `own` is the instance of the observer; None: the observer writes no beats, and no member is ever missed.
    """

    def __init__(self, own: str | None = None) -> None:
        self._own = own
        self._members: dict[tuple[str, str], _Member] = {}

    def note(self, beat: Beat, now_s: float, written_s: float) -> None:
        """Record that a beat was read, which was written at `written_s` (epoch seconds); call in the topic's order."""
        key = (beat.group, beat.instance)
        if beat.leaves:
            self._members.pop(key, None)
            return
        before = self._members.get(key)
        gap_s = BEAT_S if before is None else max(now_s - before.at_s, before.gap_s * _GAP_FADES)
        served_s = now_s if beat.serves else -math.inf if before is None else before.served_s
        self._members[key] = _Member(now_s, written_s, gap_s, served_s)
        if beat.instance == self._own:
            for other, known in self._members.items():
                if other != key and other[0] == beat.group:
                    self._members[other] = known.with_own(written_s)

    def excuse(self, now_s: float) -> None:
        """Forgive all silence up to now, because the topic could not be read."""
        for key, known in self._members.items():
            self._members[key] = replace(known, at_s=now_s, own_beats_since=0, age_s=0.0)

    def silent(self, group: str, now_s: float) -> frozenset[str]:
        """Return the instances of the group that wrote beats before and are missed now; never the observer itself."""
        self._forget_old(now_s)
        return frozenset(
            instance
            for (name, instance), known in self._members.items()
            if name == group and instance != self._own and known.is_missed(now_s)
        )

    def served(self, group: str, now_s: float, within_s: float) -> bool:
        """Return whether a member of the group served a partition in a beat of the last `within_s` seconds."""
        return any(name == group and now_s - known.served_s <= within_s for (name, _), known in self._members.items())

    def forget(self, group: str, instances: Iterable[str]) -> None:
        """Forget instances that are not members any more; a new beat makes an instance a member again."""
        for instance in instances:
            self._members.pop((group, instance), None)

    def _forget_old(self, now_s: float) -> None:
        gone = [key for key, known in self._members.items() if now_s - known.at_s > _FORGOTTEN_AFTER_S]
        for key in gone:
            del self._members[key]
