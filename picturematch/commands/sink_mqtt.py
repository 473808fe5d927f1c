"""picturematch sink mqtt: publish events to an MQTT broker."""

from pathlib import Path
from typing import Any

import click

from picturematch.receiver_options import receiver_options, settings_of_receiver
from picturematch.settings import Settings
from picturematch.sink_process import sink_command
from sinks.settings import MqttSettings

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_WORDS = {
    "host": "--host must be a host name or an IP address",
    "prefix": "--prefix must be 1 to 200 characters",
    "client_id": "--client-id must be 1 to 64 letters, digits, dots, hyphens and underscores",
}
"""What is wrong with an option, by the field of the settings."""


@click.command(
    epilog="""\b
Examples:
  picturematch sink mqtt --host broker.lan --user picturematch --password-file mqtt.password
  picturematch sink mqtt --host broker.lan --tls --ca-file ca.pem --home-assistant --picture face
  picturematch sink mqtt --name door --host broker.lan --prefix door --acts --device 10.0.0.9"""
)
@click.option("--host", required=True, help="Host name or IP address of the MQTT broker.")
@click.option("--port", type=click.IntRange(1, 65535), help="TCP port; 8883 with --tls, else 1883.")
@click.option("--name", default="mqtt", show_default=True, help="Name of the sink; its consumer group is sink-NAME.")
@click.option("--prefix", default="picturematch", show_default=True, help="The first levels of all topics.")
@click.option("--protocol", type=click.Choice(["5", "3.1.1"]), default="5", show_default=True, help="Version of MQTT.")
@click.option("--client-id", default="picturematch", show_default=True, help="Beginning of the client id.")
@click.option("--user", default="", help="User name.")
@click.option("--password-file", type=_FILE, help="File with the password in its first line.")
@click.option("--tls", is_flag=True, help="Encrypt the connection, and check the certificate of the broker.")
@click.option("--ca-file", type=_FILE, help="Certificates (PEM) by which the broker is checked.")
@click.option("--cert-file", type=_FILE, help="Client certificate (PEM).")
@click.option("--key-file", type=_FILE, help="Private key of the client certificate (PEM).")
@click.option(
    "--picture",
    "pictures",
    type=click.Choice(["face", "spot"]),
    multiple=True,
    help="Publish the face, or the whole picture, of each event to a topic of its own; can be given twice.",
)
@click.option("--home-assistant", is_flag=True, help="Announce the devices to Home Assistant.")
@receiver_options
@sink_command
def mqtt(_: Settings, **given: Any) -> MqttSettings:
    """Publish events to an MQTT broker, as CloudEvents at PREFIX/DEVICE_ID/OUTCOME.

    An event is published at least once, always with the same id, so that a receiver can tell a repeated event.

    Exit status: 0 stopped or idle, 2 the command failed.
    """
    return settings_of_receiver({"kind": "mqtt", **given}, MqttSettings, _WORDS)
