"""Explains whether a person would pass at a device: each check of the decision of a match, in a sentence. Pure.

The checks call the functions with which matches are decided (engine.gallery.scope, engine.passing). The picture is not
among them: whether a picture is good enough and similar enough shows only when there is one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from contract.errors import Refused
from contract.people.directory import Directory
from contract.people.records import PersonRecord
from contract.people.site import Site
from contract.requests import MatchRequest
from engine.gallery.scope import ResolvedScope, resolve_scope
from engine.passing import Barrier, barriers
from engine.policy import Policy


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check: its name, whether the person passes it, and the reason in a sentence."""

    name: str
    passes: bool
    sentence: str


def find_person(who: str, people: Directory) -> Sequence[PersonRecord]:
    """Return the person with that identity_id, or else everybody with that name."""
    if person := people.person(who):
        return [person]
    everybody = (people.person(each.identity_id) for each in people.everybody())
    return [person for person in everybody if person is not None and person.name == who]


def explain(
    who: str, device_ip: str, time_s: float, people: Directory, policy: Policy, embedder: str
) -> Sequence[Check]:
    """Return the checks, in the order in which a match makes them; the person would pass if all checks pass.

    Args:
        who: the identity_id of the person, or a name that one person has.
        device_ip: the address of the device.
        time_s: the time of the match's arrival (epoch seconds).
        people: everybody who is enrolled, and the site.
        policy: the settings of matching.
        embedder: the identity of the embedder in use.
    """
    return list(_checks(who, device_ip, time_s, people, policy, embedder))


def _checks(
    who: str, device_ip: str, time_s: float, people: Directory, policy: Policy, embedder: str
) -> Iterator[Check]:
    if people.unreadable:
        hint = (
            "a record of the people cannot be read, so the server refuses every match; see `picturematch people check`"
        )
        yield Check("records", False, hint)
    resolved: ResolvedScope | None = None
    try:
        resolved = _scope(device_ip, time_s, people.site, policy)
    except Refused as refused:
        yield Check("device", False, f"a match of the device {device_ip} is refused: {refused.message}")
    else:
        yield Check("device", True, device_words(device_ip, resolved))
    found = find_person(who, people)
    if len(found) != 1:
        reason = f"nobody with the id or the name {who} is enrolled"
        yield Check("enrolled", False, f"{len(found)} people have the name {who}; give an id" if found else reason)
        return
    (person,) = found
    yield Check("enrolled", True, f"{person.identity_id} ({person.name or 'without a name'}) is enrolled")
    yield _face_check(person, people, embedder)
    if resolved is not None:
        yield from _scope_checks(person, resolved)
        yield from barrier_checks(person, resolved, people.site, policy, time_s)


def _scope(device_ip: str, time_s: float, site: Site, policy: Policy) -> ResolvedScope:
    request = MatchRequest(
        request_id="access", device_ip=device_ip, picture=b"", compare_time_s=time_s, received_time_s=time_s
    )
    return resolve_scope(request, site, policy)


def device_words(device_ip: str, resolved: ResolvedScope) -> str:
    """Return in words whether a device is registered, and the scope of its matches."""
    known = f"({resolved.device.name}) is registered" if resolved.device else "is not registered"
    searched = f"the group {resolved.group_name} with the permission {resolved.permission_name}"
    return f"the device {device_ip} {known}, and searches {searched}"


def _face_check(person: PersonRecord, people: Directory, embedder: str) -> Check:
    usable = [n for n in person.faces if embedder in people.embedders(person.identity_id, n)]
    if usable:
        return Check("face", True, f"{len(usable)} of {len(person.faces)} faces can be compared with pictures")
    if person.faces:
        return Check(
            "face", False, f"none of the {len(person.faces)} faces is of the network in use; enrol photos again"
        )
    return Check("face", False, "the person has no face; enrol a photo")


def _scope_checks(person: PersonRecord, resolved: ResolvedScope) -> Iterator[Check]:
    in_group = resolved.scope.has_group(person)
    yield Check("group", in_group, f"the person is {'' if in_group else 'not '}in the group {resolved.group_name}")
    permitted = resolved.scope.has_permission(person)
    words = "has" if permitted else "does not have"
    yield Check("permission", permitted, f"the person {words} the permission {resolved.permission_name}")


def barrier_checks(
    person: PersonRecord, resolved: ResolvedScope, site: Site, policy: Policy, time_s: float
) -> Iterator[Check]:
    """Yield whether a recognised person may pass at a time (epoch seconds): type, validity and pass times."""
    when = f"{datetime.fromtimestamp(time_s, policy.zone):%A %Y-%m-%d %H:%M} ({policy.time_zone})"
    words: dict[Barrier, tuple[str, str, str]] = {
        "known_stranger": ("stranger", "the person is not of the type stranger", "the person is of the type stranger"),
        "blacklisted": ("type", "the person is not on the blacklist", "the person is on the blacklist"),
        "not_valid": ("validity", f"the person is valid on {when}", f"the person is not valid on {when}"),
        "not_in_pass_time": (
            "pass times",
            f"the pass times of the permission {resolved.permission_name} include {when}",
            f"the pass times of the permission {resolved.permission_name} do not include {when}",
        ),
    }
    for barrier, applies in barriers(person, resolved.scope, site, policy, time_s).items():
        name, passes, fails = words[barrier]
        if barrier == "blacklisted" and not applies and policy.blacklist_opens:
            passes = "the setting matching.blacklist_opens lets people of the blacklist pass"
        yield Check(name, not applies, fails if applies else passes)
