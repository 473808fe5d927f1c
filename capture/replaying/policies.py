"""The policy of each decision of then, from the policies of a capture, and that of now. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec
from msgspec import structs

from capture.replaying.whatif import WhatIf, policy_id
from contract.captures.values import CapturedDecision, CaptureError, ConfigLine
from contract.people.site import Site
from engine.policy import Policy, policy_of, recorded_policy

_POLICY_KEYS = "policy/"


@dataclass(frozen=True, slots=True)
class PolicyPair:
    """The policy of then, `before`, and that of now, `policy`, whose id is `name`.

    `recorded`: whether the capture has the policy of then; else both come from the present settings.
    """

    before: Policy
    policy: Policy
    name: str
    recorded: bool


def read_policies(configs: Iterable[ConfigLine]) -> Mapping[str, Policy]:
    """Return the policies of a capture by their ids.

    Raises:
        CaptureError: a policy has settings that this release does not know, or wrong ones.
    """
    policies = {}
    for line in configs:
        if not line.key.startswith(_POLICY_KEYS):
            continue
        try:
            policies[line.key.removeprefix(_POLICY_KEYS)] = recorded_policy(line.value)
        except (msgspec.ValidationError, ValueError) as error:
            raise CaptureError(
                f"{line.key} of the capture cannot be used by this release ({error}); replay it with the release that "
                "recorded it"
            ) from error
    return policies


class Policies:
    """The policies of a replay. `present` are the present settings, of which the site cannot change `pinned`."""

    def __init__(
        self, recorded: Mapping[str, Policy], present: Policy, pinned: frozenset[str], what_if: WhatIf
    ) -> None:
        self._recorded, self._present, self._pinned, self._what_if = recorded, present, pinned, what_if
        self._pairs: dict[str, PolicyPair] = {}
        self._present_pairs: dict[Policy, PolicyPair] = {}

    def of(self, then: CapturedDecision | None, site: Site) -> PolicyPair:
        """Return the policies of a decision; `site` has the settings that are laid over the present ones.

        Equal policies are the same value, which stays in memory. A decision that names no policy is of a release that
        compared neither means nor templates of covered faces, and took the largest face.
        """
        name = None if then is None else then.policy
        if name is None or name not in self._recorded:
            present = policy_of(self._present, site, self._pinned)
            if then is not None and name is None:
                present = structs.replace(present, face="largest", mean_templates=False, covered_templates=False)
            if present not in self._present_pairs:
                self._present_pairs[present] = self._pair(present, policy_id(present), recorded=False)
            return self._present_pairs[present]
        if name not in self._pairs:
            self._pairs[name] = self._pair(self._recorded[name], name, recorded=True)
        return self._pairs[name]

    def _pair(self, before: Policy, name: str, *, recorded: bool) -> PolicyPair:
        """Return a pair. `name`: the id of `before`, which an older release may have computed from fewer settings."""
        policy = self._what_if.policy(before)
        if policy == before:
            return PolicyPair(before, before, name, recorded)
        return PolicyPair(before, policy, policy_id(policy), recorded)
