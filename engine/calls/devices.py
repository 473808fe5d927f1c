"""Devices: create, change and delete the devices of the site (POST, PUT and DELETE of Devices).

The devices of one request are decided one after the other; a device that cannot be created, changed or deleted fails
alone. Where all of them fail, the request is refused with the reason of the first.
"""

from collections.abc import Iterator
from dataclasses import replace

from msgspec import structs

from contract.answers import Answer, DevicesAnswer, FailedDevice, NamedDevice
from contract.calls.names import DEVICE
from contract.codec import encode
from contract.errors import Code, Refusal, Refused
from contract.events import Event
from contract.ids import made_id
from contract.kinds import kind_of
from contract.people.keys import SiteKey, site_key
from contract.people.site import DeviceRecord, Site
from contract.site_requests import DeviceChange, DevicesRequest
from contract.terms import DEFAULT_GROUP, DEFAULT_PERMISSION, PHOTO_DEVICE
from engine.calls.call import Change
from engine.calls.people import (
    NOTHING_PREPARED,
    PEOPLE_UNREADABLE,
    ChangeDecision,
    KeyedValue,
    PeopleNow,
    Prepared,
    refuse_change,
)
from engine.calls.reporting import Circumstances
from engine.context import Context
from engine.gallery.people import Snapshot


class DevicesCall(Change[DevicesRequest]):
    """The kind of call that changes the devices of the site."""

    kind = kind_of(DevicesRequest)
    event_type = "picturematch.site.v1"
    outcomes = ("created", "changed", "deleted", "refused", "expired")
    request_type = DevicesRequest

    def change(
        self, request: DevicesRequest, prepared: Prepared, people: PeopleNow, context: Context
    ) -> ChangeDecision:
        """Create, change or delete devices.

        Raises:
            Refused: none of the devices can be created, changed or deleted.
        """
        if people.unreadable:
            raise Refused.of(PEOPLE_UNREADABLE)
        deciding = _Deciding(people.site, context.policy.max_devices)
        succeeded, failed = deciding.all(request)
        if failed and not succeeded:
            raise Refused(Code(failed[0].code), failed[0].reason)
        return ChangeDecision(
            deciding.outcome(request),
            DevicesAnswer(succeeded=tuple(map(_named, succeeded)), failed=tuple(failed)),
            site=deciding.site(),
            others=tuple(deciding.records()),
        )

    def refuse(self, request: DevicesRequest, refusal: Refusal, snapshot: Snapshot, context: Context) -> ChangeDecision:
        """Return the decision that answers a request with that refusal."""
        return refuse_change(refusal, NOTHING_PREPARED)

    def answer(
        self, request: DevicesRequest, decision: ChangeDecision, context: Context, photo: bytes | None
    ) -> Answer:
        """Return the answer to a request that succeeded."""
        return decision.require_answer()

    def event(self, request: DevicesRequest, decision: ChangeDecision, context: Context, at: Circumstances) -> Event:
        """Return the event that records the decision; it has the name of the device where only one was changed."""
        named = decision.answer.succeeded if isinstance(decision.answer, DevicesAnswer) else ()
        return structs.replace(
            at.event(self.kind, request, decision.outcome, decision.refusal),
            name=named[0].name if len(named) == 1 else "",
        )


