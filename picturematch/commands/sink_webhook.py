"""picturematch sink webhook: post events to a URL."""

from pathlib import Path
from typing import Any

import click

from picturematch.options import UserError
from picturematch.receiver_options import receiver_options, settings_of_receiver
from picturematch.settings import Settings
from picturematch.sink_process import sink_command
from sinks.settings import WebhookSettings

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_WORDS = {
    "url": "--url must be an http:// or https:// URL without a user name and without a fragment",
    "secrets": "--secret-file must name a file with a secret of at least 8 characters",
}
"""What is wrong with an option, by the field of the settings."""


@click.command(
    epilog="""\b
Examples:
  picturematch sink webhook --url https://gate.example/events --secret-file /etc/picturematch/webhook.secret
  picturematch sink webhook --name door --url http://10.0.0.9/open --secret-file door.secret --acts --outcome matched"""
)
@click.option("--url", required=True, help="URL of the receiver, http:// or https://.")
@click.option("--name", default="webhook", show_default=True, help="Name of the sink; its consumer group is sink-NAME.")
@click.option(
    "--secret-file",
    "secret_files",
    multiple=True,
    type=_FILE,
    help="File with a secret of the signatures in base64; give the option twice while one secret replaces another.",
)
@click.option("--ca-file", type=_FILE, help="Certificates (PEM) by which an https receiver is checked.")
@receiver_options
@sink_command
def webhook(_: Settings, secret_files: tuple[Path, ...], **given: Any) -> WebhookSettings:
    """Post each event as a CloudEvent to a URL, signed as Standard Webhooks describes.

    An event is posted at least once, always with the same webhook-id, so that the receiver can tell a repeated
    delivery. A receiver that answers 410 Gone switches the sink off: the command ends, and the next start asks again
    once.

    Exit status: 0 stopped or idle, 2 the command failed or the receiver has switched the sink off.
    """
    secrets = tuple(map(_secret, secret_files))
    return settings_of_receiver({"kind": "webhook", "secrets": secrets, **given}, WebhookSettings, _WORDS)


def _secret(file: Path) -> str:
    """Return the secret in a file, without the line break at its end."""
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise UserError(
            f"the secret in {file} cannot be read: it must be a text file that this user may read"
        ) from None
