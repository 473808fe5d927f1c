"""The single changes of whether a recognised person may pass: type, validity, pass times. Pure."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from msgspec import structs

from capture.explaining.deciding import Decider, resolved_in
from capture.explaining.gallery import PeopleThen
from capture.explaining.nearer import person_change
from capture.explaining.proposals import Alternatives, Proposal, named, with_setting, with_site
from contract.errors import Refusal
from contract.people.records import PersonRecord
from contract.people.validity import VALID_FROM, VALID_UNTIL
from contract.terms import PERSON_EMPLOYEE
from engine.calls.matching import MatchDecision
from engine.gallery.scope import ResolvedScope
from engine.passing import barrier

_MINUTE_S = 60
_WEEK_MINUTES = 7 * 24 * 60


def passing_changes(decider: Decider, decision: MatchDecision, people: PeopleThen) -> Iterator[Alternatives]:
    """Yield the changes after which the recognised person may pass."""
    resolved, first = resolved_in(decider.inputs), decision.candidate
    if first is None or isinstance(resolved, Refusal):
        return
    match decision.outcome:
        case "known_stranger":
            changed = structs.replace(first.person, info={**first.person.info, "type": PERSON_EMPLOYEE})
            yield [person_change(decider, f"{named(first.person)} not of the type stranger", changed, people)]
        case "blacklisted":
            yield from _blacklist(decider, first.person, people)
        case "not_valid":
            yield from _validity(decider, first.person, people)
        case "not_in_pass_time":
            yield from _pass_times(decider, first.person, resolved)


def _blacklist(decider: Decider, person: PersonRecord, people: PeopleThen) -> Iterator[Alternatives]:
    changed = structs.replace(person, info={**person.info, "type": PERSON_EMPLOYEE})
    yield [person_change(decider, f"{named(person)} not on the blacklist", changed, people)]
    opened = with_setting(decider.inputs, "blacklist_opens", True)
    if opened is not None:
        words = "the setting matching.blacklist_opens, which lets people of the blacklist pass"
        yield [Proposal(words, lambda: decider.again(opened), "matching.blacklist_opens", "true")]


def _validity(decider: Decider, person: PersonRecord, people: PeopleThen) -> Iterator[Alternatives]:
    for bound, words in ((VALID_UNTIL, "not after"), (VALID_FROM, "not before")):
        time_s = person.info.get(bound)
        if isinstance(time_s, int | float) and not isinstance(time_s, bool):
            yield [_at(decider, f"an arrival {words} {_moment(decider, time_s)}, within the validity", float(time_s))]
    info = {name: value for name, value in person.info.items() if name not in (VALID_FROM, VALID_UNTIL)}
    yield [person_change(decider, f"{named(person)} valid at all times", structs.replace(person, info=info), people)]


def _pass_times(decider: Decider, person: PersonRecord, resolved: ResolvedScope) -> Iterator[Alternatives]:
    inputs = decider.inputs
    minute = inputs.request.received_time_s // _MINUTE_S * _MINUTE_S
    times = (minute + sign * count * _MINUTE_S for count in range(1, _WEEK_MINUTES) for sign in (-1, 1))
    site, policy, scope = inputs.snapshot.site, inputs.policy, resolved.scope
    within = next((time for time in times if barrier(person, scope, site, policy, time) is None), None)
    if within is not None:
        words = f"an arrival within the pass times of the permission {resolved.permission_name}, at the nearest"
        yield [_at(decider, f"{words} {_moment(decider, within)}", within)]
    permission = site.permissions.get(scope.permission_id or "")
    if permission is not None:
        info = {name: value for name, value in permission.info.items() if name != "pass_times"}
        changed = with_site(inputs, structs.replace(permission, info=info))
        yield [Proposal(f"no pass times of the permission {permission.name}", lambda: decider.again(changed))]


def _at(decider: Decider, words: str, time_s: float) -> Proposal:
    inputs = decider.inputs
    changed = replace(inputs, request=structs.replace(inputs.request, received_time_s=time_s))
    return Proposal(words, lambda: decider.again(changed), "received_time", time_s)


def _moment(decider: Decider, time_s: float) -> str:
    policy = decider.inputs.policy
    try:
        return f"{datetime.fromtimestamp(time_s, policy.zone):%A %Y-%m-%d %H:%M:%S} ({policy.time_zone})"
    except (OverflowError, ValueError, OSError):
        return f"{time_s:g} s since 1970"
