"""Decides whether a recognised person may pass. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from contract.pass_times import permits
from contract.people.records import PersonRecord
from contract.people.site import Site
from contract.people.validity import is_valid_at
from contract.terms import KNOWN_STRANGER, PERSON_BLACKLIST, PERSON_STRANGER
from engine.gallery.port import Scope
from engine.policy import Policy

Barrier = Literal["known_stranger", "blacklisted", "not_valid", "not_in_pass_time"]
"""A reason why a recognised person may not pass; it is the outcome of the match."""


def barriers(person: PersonRecord, scope: Scope, site: Site, policy: Policy, time_s: float) -> Mapping[Barrier, bool]:
    """Return whether each reason applies at a time (epoch seconds); the first that does is the outcome.

    A person of type 4 (stranger) never passes: nobody has decided that a stranger may, and a match may have enrolled
    that person (engine.calls.stranger).
    """
    return {
        KNOWN_STRANGER: person.person_type == PERSON_STRANGER and policy.bars_strangers,
        "blacklisted": person.person_type == PERSON_BLACKLIST and not policy.blacklist_opens,
        "not_valid": not is_valid_at(person.info, time_s),
        "not_in_pass_time": not _in_pass_time(scope, site, policy, time_s),
    }


def barrier(person: PersonRecord, scope: Scope, site: Site, policy: Policy, time_s: float) -> Barrier | None:
    """Return the reason why a recognised person may not pass; None: the person may pass."""
    return next((name for name, applies in barriers(person, scope, site, policy, time_s).items() if applies), None)


def _in_pass_time(scope: Scope, site: Site, policy: Policy, time_s: float) -> bool:
    """Return whether the weekly schedule of the scope's permission contains the time."""
    pass_times = site.pass_times(scope.permission_id)
    if pass_times is None:
        return True
    now = datetime.fromtimestamp(time_s, policy.zone)
    return permits(pass_times, now.isoweekday(), 60 * now.hour + now.minute)
