"""What a proxy for Kafka reads of the requests that pass, and the rules by which it lets them pass or does not.

Everything here is a plain value or a function of plain values; `bench.kafka_proxy` does what the rules say.
The layout of requests and answers: https://kafka.apache.org/protocol.
"""

import struct
from dataclasses import dataclass
from enum import Enum, IntEnum


class Api(IntEnum):
    """The requests that rules are made for, by Kafka's own numbers."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    SYNC_GROUP = 14
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28


TRANSACTIONAL = (
    Api.ADD_PARTITIONS_TO_TXN,
    Api.ADD_OFFSETS_TO_TXN,
    Api.TXN_OFFSET_COMMIT,
    Api.END_TXN,
)
"""The requests of a transaction that go to a coordinator."""

_PRODUCE_WITH_TRANSACTION = 3
"""The first version of a Produce request that begins with its transactional id."""

_FIRST_IN_BODY = (*TRANSACTIONAL, Api.INIT_PRODUCER_ID)
_ERROR_AFTER_THROTTLE = (Api.END_TXN, Api.INIT_PRODUCER_ID, Api.ADD_OFFSETS_TO_TXN)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it passes. `frame` is all of it, with its length in front."""

    connection: int
    api_key: int
    version: int
    correlation: int
    client_id: str
    transactional_id: str
    frame: bytes


class Act(Enum):
    """What a rule does with a request that it applies to."""

    HOLD = "keep it, and all behind it on its connection, until the rule is released"
    LATE_AFTER_RESET = "keep it back and reset the client's connection; the broker gets it later, on another connection"
    LATE_AFTER_SILENCE = "as above, but the client's connection goes silent instead of being reset"
    SLOW_ANSWER = "pass it on at once, and its answer later"
    LOSE_ANSWER = "pass it on, and reset the client's connection when the answer comes"


@dataclass(frozen=True, slots=True)
class Rule:
    """Which requests, and what to do with them.

    Of the requests of `apis` whose transactional id contains `transactional_id`, the first `skip` pass; then it applies
    to a `share` of them (a probability), `times` times at most (None: without an end). `delay_ms`: between which times
    what is held, late or slow goes on; None: when the rule is released. `behind`: what is late waits first until the
    next request of that kind, with the same transactional id, has passed.
    """

    apis: frozenset[int]
    act: Act
    transactional_id: str = ""
    skip: int = 0
    times: int | None = 1
    share: float = 1.0
    delay_ms: tuple[float, float] | None = None
    behind: Api | None = None


def rule(act: Act, *apis: Api, **options: object) -> Rule:
    """`Rule` with its requests as arguments."""
    return Rule(frozenset(apis), act, **options)  # type: ignore[arg-type] # the options are those of Rule


def matches(found: Rule, request: Request) -> bool:
    """Whether the rule is about such a request."""
    return request.api_key in found.apis and found.transactional_id in request.transactional_id


def parse_request(connection: int, frame: bytes) -> Request:
    """A request from its frame, whose first four bytes are the length of the rest."""
    api_key, version, correlation, length = struct.unpack_from(">hhih", frame, 4)
    begin = 14
    client_id = frame[begin : begin + max(0, length)].decode()
    body = begin + max(0, length)
    return Request(
        connection, api_key, version, correlation, client_id, _transactional_id(api_key, version, frame, body), frame
    )


def _transactional_id(api_key: int, version: int, frame: bytes, body: int) -> str:
    """What a request of the old transaction protocol begins with; "" where it has none."""
    if api_key not in _FIRST_IN_BODY and (api_key != Api.PRODUCE or version < _PRODUCE_WITH_TRANSACTION):
        return ""
    (length,) = struct.unpack_from(">h", frame, body)
    return frame[body + 2 : body + 2 + max(0, length)].decode()


def correlation_of(answer: bytes) -> int:
    """Which request an answer's frame belongs to."""
    (found,) = struct.unpack_from(">i", answer, 4)
    return int(found)


def error_of(request: Request, answer: bytes) -> int | None:
    """Kafka's error code in the answer to a transaction's request, the last one where there are several; else None."""
    if request.api_key in _ERROR_AFTER_THROTTLE:
        return int(struct.unpack_from(">h", answer, 12)[0])
    if request.api_key in (Api.TXN_OFFSET_COMMIT, Api.ADD_PARTITIONS_TO_TXN):
        return int(struct.unpack_from(">h", answer, len(answer) - 2)[0])
    return None
