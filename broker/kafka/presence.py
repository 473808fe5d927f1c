"""Which members of a group give signs of life, judged from the beats that they write to the members topic.

Kafka itself gives a member up after its session timeout, which brokers do not let be shorter than six seconds: too long
for a door. Members that beat several times a second are missed sooner. A wrong guess costs a rebalance and no record,
because a partition changes hands by fencing and not by anybody's belief.

Plain values and a plain state machine: the time is an argument, in seconds of any steady clock.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import msgspec

BEAT_S = 0.2
"""How often a member beats."""

_MISSED_OWN_BEATS = 4
"""A member is missed only when so many of the observer's own beats have come back since: what holds up the topic, or
the observer, holds those up too."""

_LEAST_PATIENCE_S, _MOST_PATIENCE_S = 0.8, 3.0
_PATIENCE_IN_GAPS = 4
"""A member whose beats come irregularly, on a machine that is busy, is given so many times its longest gap."""
_GAP_FADES = 0.9

_LONG_AGO_S = 3.0
_MISSED_OWN_BEATS_LONG_AGO = 2
"""A member whose last beat was old when the observer began is missed sooner: it lives if it beats now."""

_FORGOTTEN_AFTER_S = 60.0


class Beat(msgspec.Struct, frozen=True, array_like=True):
    """One sign of life: `instance` is a member of `group`; `serves` are the partitions that it takes records from.

    `leaves` is True in the last one, of a member that stops in an orderly way.
    """

    group: str
    instance: str
    serves: tuple[int, ...] = ()
    leaves: bool = False


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Beat] = msgspec.msgpack.Decoder(Beat)


def encode_beat(beat: Beat) -> bytes:
    """The value of a record in the members topic."""
    return _encoder.encode(beat)


def decode_beat(value: bytes | None) -> Beat | None:
    """The beat in a record of the members topic, or None where there is none that can be read."""
    try:
        return None if value is None else _decoder.decode(value)
    except msgspec.MsgspecError:
        return None


@dataclass(frozen=True, slots=True)
class _Heard:
    """What is known of one member: its last beat, when that was read and when it was written (epoch seconds), its
    longest recent gap, when it served last, how many of the observer's own beats were read since, and how old it was
    beside the first of those."""

    at_s: float
    written_s: float
    gap_s: float = BEAT_S
    served_s: float = -math.inf
    own_beats_since: int = 0
    age_s: float = 0.0

    def with_own(self, written_s: float) -> "_Heard":
        """After one more of the observer's own beats, written at that time."""
        age_s = self.age_s if self.own_beats_since else written_s - self.written_s
        return replace(self, own_beats_since=self.own_beats_since + 1, age_s=age_s)

    def is_missed(self, now_s: float) -> bool:
        if self.age_s > _LONG_AGO_S and self.own_beats_since >= _MISSED_OWN_BEATS_LONG_AGO:
            return True
        patience_s = min(_MOST_PATIENCE_S, max(_LEAST_PATIENCE_S, _PATIENCE_IN_GAPS * self.gap_s))
        return self.own_beats_since >= _MISSED_OWN_BEATS and now_s - self.at_s > patience_s


class Presence:
    """The members of all groups of one members topic. `own` is the instance of the observer, None if it never beats."""

    def __init__(self, own: str | None = None) -> None:
        self._own = own
        self._heard: dict[tuple[str, str], _Heard] = {}

    def heard(self, beat: Beat, now_s: float, written_s: float) -> None:
        """A beat was read that was written at `written_s`, epoch seconds. Beats are heard in the order of the topic."""
        key = (beat.group, beat.instance)
        if beat.leaves:
            self._heard.pop(key, None)
            return
        before = self._heard.get(key)
        gap_s = BEAT_S if before is None else max(now_s - before.at_s, before.gap_s * _GAP_FADES)
        served_s = now_s if beat.serves else -math.inf if before is None else before.served_s
        self._heard[key] = _Heard(now_s, written_s, gap_s, served_s)
        if beat.instance == self._own:
            for other, known in self._heard.items():
                if other != key and other[0] == beat.group:
                    self._heard[other] = known.with_own(written_s)

    def excuse(self, now_s: float) -> None:
        """Nobody could be heard until now: nobody's silence counts so far."""
        for key, known in self._heard.items():
            self._heard[key] = replace(known, at_s=now_s, own_beats_since=0, age_s=0.0)

    def silent(self, group: str, now_s: float) -> frozenset[str]:
        """The instances of that group that were heard once and are missed now; never the observer itself."""
        self._forget_old(now_s)
        return frozenset(
            instance
            for (name, instance), known in self._heard.items()
            if name == group and instance != self._own and known.is_missed(now_s)
        )

    def served(self, group: str, now_s: float, within_s: float) -> bool:
        """Whether a member of that group served a partition at a beat of the last `within_s` seconds."""
        return any(name == group and now_s - known.served_s <= within_s for (name, _), known in self._heard.items())

    def forget(self, group: str, instances: Iterable[str]) -> None:
        """These are not members any more; one that beats again is known again."""
        for instance in instances:
            self._heard.pop((group, instance), None)

    def _forget_old(self, now_s: float) -> None:
        gone = [key for key, known in self._heard.items() if now_s - known.at_s > _FORGOTTEN_AFTER_S]
        for key in gone:
            del self._heard[key]
