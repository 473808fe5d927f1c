"""picturematch devices: the devices of the site."""

import click

from picturematch.commands import site_devices
from picturematch.options import config_option


@click.group(epilog="Example: picturematch devices show")
@config_option
def command() -> None:
    """Show, add, change and delete the devices whose pictures are matched."""


for _subcommand in (site_devices.show_, site_devices.add, site_devices.change, site_devices.delete):
    command.add_command(_subcommand)
