"""The single changes of a request that was refused at its scope. Pure."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from msgspec import structs

from capture.explaining.deciding import Decider, resolved_in
from capture.explaining.proposals import Alternatives, Proposal, with_setting, with_site
from contract.errors import Code, Refusal
from contract.people.site import DeviceRecord, GroupRecord, PermissionRecord
from contract.terms import DEFAULT_GROUP, DEFAULT_PERMISSION, PHOTO_DEVICE


def scope_changes(decider: Decider) -> Iterator[Alternatives]:
    """Yield the changes after which the request may be accepted at its scope; nothing where it is accepted."""
    refusal = resolved_in(decider.inputs)
    if not isinstance(refusal, Refusal):
        return
    yield from _names(decider)
    if refusal.code == Code.DEVICE_ID_NOT_FOUND:
        yield from _unknown_device(decider)
    if refusal.code == Code.EMPTY_GROUP_ERROR:
        yield from _deleted_scope(decider)


def _names(decider: Decider) -> Iterator[Alternatives]:
    """Yield the changes of a request that names its group or permission."""
    inputs = decider.inputs
    request, site = inputs.request, inputs.snapshot.site
    if request.group_name is None and request.permission_name is None:
        return
    if not inputs.policy.device_names_scope:
        allowed = with_setting(inputs, "device_names_scope", True)
        if allowed is not None:
            words = "the setting matching.device_names_scope, which lets requests name their scope"
            yield [Proposal(words, lambda: decider.again(allowed), "matching.device_names_scope", "true")]
    if request.group_name is not None and site.group_named(request.group_name) is None:
        name = request.group_name
        grouped = with_site(inputs, GroupRecord(group_id=name, name=name))
        yield [Proposal(f"a group {name}", lambda: decider.again(grouped))]
    if request.permission_name is not None and site.permission_named(request.permission_name) is None:
        name = request.permission_name
        permitted = with_site(inputs, PermissionRecord(permission_id=name, name=name))
        yield [Proposal(f"a permission {name}", lambda: decider.again(permitted))]
    for field in ("group_name", "permission_name"):
        if getattr(request, field) is not None:
            unnamed = replace(inputs, request=structs.replace(request, **{field: None}))
            yield [Proposal(f"a request without {field}", partial(decider.again, unnamed), field)]


def _unknown_device(decider: Decider) -> Iterator[Alternatives]:
    accepted = with_setting(decider.inputs, "unknown_device", "accept")
    if accepted is not None:
        words = "the setting matching.unknown_device at accept"
        yield [Proposal(words, lambda: decider.again(accepted), "matching.unknown_device", "accept")]
    address = decider.inputs.request.device_ip
    if address is None:
        return
    device = DeviceRecord(
        device_id=address,
        name=address,
        address=address,
        device_type=PHOTO_DEVICE,
        group_id=DEFAULT_GROUP,
        permission_id=DEFAULT_PERMISSION,
    )
    registered = with_site(decider.inputs, device)
    yield [Proposal(f"the device {address} registered", lambda: decider.again(registered))]


def _deleted_scope(decider: Decider) -> Iterator[Alternatives]:
    """Yield the change of a device whose group or permission was deleted."""
    inputs = decider.inputs
    device = inputs.snapshot.site.device_at(inputs.request.device_ip or "")
    if device is not None:
        moved = with_site(inputs, structs.replace(device, group_id=DEFAULT_GROUP, permission_id=DEFAULT_PERMISSION))
        words = f"the device {device.address} with the group and the permission that always exist"
        yield [Proposal(words, lambda: decider.again(moved))]
