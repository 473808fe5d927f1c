"""Which events a sink passes on. Pure."""

from functools import cached_property

import msgspec

from contract.addresses import canonical_address
from contract.events import Event


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, dict=True):
    """A choice of events; the table `wanted` of a sink's settings."""

    kinds: tuple[str, ...] = ()
    """Kinds of events (match, compare, enrol, ...); empty: all."""
    outcomes: tuple[str, ...] = ()
    """Outcomes (matched, stranger, no_face, ...); empty: all."""
    devices: tuple[str, ...] = ()
    """Addresses of devices; empty: all events, also those without a device."""
    repeats: bool = False
    """Whether events of repeated matches within matching.repeat_window_s are passed on."""
    replays: bool = False
    """Whether events of replayed requests are passed on."""

    def contains(self, event: Event) -> bool:
        """Return whether the sink passes the event on."""
        if (event.replay_of is not None and not self.replays) or (event.repeat_of is not None and not self.repeats):
            return False
        if self.devices and (event.device_ip is None or canonical_address(event.device_ip) not in self._addresses):
            return False
        return (not self.kinds or event.kind in self.kinds) and (not self.outcomes or event.outcome in self.outcomes)

    @cached_property
    def _addresses(self) -> frozenset[str]:
        return frozenset(map(canonical_address, self.devices))
