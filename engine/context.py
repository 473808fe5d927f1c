"""The values that every decision needs besides its request: the networks, the policy in force, and a clock."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from contract.people.site import SettingRecord, Site
from engine.policy import Policy, policy_of
from engine.timing import Clock
from engine.vision.ports import ModelSet


@dataclass(frozen=True, slots=True)
class Context:
    """The networks, the policy, the most pixels of a picture that is decoded, and the clock that times the stages.

    `policy`: the policy in force. `operators`: the operator's own policy; None: it is in force. `pinned`: the settings
    that the operator has pinned ("matching.threshold"), which no setting of the site changes.
    """

    models: ModelSet
    policy: Policy
    max_pixels: int
    clock: Clock
    pinned: frozenset[str] = frozenset()
    operators: Policy | None = None

    @property
    def operators_policy(self) -> Policy:
        """The operator's own policy."""
        return self.operators or self.policy


class Contexts:
    """The contexts of decisions: `base`, which has the operator's policy, with the settings of a site laid over it."""

    def __init__(self, base: Context) -> None:
        self.base = base
        self._settings: Mapping[str, SettingRecord] | None = None
        self._context = base

    def at(self, site: Site) -> Context:
        """Return the context of decisions at a site; only one thread may call this."""
        # A site keeps its mapping of settings until one of them changes.
        if site.settings is not self._settings:
            policy = policy_of(self.base.policy, site, self.base.pinned)
            self._context = (
                self.base
                if policy == self.base.policy
                else replace(self.base, policy=policy, operators=self.base.policy)
            )
            self._settings = site.settings
        return self._context