class _Deciding:
    """The devices of the site while the devices of one request are decided, at most `most` of them."""

    def __init__(self, site: Site, most: int) -> None:
        self._site, self._most = site, most
        self._devices = dict(site.devices)
        self._by_address = {site.devices[one].known_as: site.devices[one] for one in sorted(site.devices)}

    def all(self, request: DevicesRequest) -> tuple[list[DeviceRecord], list[FailedDevice]]:
        """Return the devices that were created, changed or deleted as asked, and those that were not."""
        if request.clear_all:
            return [self._delete(DeviceChange(device_id=device_id)) for device_id in tuple(self._devices)], []
        succeeded, failed = list[DeviceRecord](), list[FailedDevice]()
        for number, sent in enumerate(request.devices):
            try:
                if request.action == "create":
                    succeeded.append(self._create(sent, made_id(request.request_id, number)))
                else:
                    succeeded.append(self._change(sent) if request.action == "change" else self._delete(sent))
            except Refused as refused:
                reason = f"devices_list[{number}]: {refused.message}" if len(request.devices) > 1 else refused.message
                failed.append(
                    FailedDevice(
                        reason=reason,
                        code=int(refused.code),
                        device_id=sent.device_id,
                        name=sent.name,
                        address=sent.address,
                    )
                )
        return succeeded, failed

    def outcome(self, request: DevicesRequest) -> str:
        """Return the outcome of the request; a request that only replaced devices has changed them."""
        if request.action == "create":
            return "created" if self._devices.keys() - self._site.devices.keys() else "changed"
        return "changed" if request.action == "change" else "deleted"

    def site(self) -> Site | None:
        """Return the site with the devices as they are now; None where nothing was changed."""
        return replace(self._site, devices=self._devices) if self._devices != self._site.devices else None

    def records(self) -> Iterator[KeyedValue]:
        """Yield the records of the devices that were created, changed or deleted."""
        before = self._site.devices
        for device_id in {**before, **self._devices}:
            device = self._devices.get(device_id)
            if device != before.get(device_id):
                yield site_key(SiteKey("device", device_id)), None if device is None else encode(device)

    def _create(self, sent: DeviceChange, made: str) -> DeviceRecord:
        """Create a device, or replace the device that has the same address; that device keeps its id and, where the
        request does not name them, its group, its permission and what it demands of its matches."""
        device_type = sent.device_type or PHOTO_DEVICE
        address = _address(device_type, sent.address or "")
        same = self._by_address.get(address)
        if same is None and sent.device_id in self._devices:
            raise Refused(
                Code.PARAM_ERROR,
                "a device with this device_id and another device_key exists; PUT of Devices changes it",
            )
        if same is None and len(self._devices) >= self._most:
            raise Refused(Code.DEVICE_MAX_NUM_ERROR, "there are as many devices as allowed; delete devices first")
        if same is not None and sent.device_id not in (None, same.device_id):
            raise Refused(Code.DEVICE_ADDRESS_DUPLICATE_ERROR, _TAKEN)
        new = DeviceRecord(
            device_id=same.device_id if same else sent.device_id or made,
            name=sent.name or "",
            address=address,
            device_type=device_type,
            group_id=self._group(sent.group_id or (same.group_id if same else DEFAULT_GROUP)),
            permission_id=self._permission(sent.permission_id or (same.permission_id if same else DEFAULT_PERMISSION)),
            details=sent.details or {},
        )
        return self._put(_demanding(new, sent, same or new))

    def _change(self, sent: DeviceChange) -> DeviceRecord:
        before = self._known(sent)
        device_type = sent.device_type or before.device_type
        address = _address(device_type, sent.address or before.address)
        same = self._by_address.get(address)
        if same is not None and same.device_id != before.device_id:
            raise Refused(Code.DEVICE_ADDRESS_DUPLICATE_ERROR, _TAKEN)
        changed = DeviceRecord(
            device_id=before.device_id,
            name=sent.name or before.name,
            address=address,
            device_type=device_type,
            group_id=before.group_id if sent.group_id is None else self._group(sent.group_id),
            permission_id=before.permission_id if sent.permission_id is None else self._permission(sent.permission_id),
            details={**before.details, **(sent.details or {})},
        )
        return self._put(_demanding(changed, sent, before), before)

    def _delete(self, sent: DeviceChange) -> DeviceRecord:
        device = self._known(sent)
        del self._devices[device.device_id]
        self._free(device)
        return device

    def _put(self, device: DeviceRecord, before: DeviceRecord | None = None) -> DeviceRecord:
        if before is not None:
            self._free(before)
        self._devices[device.device_id] = self._by_address[device.known_as] = device
        return device

    def _free(self, device: DeviceRecord) -> None:
        """Free the address of a device, unless another device is found there."""
        found = self._by_address.get(device.known_as)
        if found is not None and found.device_id == device.device_id:
            del self._by_address[device.known_as]

    def _known(self, sent: DeviceChange) -> DeviceRecord:
        device = self._devices.get(sent.device_id or "")
        if device is None:
            raise Refused(Code.DEVICE_ID_NOT_FOUND, "no device with this device_id exists")
        return device

    def _group(self, group_id: str) -> str:
        if group_id not in self._site.groups:
            raise Refused(Code.GROUP_NAME_ERROR, "no group with this group_id exists")
        return group_id

    def _permission(self, sent: str) -> str:
        """Return the id of the permission that has the sent id, or else the sent name."""
        named = self._site.permissions.get(sent) or self._site.permission_named(sent)
        if named is None:
            raise Refused(Code.GROUP_NAME_ERROR, "no permission with this permission_id exists")
        return named.permission_id


_TAKEN = "another device has this device_key"


def _address(device_type: str, address: str) -> str:
    """Return the address; that of a device of the type photo must be one that a device_ip can be, and is spelled so."""
    return str(DEVICE.check(address, "device_key")) if device_type == PHOTO_DEVICE else address


def _demanding(device: DeviceRecord, sent: DeviceChange, before: DeviceRecord) -> DeviceRecord:
    """Return the device with the demands that were sent, else those from before."""
    return structs.replace(
        device,
        liveness_floor=sent.liveness_floor or before.liveness_floor,
        quality_level=sent.quality_level or before.quality_level,
        min_face_size=before.min_face_size if sent.min_face_size is None else sent.min_face_size,
    )


def _named(device: DeviceRecord) -> NamedDevice:
    return NamedDevice(device_id=device.device_id, name=device.name, device_type=device.device_type)
