"""picturematch sink mqtt: its options, and the settings of a sink that they name."""

from pathlib import Path
from typing import Any

import click
import msgspec

from contract.terms import LIVENESS_ORDER
from picturematch.options import UserError, config_option, log_level_option, log_options, settings_of
from picturematch.shell import Span
from picturematch.sink_process import idle_exit_option, metrics_port_option, run_sink_process
from sinks.settings import MqttSettings

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_WORDS = {
    "name": "--name must be lower-case letters, digits and hyphens, at most 40, and must not begin with a hyphen",
    "host": "--host must be a host name or an IP address",
    "prefix": "--prefix must be 1 to 200 characters",
    "client_id": "--client-id must be 1 to 64 letters, digits, dots, hyphens and underscores",
    "timeout_s": "--timeout must be above 0 and at most 10 minutes",
    "acting.valid_s": "--valid must be above 0 and at most a minute",
    "acting.margin": "--margin must be from 0 to 1",
}
"""What is wrong with an option, by the field of the settings."""


def mqtt_settings(given: dict[str, Any]) -> MqttSettings:
    """Return the settings that the options of `picturematch sink mqtt` name; `given`: option -> value.

    Raises:
        UserError: an option has a value that no sink may have.
    """
    wanted = {name: given.pop(name) for name in ("kinds", "outcomes", "devices")}
    acting = {"valid_s": given.pop("valid"), "margin": given.pop("margin"), "liveness": given.pop("liveness")}
    more = {"kind": "mqtt", "from_now": not given.pop("from_first"), "timeout_s": given.pop("timeout")}
    table = {**given, **more, "wanted": wanted, "acting": acting}
    try:
        return msgspec.convert(table, MqttSettings)
    except msgspec.ValidationError as error:
        place = str(error).partition("$.")[2].rstrip("`")
        raise UserError(_WORDS.get(place, f"an option has a wrong value: {error}")) from None


@click.command(
    epilog="""\b
Examples:
  picturematch sink mqtt --host broker.lan --user picturematch --password-file mqtt.password
  picturematch sink mqtt --host broker.lan --tls --ca-file ca.pem --home-assistant --picture face
  picturematch sink mqtt --name door --host broker.lan --prefix door --acts --device 10.0.0.9"""
)
@config_option
@log_options
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
@click.option("--timeout", type=Span(), default="5s", show_default=True, help="Longest time of one try.")
@click.option("--kind", "kinds", multiple=True, help="Pass on events of this kind only (match, compare, enrol, ...).")
@click.option("--outcome", "outcomes", multiple=True, help="Pass on events with this outcome only (matched, ...).")
@click.option("--device", "devices", multiple=True, help="Pass on events of the device at this address only.")
@click.option("--from-first", is_flag=True, help="Let a new sink begin with the first event that the log has.")
@click.option(
    "--picture",
    "pictures",
    type=click.Choice(["face", "spot"]),
    multiple=True,
    help="Publish the face, or the whole picture, of each event to a topic of its own; can be given twice.",
)
@click.option("--home-assistant", is_flag=True, help="Announce the devices to Home Assistant.")
@click.option("--acts", is_flag=True, help="A relay opens a door: matched people only, at most once, never late.")
@click.option("--valid", type=Span(), default="2s", show_default=True, help="With --acts: how old a passage may be.")
@click.option("--margin", type=float, default=0.0, show_default=True, help="With --acts: cosine above the threshold.")
@click.option(
    "--liveness",
    type=click.Choice(LIVENESS_ORDER),
    default=LIVENESS_ORDER[0],
    show_default=True,
    help="With --acts: the least liveness mode that the face must have passed.",
)
@idle_exit_option
@metrics_port_option
@log_level_option
@click.pass_context
def mqtt(
    ctx: click.Context,
    /,
    broker: str | None,
    data_folder: Path | None,
    idle_exit: float | None,
    metrics_port: int | None,
    log_level: str,
    **given: Any,
) -> None:
    """Publish events to an MQTT broker, as CloudEvents at PREFIX/DEVICE_ID/OUTCOME.

    An event is published at least once, always with the same id, so that a receiver can tell a repeated event.

    Exit status: 0 stopped or idle, 2 the command failed.
    """
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    run_sink_process(settings, mqtt_settings(given), log_level, idle_exit, metrics_port)
