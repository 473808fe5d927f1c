"""Leaves out of every capture what may give access to other systems, and what no decision reads. Pure.

That are API keys, the URLs of receivers and every other setting that no decision reads, the details of devices, and the
addresses of devices of another type than photo: such an address is the URL of a stream, often with a password.
"""

from typing import Any

from msgspec import structs

from contract.captures.values import PeopleLine
from contract.codec import encode
from contract.people.keys import NotReadable, SiteKey, parse_key
from contract.people.site import DeviceRecord, SettingRecord, Site, SiteRecord, read_site_record
from contract.site_settings import SITE_SETTINGS, stored_values
from contract.terms import PHOTO_DEVICE

_OF_DEVICES_AND_SETTINGS = ("device", "setting")


def without_credentials(line: PeopleLine) -> PeopleLine | None:
    """Return a line of people.jsonl with nothing but what decisions read of a device or a setting; None: an API key.

    The record of a device or a setting that no fold can read stays unreadable, and loses its value.
    """
    try:
        key = parse_key(line.key)
    except NotReadable:
        return line
    if not isinstance(key, SiteKey):
        return line
    if key.kind == "key":
        return None
    if key.kind not in _OF_DEVICES_AND_SETTINGS or line.value is None:
        return line
    try:
        value = encode(_needed(read_site_record(key, line.value)))
    except NotReadable:
        value = b""
    return structs.replace(line, value=value)


def _needed(record: SiteRecord) -> SiteRecord:
    if isinstance(record, DeviceRecord):
        address = record.address if record.device_type == PHOTO_DEVICE else ""
        return structs.replace(record, address=address, details={})
    if isinstance(record, SettingRecord):
        return SettingRecord(name=record.name, value=_read_by_decisions(record))
    return record


def _read_by_decisions(record: SettingRecord) -> dict[str, Any]:
    """Return the settings of a record that decisions read: those that are laid over settings of the operator."""
    values = stored_values(Site(settings={record.name: record}))
    return {name: value for name, value in values.items() if SITE_SETTINGS[name].setting is not None}
