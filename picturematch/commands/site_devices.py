"""picturematch devices show, add, change and delete: the devices that are registered at a running server."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from clients.errors import CannotRun
from clients.site import Fields, SiteCalls
from contract.http import DEVICES_PATH
from contract.terms import DEFAULT_GROUP, DEFAULT_PERMISSION, LIVENESS_ORDER, PHOTO_DEVICE, QUALITY_ORDER
from contract.text import printable
from picturematch.options import config_option, server_options, yes_option
from picturematch.site_commands import F, Info, info_of, json_option, show, show_changed, with_site

_TYPES = (PHOTO_DEVICE, "rtsp", "file", "gb28181")


def _further_options(function: F) -> F:
    """The options for what a device demands of its matches beyond the settings, and for what is only stored."""
    for option in (
        click.option("--rtmp-address", help="Its address for video, which is only stored."),
        click.option(
            "--start-rtmp/--no-start-rtmp", "is_start_rtmp", default=None, help="Whether it sends video; only stored."
        ),
        click.option(
            "--device-attr",
            type=Info(),
            multiple=True,
            metavar="KEY=VALUE",
            help="A member of its device_attr, as --net-relay.",
        ),
        click.option(
            "--net-relay",
            type=Info(),
            multiple=True,
            metavar="KEY=VALUE",
            help="A member of its netRelay, as text; KEY:=JSON gives a number. May be given several times, and replaces"
            " all members.",
        ),
        click.option("--min-face-size", type=click.IntRange(0, 65_535), help="Its least face size in pixels."),
        click.option("--quality-level", type=click.Choice(QUALITY_ORDER), help="Its least quality level."),
        click.option(
            "--liveness-floor",
            type=click.Choice(LIVENESS_ORDER),
            help="Its least liveness mode. Like the next two options it can raise what the settings demand, never lower"
            " it.",
        ),
    ):
        function = option(function)
    return function


@click.command("show", epilog="Example: picturematch devices show 192.168.1.63")
@config_option
@click.argument("addresses", nargs=-1, metavar="[ADDRESS]...")
@server_options
@json_option
def show_(addresses: tuple[str, ...], url: str, api_key: str | None, as_json: bool) -> None:
    """Show the registered devices with these ADDRESSes, or all of them, as the server has them."""

    async def work(site: SiteCalls) -> tuple[Sequence[Fields], Mapping[str, str], Mapping[str, str]]:
        found = [await site.device_at(address) for address in addresses] if addresses else await site.devices()
        groups = {group.id: group.name for group in await site.named("group")}
        return found, groups, {each.id: each.name for each in await site.named("permission")}

    devices, groups, permissions = with_site(url, api_key, work)
    columns = {
        "address": lambda device: str(device["device_key"]),
        "name": lambda device: str(device["device_name"]),
        "type": lambda device: str(device["device_type"]),
        "group": lambda device: groups.get(device["group_id"], "deleted"),
        "permission": lambda device: permissions.get(device["permission_id"], "deleted"),
        "id": lambda device: str(device["device_id"]),
    }
    show(devices, columns, as_json)


@click.command(epilog="Example: picturematch devices add 192.168.1.63 --name Door --group staff --permission day")
@config_option
@click.argument("address")
@server_options
@click.option("--name", show_default="the address", help="Name of the device.")
@click.option("--id", "device_id", help="Id of the device; without it the server makes one.")
@click.option(
    "--type",
    "device_type",
    type=click.Choice(_TYPES),
    default=PHOTO_DEVICE,
    show_default=True,
    help="Type of the device; only devices of the type photo have matches.",
)
@click.option("--group", default=DEFAULT_GROUP, show_default=True, help="The group that it searches, a name or an id.")
@click.option(
    "--permission",
    default=DEFAULT_PERMISSION,
    show_default=True,
    help="The permission that it searches, a name or an id.",
)
@_further_options
@json_option
def add(
    address: str,
    url: str,
    api_key: str | None,
    name: str | None,
    device_id: str | None,
    device_type: str,
    group: str,
    permission: str,
    as_json: bool,
    **further: Any,
) -> None:
    """Register the device at ADDRESS, or replace the device that is registered there.

    The address of a device of the type photo is what it sends as device_ip, an IP address or a host name; that of
    another device is a URL.
    """

    async def work(site: SiteCalls) -> Fields:
        device = {
            "device_id": device_id,
            "device_name": name or address,
            "device_key": address,
            "device_type": device_type,
            "group_id": (await site.one("group", group)).id,
            "permission_id": (await site.one("permission", permission)).id,
        }
        return await _send(site, "POST", {**device, **_further(further)})

    show_changed(f"added the device {address}", with_site(url, api_key, work), as_json)


@click.command(epilog="Example: picturematch devices change 192.168.1.63 --group visitors")
@config_option
@click.argument("address")
@server_options
@click.option("--new-address", help="New address of the device.")
@click.option("--name", help="New name of the device.")
@click.option("--type", "device_type", type=click.Choice(_TYPES), help="New type of the device.")
@click.option("--group", help="The group that it searches, a name or an id.")
@click.option("--permission", help="The permission that it searches, a name or an id.")
@_further_options
@json_option
def change(
    address: str,
    url: str,
    api_key: str | None,
    new_address: str | None,
    name: str | None,
    device_type: str | None,
    group: str | None,
    permission: str | None,
    as_json: bool,
    **further: Any,
) -> None:
    """Change the device at ADDRESS; what is not given stays as it is."""
    fields = _further(further)
    if all(value is None for value in (new_address, name, device_type, group, permission, *fields.values())):
        raise click.UsageError("give at least one option that changes the device")

    async def work(site: SiteCalls) -> Fields:
        changes = {
            "device_id": (await site.device_at(address))["device_id"],
            "device_name": name,
            "device_key": new_address,
            "device_type": device_type,
            "group_id": None if group is None else (await site.one("group", group)).id,
            "permission_id": None if permission is None else (await site.one("permission", permission)).id,
        }
        return await _send(site, "PUT", {**changes, **fields})

    show_changed(f"changed the device {address}", with_site(url, api_key, work), as_json)


@click.command(epilog="Example: picturematch devices delete 192.168.1.63")
@config_option
@click.argument("addresses", nargs=-1, metavar="[ADDRESS]...")
@server_options
@click.option("--all", "everything", is_flag=True, help="Delete all devices.")
@yes_option
@json_option
@click.pass_context
def delete(
    ctx: click.Context,
    addresses: tuple[str, ...],
    url: str,
    api_key: str | None,
    everything: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete the devices at these ADDRESSes; matches of theirs are then those of an unregistered device.

    Exit status: 0 all were deleted, 1 some were not (standard error names them), 2 the command failed.
    """
    if bool(addresses) == everything:
        raise click.UsageError("name the ADDRESSes of the devices, or give --all")
    if everything and not yes:
        click.confirm("Delete all devices?", abort=True, err=True)

    async def work(site: SiteCalls) -> Fields:
        devices = [{"device_id": (await site.device_at(address))["device_id"]} for address in dict.fromkeys(addresses)]
        fields = {"clear_all": everything, "devices_list": devices}
        return await site.change("DELETE", DEVICES_PATH, fields)

    answer = with_site(url, api_key, work)
    deleted = ", ".join(str(device["device_name"]) for device in answer["success_devices"])
    show_changed(f"deleted: {deleted or 'no device'}", answer, as_json)
    failed = answer.get("failed_devices", ())
    for device in failed:
        click.echo(printable(f"{device['device_id']}: {device['reason']}"), err=True)
    ctx.exit(1 if failed else 0)


def _further(given: Mapping[str, Any]) -> Fields:
    """Return the fields of a device that the further options give; None: the option is not given."""
    plain = {name: value for name, value in given.items() if name not in ("net_relay", "device_attr")}
    return {**plain, "netRelay": info_of(given["net_relay"]), "device_attr": info_of(given["device_attr"])}


async def _send(site: SiteCalls, method: str, device: Fields) -> Fields:
    """Send one device and return what the server answers about it.

    Raises:
        CannotRun: the server refuses the device; the message is the server's reason.
    """
    given = {name: value for name, value in device.items() if value is not None}
    answer = await site.change(method, DEVICES_PATH, {"devices_list": [given]})
    for failed in answer.get("failed_devices", ()):
        raise CannotRun(printable(str(failed["reason"])))
    accepted: Fields = answer["success_devices"][0]
    return accepted
