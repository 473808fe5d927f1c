"""Decides for each line in which way it is decided again: from what was recorded, or by a look at the picture. Pure."""

from dataclasses import dataclass
from typing import NamedTuple

from capture.replaying.policies import PolicyPair
from capture.replaying.several import SEVERAL_FACES, without_idle
from contract.captures.values import CapturedDecision, CaptureLine
from contract.errors import Code, Refusal, Refused
from contract.evidence import EvidenceCandidate
from contract.requests import MatchRequest
from contract.terms import Cover
from engine.calls.demands import wanted_of
from engine.gallery.people import Snapshot
from engine.gallery.scope import NOBODY_IN_SCOPE, ResolvedScope, resolve_scope
from engine.policy import Policy

_REFUSED_AT_SCOPE = frozenset({Code.DEVICE_ID_NOT_FOUND, Code.GROUP_NAME_ERROR})
"""Errors that end a request before its picture is looked at."""
_REFUSED_THERE_OR_LATER = frozenset({Code.EMPTY_GROUP_ERROR, Code.PARAM_ERROR})
"""Errors that end a request before or after its picture is looked at."""


class Case(NamedTuple):
    """A line to be decided again; a tuple, because a replay makes one for every line.

    `request`: without the bytes of the pictures. `embedding`: the recorded one (half precision), or one that was
    computed since (single precision); None where there is none. `before`: the people of then, None where they are
    not known. `now`: the people to search, at `version`.
    """

    number: int
    line: CaptureLine
    then: CapturedDecision
    request: MatchRequest
    embedding: bytes | None
    before: Snapshot | None
    now: Snapshot
    policies: PolicyPair
    version: int

    @property
    def same_people(self) -> bool:
        """Whether the people of now are those of then."""
        return self.before is self.now

    @property
    def cover(self) -> Cover | None:
        """The cover by whose templates the decision of then was made; None: by the templates of whole faces."""
        return None if self.then.applied is None else self.then.applied.cover

    @property
    def candidates(self) -> tuple[EvidenceCandidate, ...]:
        """The recorded candidates, as far as templates of whole faces have found them."""
        return self.then.candidates if self.cover is None else ()

    @property
    def is_unchanged(self) -> bool:
        """Whether people and policy of now are those of then."""
        return self.same_people and self.policies.before is self.policies.policy


@dataclass(frozen=True, slots=True)
class Look:
    """The picture must be looked at, for a reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Search:
    """The recorded embedding is compared with the people of a scope."""

    resolved: ResolvedScope


@dataclass(frozen=True, slots=True)
class Keep:
    """The recorded refusal of the picture stays."""

    resolved: ResolvedScope


Plan = Look | Search | Keep | Refusal
"""What is to be done; a `Refusal` is the decision itself."""


def plan(case: Case) -> Plan:
    """Return the way in which a line is decided again."""
    resolved = _resolved(case.request, case.now, case.policies.policy)
    if isinstance(resolved, Refusal):
        return resolved
    reason = _reason_to_look(case, resolved)
    if reason is not None:
        return Look(reason)
    if case.embedding is not None:
        return Search(resolved)
    # The picture was accepted then, and nobody was in the scope, as now.
    return NOBODY_IN_SCOPE if case.then.error_code == Code.EMPTY_GROUP_ERROR else Keep(resolved)


def what_plan_reads(case: Case) -> tuple[object, ...]:
    """Return everything that the plan of a case depends on, besides its people and policies: hashable values."""
    sent = case.line.request
    return (
        sent.device_ip,
        sent.group_name,
        sent.permission_name,
        sent.by_permission,
        sent.liveness_mode,
        sent.ir_picture is None,
        sent.min_face_size,
        sent.with_attribute,
        sent.match_all_faces,
        len(sent.further_pictures),
        case.embedding is None,
        case.then.error_code,
        case.then.faces,
        len(case.then.searched) > 1,
    )


def _resolved(request: MatchRequest, snapshot: Snapshot, policy: Policy) -> ResolvedScope | Refusal:
    try:
        return resolve_scope(request, snapshot.site, policy)
    except Refused as refused:
        return refused.refusal


def _reason_to_look(case: Case, resolved: ResolvedScope) -> str | None:
    """Return the reason why what was recorded is not enough; None: it is."""
    code = case.then.error_code
    if case.embedding is None:
        if code is None:
            return "its evidence is gone"
        if code in _REFUSED_AT_SCOPE or (code in _REFUSED_THERE_OR_LATER and not _was_looked_at(case)):
            return "it was refused then before its picture was looked at, and is not now"
        if code == Code.EMPTY_GROUP_ERROR and case.now.gallery.count(resolved.scope):
            return "nobody was in its scope then, and somebody is now"
    if len(case.then.searched) > 1 and not case.is_unchanged:
        return SEVERAL_FACES
    if _wanted_otherwise(case, resolved):
        return "its picture must pass other checks than then"
    return None


def _was_looked_at(case: Case) -> bool:
    """Return whether the request was not refused at its scope then."""
    before = case.before
    return before is not None and not isinstance(_resolved(case.request, before, case.policies.before), Refusal)


def _wanted_otherwise(case: Case, resolved: ResolvedScope) -> bool:
    """Return whether a look of now has other parameters than the look of then."""
    policies = case.policies
    if case.is_unchanged:
        return False
    then = resolved if case.before is None else _resolved(case.request, case.before, policies.before)
    device = None if isinstance(then, Refusal) else then.device
    wanted = wanted_of(case.request, policies.before, device)
    now = wanted_of(case.request, policies.policy, resolved.device)
    pictures = len(case.request.pictures)
    return without_idle(case.then, wanted, pictures) != without_idle(case.then, now, pictures)
