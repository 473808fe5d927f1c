"""What a proposed change is, and how inputs are changed by one. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from capture.explaining.deciding import Inputs
from contract.people.records import PersonRecord
from contract.people.site import SiteRecord
from engine.calls.matching import MatchDecision
from engine.policy import Policy


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """A single change that may lead to another outcome.

    `decide`: makes the decision again with the change; None: that is not possible. The other attributes are those of
    `capture.explaining.values.Flip`.
    """

    change: str
    decide: Callable[[], MatchDecision | None]
    setting: str | None = None
    value: float | str | None = None


Alternatives = Sequence[Proposal]
"""Proposals of which only the first counts that leads to another outcome: the smallest change comes first."""
Proposals = Iterable[Alternatives]


def with_setting(inputs: Inputs, setting: str, value: object) -> Inputs | None:
    """Return the inputs with another value of a setting of matching ("liveness_limits.rgb_moire").

    None: the setting cannot have that value.
    """
    policy = policy_with(inputs.policy, setting, value)
    return None if policy is None else replace(inputs, policy=policy)


def policy_with(policy: Policy, setting: str, value: object) -> Policy | None:
    """Return a policy with another value of a setting of matching; None: the setting cannot have that value."""
    settings: dict[str, Any] = msgspec.to_builtins(policy)
    *sections, name = setting.split(".")
    table = settings
    for section in sections:
        table = table[section]
    table[name] = value
    try:
        return msgspec.convert(settings, Policy)
    except (msgspec.ValidationError, ValueError):
        return None


def with_site(inputs: Inputs, record: SiteRecord) -> Inputs:
    """Return the inputs with another record of a group, permission or device."""
    snapshot = inputs.snapshot
    return replace(inputs, snapshot=replace(snapshot, site=snapshot.site.put(record)))


def named(person: PersonRecord) -> str:
    """Return a person in words: the name, and the id."""
    return f"{person.name} ({person.identity_id})" if person.name else person.identity_id
