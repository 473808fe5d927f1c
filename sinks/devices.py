"""Folds the events of matches into a row for each device: when it was last seen, how its clock goes, and how good its
pictures are. Pure."""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal, NamedTuple

from contract.addresses import canonical_address
from contract.events import Event, EventScope
from contract.people.site import DeviceRecord, Site
from contract.terms import PHOTO_DEVICE, STRANGER

State = Literal["silent", "blurred", "clock wrong", "no video", "ok"]

SAMPLES = 100
"""The number of newest pictures of a device from which medians and shares are computed."""
FEWEST_SAMPLES = 5
"""With fewer pictures a device does not count as blurred: somebody may only have passed by."""
LEAST_QUALITY = 0.5
"""The median quality score below which a device counts as blurred: the middle between faces that nearly always fail to
match (0) and faces that nearly always match (1)."""
MOST_FACELESS = 0.5
"""The share of pictures without a face that can be recognised above which a device counts as blurred."""
MOST_SKEW_S = 60.0
"""The median difference between the clocks of the device and of the server above which the device's clock is wrong."""
MOST_UNREGISTERED = 1000
"""The number of addresses without a registered device of which a row is kept: requests can contain any address."""

_FACELESS = frozenset({"no_face", "low_quality"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRow:
    """A registered device, or an address without one that sent matches, and what its matches show.

    Times are in epoch seconds, sizes in pixels; a value is None where no event has it. `matches`: the number of
    requests in which a person was recognised; `refusals`: those that were answered with an error. The last five values
    before `state` are medians of the newest pictures; `clock_skew_s` is positive where the device's clock is ahead.
    """

    name: str
    device_id: str | None
    address: str
    group: str | None
    permission: str | None
    last_seen: float | None
    last_outcome: str | None
    matches: int
    strangers: int
    refusals: int
    clock_skew_s: float | None
    picture_bytes: float | None
    picture_pixels: float | None
    face_px: float | None
    quality_score: float | None
    state: State


class _Sample(NamedTuple):
    """The values of one picture that a row is computed from."""

    skew_s: float
    bytes: int | None
    pixels: int | None
    face_px: float | None
    quality_score: float | None
    faceless: bool


@dataclass(slots=True)
class _Activity:
    """The matches of one address."""

    last_seen_s: float = float("-inf")
    last_outcome: str = ""
    scope: EventScope | None = None
    matches: int = 0
    strangers: int = 0
    refusals: int = 0
    samples: deque[_Sample] = field(default_factory=lambda: deque(maxlen=SAMPLES))

    def take(self, event: Event) -> None:
        """Add the event of a match."""
        if event.received_time >= self.last_seen_s:
            self.last_seen_s, self.last_outcome, self.scope = event.received_time, event.outcome, event.scope
        if event.error is not None:
            self.refusals += 1
        elif event.outcome == STRANGER:
            self.strangers += 1
        else:
            self.matches += 1
        self.samples.append(_sample(event))

    def middle(self, value: Callable[[_Sample], float | None]) -> float | None:
        """Return the median of a value of the newest pictures; None where no picture has the value."""
        values = [found for sample in self.samples if (found := value(sample)) is not None]
        return median(values) if values else None


class Activities:
    """The matches of every address, from events in the order in which they were written.

    `left_out`: whether the events of some unregistered addresses, those that were last seen earliest, were dropped.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._registered = {d.known_as: d for d in site.devices.values() if d.device_type == PHOTO_DEVICE}
        self._by_device: dict[str, _Activity] = {}
        self._unregistered: OrderedDict[str, _Activity] = OrderedDict()
        self.left_out = False

    def take(self, event: Event) -> None:
        """Add an event; only a match that a device asked for counts, and no replay or repetition of one."""
        if (
            event.kind != "match"
            or event.device_ip is None
            or event.replay_of is not None
            or event.retry_of is not None
        ):
            return
        address = canonical_address(event.device_ip)
        if address in self._registered:
            self._by_device.setdefault(address, _Activity()).take(event)
            return
        self._unregistered.setdefault(address, _Activity()).take(event)
        self._unregistered.move_to_end(address)
        if len(self._unregistered) > MOST_UNREGISTERED:
            self._unregistered.popitem(last=False)
            self.left_out = True

    def rows(self, now_s: float, silent_after_s: float) -> Sequence[DeviceRow]:
        """Return the rows of the registered devices by name, and then those of the other addresses.

        A device is silent where it was not seen for `silent_after_s` seconds before `now_s`.
        """
        silent_before_s = now_s - silent_after_s
        return [*self._of_devices(silent_before_s), *self._of_addresses(silent_before_s)]

    def _of_devices(self, silent_before_s: float) -> Iterator[DeviceRow]:
        groups, permissions = self._site.groups, self._site.permissions
        for device in sorted(self._site.devices.values(), key=lambda device: (device.name, device.device_id)):
            activity = self._by_device.get(device.known_as, _NONE) if device.device_type == PHOTO_DEVICE else _NONE
            group = groups[device.group_id].name if device.group_id in groups else None
            permission = permissions[device.permission_id].name if device.permission_id in permissions else None
            yield _row(device, device.known_as, group, permission, activity, silent_before_s)

    def _of_addresses(self, silent_before_s: float) -> Iterator[DeviceRow]:
        for address, activity in sorted(self._unregistered.items()):
            scope = activity.scope
            group, permission = (scope.group_name, scope.permission_name) if scope else (None, None)
            yield _row(None, address, group, permission, activity, silent_before_s)


_NONE = _Activity()


def _sample(event: Event) -> _Sample:
    picture, face = event.picture, event.face
    return _Sample(
        skew_s=event.compare_time - event.received_time,
        bytes=picture.bytes if picture else None,
        pixels=picture.pixels if picture else None,
        face_px=min(face.width, face.height) if face else None,
        quality_score=event.quality_score,
        faceless=event.outcome in _FACELESS,
    )


def _row(
    device: DeviceRecord | None,
    address: str,
    group: str | None,
    permission: str | None,
    activity: _Activity,
    silent_before_s: float,
) -> DeviceRow:
    seen = bool(activity.samples)
    return DeviceRow(
        name=device.name if device else "",
        device_id=device.device_id if device else None,
        address=address,
        group=group,
        permission=permission,
        last_seen=activity.last_seen_s if seen else None,
        last_outcome=activity.last_outcome if seen else None,
        matches=activity.matches,
        strangers=activity.strangers,
        refusals=activity.refusals,
        clock_skew_s=activity.middle(lambda sample: sample.skew_s),
        picture_bytes=activity.middle(lambda sample: sample.bytes),
        picture_pixels=activity.middle(lambda sample: sample.pixels),
        face_px=activity.middle(lambda sample: sample.face_px),
        quality_score=activity.middle(lambda sample: sample.quality_score),
        state=_state(device, activity, silent_before_s),
    )


def _state(device: DeviceRecord | None, activity: _Activity, silent_before_s: float) -> State:
    if device is not None and device.device_type != PHOTO_DEVICE:
        return "no video"
    if activity.last_seen_s < silent_before_s:
        return "silent"
    if _is_blurred(activity):
        return "blurred"
    skew_s = activity.middle(lambda sample: sample.skew_s)
    return "clock wrong" if skew_s is not None and abs(skew_s) > MOST_SKEW_S else "ok"


def _is_blurred(activity: _Activity) -> bool:
    samples = activity.samples
    if len(samples) < FEWEST_SAMPLES:
        return False
    quality = activity.middle(lambda sample: sample.quality_score)
    faceless = sum(sample.faceless for sample in samples) / len(samples)
    return faceless > MOST_FACELESS or (quality is not None and quality < LEAST_QUALITY)
