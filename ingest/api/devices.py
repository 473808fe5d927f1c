"""The handlers of the devices calls: POST, PUT, GET and DELETE of Devices.

A change is one request through the log for all devices of the call. GET answers from the records of the people topic
that this process has read.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from msgspec import UNSET, UnsetType

from contract.answers import DevicesAnswer
from contract.calls.declaration import Declaration, Values
from contract.calls.devices import (
    CHANGE,
    CREATE,
    DETAILS,
    LIST,
    NO_VIDEO,
    REMOVE,
    ChangedDevices,
    DevicesPage,
    FailedDevice,
    ListedDevice,
    NamedDevice,
    Previews,
)
from contract.calls.rules import param_error
from contract.calls.shared import Data
from contract.errors import Code, Refused
from contract.people.site import DeviceRecord, Site
from contract.site_requests import DeviceChange, DevicesRequest, SiteAction
from contract.terms import PHOTO_DEVICE
from ingest.api.binding import Binding, Services, ask, read_url, request_of, up_to_date, version_header
from ingest.call import Call
from ingest.render import Rendered, success


async def _create(call: Call, services: Services) -> Rendered:
    return await _changed(call, services, CREATE, "create")


async def _change(call: Call, services: Services) -> Rendered:
    return await _changed(call, services, CHANGE, "change")


async def _remove(call: Call, services: Services) -> Rendered:
    return await _changed(call, services, REMOVE, "delete")


async def _changed(call: Call, services: Services, declaration: Declaration, action: SiteAction) -> Rendered:
    def request(call: Call, values: Values) -> DevicesRequest:
        return request_of(DevicesRequest, call, values, action=action, devices=_sent(values, call.settings.max_devices))

    answer, reply = await ask(call, services, declaration, request, (), DevicesAnswer)
    devices = ChangedDevices(
        success_devices=[
            NamedDevice(device_id=device.device_id, device_name=device.name, note=_note(device.device_type))
            for device in answer.succeeded
        ],
        failed_devices=[
            FailedDevice(
                device_id=device.device_id or "",
                device_name=device.name or "",
                device_key=device.address or "",
                code=device.code,
                reason=device.reason,
            )
            for device in answer.failed
        ],
    )
    return success(Data(devices), version_header(reply.gallery_version))


async def _list(call: Call, services: Services) -> Rendered:
    """List devices as of a gallery version that contains every change made through this ingress."""
    wanted = read_url(call, services, LIST)
    async with up_to_date(call, services):
        headers, site = version_header(services.people.version), services.people.site
        page = DevicesPage(
            devices_list=[_listed(device, site) for device in _selected(site, wanted["device_id"])],
            preview_list=Previews() if wanted["need_preview_list"] else UNSET,
        )
    return success(Data(page), headers)


def _sent(values: Values, most: int) -> tuple[DeviceChange, ...]:
    """Return the devices of the body; clear_all needs none."""
    if values.get("clear_all"):
        return ()
    devices = values["devices_list"]
    if not devices:
        raise param_error("devices_list must name at least one device")
    if len(devices) > most:
        raise param_error(f"devices_list must name at most {most} devices")
    return tuple(map(_device_change, devices))


def _device_change(sent: Values) -> DeviceChange:
    details = {name: sent[name] for name in DETAILS if sent.get(name) is not None}
    return DeviceChange(
        device_id=sent["device_id"],
        name=sent.get("device_name"),
        address=sent.get("device_key"),
        device_type=sent.get("device_type"),
        group_id=sent.get("group_id"),
        permission_id=sent.get("permission_id"),
        details=details or None,
        liveness_floor=sent.get("liveness_floor"),
        quality_level=sent.get("quality_level"),
        min_face_size=sent.get("min_face_size"),
    )


def _selected(site: Site, device_id: str | None) -> Sequence[DeviceRecord]:
    if device_id is None:
        return sorted(site.devices.values(), key=lambda device: (device.name, device.device_id))
    device = site.devices.get(device_id)
    if device is None:
        raise Refused(Code.DEVICE_ID_NOT_FOUND, "no device with this device_id exists")
    return [device]


def _listed(device: DeviceRecord, site: Site) -> ListedDevice:
    details = device.details
    return ListedDevice(
        device_id=device.device_id,
        device_name=device.name,
        device_key=device.known_as,
        device_type=device.device_type,
        device_ip=device.known_as if device.device_type == PHOTO_DEVICE else _host(device.address),
        group_id=device.group_id if device.group_id in site.groups else "",
        permission_id=device.permission_id if device.permission_id in site.permissions else "",
        device_attr=details.get("device_attr", {}),
        netRelay=details.get("netRelay", {}),
        is_start_rtmp=details.get("is_start_rtmp", False),
        rtmp_address=details.get("rtmp_address", ""),
        liveness_floor=device.liveness_floor or "liveness_off",
        quality_level=device.quality_level or "no",
        min_face_size=device.min_face_size,
        note=_note(device.device_type),
    )


def _host(address: str) -> str:
    """Return the host in a URL; the empty string where the text names none."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _note(device_type: str) -> str | UnsetType:
    return UNSET if device_type == PHOTO_DEVICE else NO_VIDEO


CALLS = (
    Binding(declaration=CREATE, handle=_create, role="operator", request=DevicesRequest, needs_people=True),
    Binding(declaration=LIST, handle=_list, role="operator", needs_people=True),
    Binding(declaration=CHANGE, handle=_change, role="operator", request=DevicesRequest, needs_people=True),
    Binding(declaration=REMOVE, handle=_remove, role="operator", request=DevicesRequest, needs_people=True),
)
