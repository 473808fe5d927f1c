"""The values of an explanation: what is left of a decision, and what can be said about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from capture.explaining.gallery import PeopleThen
from capture.rows import Difference
from contract.captures.values import CapturedDecision
from contract.events import Event
from contract.evidence import Evidence
from contract.findings import FaceBox, PictureSize
from contract.people.records import PersonRecord
from contract.requests import CompareRequest, DetectRequest, EnrolRequest, FiqaRequest, MatchRequest
from engine.calls.people import KeyedValue
from engine.policy import Policy
from engine.vision.ports import ModelSet

Way = Literal["look", "decide", "read"]
"""How a decision was explained: from its pictures, without a look at one (from the embedding, or from a request that
has no picture), or only from what the event records."""
RedoneRequest = CompareRequest | FiqaRequest | DetectRequest | EnrolRequest
"""The requests, besides matches, that are decided again."""
What = Literal["picture", "evidence", "gallery", "policy", "networks"]


@dataclass(frozen=True, slots=True)
class Gone:
    """A part of a decision that is not there any more, or was never written.

    `sentence`: a whole sentence that says why. `since_s`: the time from which on it was gone (epoch seconds); None: it
    is not known, or the part was never there.
    """

    what: What
    sentence: str
    since_s: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Then:
    """What is left of one match.

    `decision`: the recorded decision. `event`: the event of the log; None for a line of a capture, in whose place
    `decision` is compared. `request`: the request with its pictures, which are empty where they are gone; None: the
    request itself is gone. `people`: the people of then. `policy`: the policy in force then. `models`: the installed
    networks. `max_pixels`: the most pixels of a picture that is decoded. `deadline_s`: when the caller gave up (epoch
    seconds). `whole`: the whole record of the person whom the event names. `gone`: why the parts that are None, or
    empty, are missing. `policy_content`: the id that the content of the policy's record has; None: there is no record.
    """

    decision: CapturedDecision
    request_id: str
    event: Event | None = None
    evidence: Evidence | None = None
    request: MatchRequest | None = None
    people: PeopleThen | None = None
    policy: Policy | None = None
    models: ModelSet | None = None
    max_pixels: int = 32_000_000
    deadline_s: float | None = None
    whole: PersonRecord | None = None
    gone: tuple[Gone, ...] = ()
    policy_content: str | None = None

    @property
    def is_inferred(self) -> bool:
        """Whether the log has lost the request, so that it is inferred from the event (capture.explaining.requests)."""
        return self.event is not None and self.request is not None and not self.request.picture


@dataclass(frozen=True, slots=True, eq=False)
class Before:
    """The people before a change of a person.

    `info`: the whole info of the person before; None: the person had none outside the people, or it cannot be read any
    more. `info_lost`: it cannot be read any more. `written`: the records of the people topic that the change wrote.
    """

    people: PeopleThen
    info: Mapping[str, Any] | None = None
    info_lost: bool = False
    written: tuple[KeyedValue, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class OtherThen:
    """What is left of an event that is no match.

    `request`: the request with its pictures; None: it is gone, or nothing is decided again for its kind. `before`: the
    people before an enrolment. The other attributes are those of `Then`.
    """

    event: Event
    request: RedoneRequest | None = None
    policy: Policy | None = None
    models: ModelSet | None = None
    max_pixels: int = 32_000_000
    deadline_s: float | None = None
    before: Before | None = None
    gone: tuple[Gone, ...] = ()
    policy_content: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen in the picture; None where the look did not come so far, or nothing recorded it.

    `used`: which face was compared, in a sentence.
    """

    picture: PictureSize | None
    faces: int | None
    face: FaceBox | None
    used: str


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a decision, in the order in which it was made.

    `stage`: deadline, scope, picture, quality, liveness, search or passing; of a comparison also quality of the second
    picture, and comparison. `value` and `limit` are numbers where the check compared numbers, else words. `vote`: the
    check did not decide alone.
    """

    stage: str
    name: str
    passed: bool
    sentence: str
    value: float | str | None = None
    limit: float | str | None = None
    vote: bool = False


@dataclass(frozen=True, slots=True)
class Nearest:
    """One of the nearest people of the scope; `margin` is the cosine less the threshold's cosine.

    `number`: the nearest face; -1: the mean of the person's faces, which are `mean_of` faces. `name` is None where the
    people of then are gone, as is `mean_of`, and `score` where the policy of then is.
    """

    identity_id: str
    name: str | None
    number: int
    cosine: float
    score: float | None
    margin: float | None
    mean_of: int | None = None


@dataclass(frozen=True, slots=True)
class Flip:
    """A single change with which the decision was really made again, and came out differently.

    `change`: what is changed, in words. `setting`: what would be changed, with `value` as its new value: a setting of
    the operator ("matching.threshold"), a field of the registered device ("device.quality_level"), or a field of the
    request, for which None means that it is left out. `setting` is None where the change is none of these.
    """

    change: str
    outcome: str
    identity_id: str = ""
    name: str = ""
    setting: str | None = None
    value: float | str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that can be said about one decision.

    `alarms`: each value that differs from what was recorded. `rounding`: the number of values that differ by no more
    than two machines do, which is no alarm. `sentences`: the decision in words. `no_flip`: where `flips` is empty, the
    reason, in a sentence.
    """

    event_id: str
    kind: str
    outcome: str
    way: Way
    decided_time: float | None = None
    device_ip: str | None = None
    gallery_version: int | None = None
    sentences: tuple[str, ...] = ()
    alarms: tuple[Difference, ...] = ()
    rounding: int = 0
    gone: tuple[Gone, ...] = ()
    seen: Seen | None = None
    checks: tuple[Check, ...] = ()
    candidates: tuple[Nearest, ...] = ()
    flips: tuple[Flip, ...] = ()
    no_flip: str | None = None
    models: dict[str, str] = field(default_factory=dict)
    policy: str | None = None
