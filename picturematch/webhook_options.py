"""The settings of a webhook sink from the options of its command."""

from pathlib import Path
from typing import Any

import msgspec

from picturematch.options import UserError
from sinks.acting import Acting
from sinks.settings import WebhookSettings
from sinks.wanted import Wanted


def webhook_settings(
    *,
    name: str,
    url: str,
    secret_files: tuple[Path, ...],
    kinds: tuple[str, ...],
    outcomes: tuple[str, ...],
    devices: tuple[str, ...],
    from_first: bool,
    timeout: float,
    ca_file: Path | None,
    acts: bool,
    valid: float,
    margin: float,
    liveness: Any,
) -> WebhookSettings:
    """Return the settings that the options of `picturematch sink webhook` name.

    Raises:
        UserError: a secret cannot be read, or an option has a value that no sink may have.
    """
    given = WebhookSettings(
        name=name,
        url=url,
        secrets=tuple(map(_secret, secret_files)),
        wanted=Wanted(kinds=kinds, outcomes=outcomes, devices=devices),
        from_now=not from_first,
        timeout_s=timeout,
        ca_file=ca_file,
        acts=acts,
        acting=Acting(valid_s=valid, margin=margin, liveness=liveness),
    )
    try:
        return msgspec.convert(
            msgspec.to_builtins(given, enc_hook=str), WebhookSettings, dec_hook=lambda kind, v: kind(v)
        )
    except msgspec.ValidationError as error:
        place = str(error).partition("$.")[2].rstrip("`")
        raise UserError(_WORDS.get(place.partition("[")[0], f"an option has a wrong value: {place}")) from None


_WORDS = {
    "name": "--name must be lower-case letters, digits and hyphens, at most 40, and must not begin with a hyphen",
    "url": "--url must be an http:// or https:// URL without a user name and without a fragment",
    "secrets": "--secret-file must name a file with a secret of at least 8 characters",
    "timeout_s": "--timeout must be above 0 and at most 10 minutes",
    "acting.valid_s": "--valid must be above 0 and at most a minute",
    "acting.margin": "--margin must be from 0 to 1",
}
"""What is wrong with an option, by the field of the settings."""


def _secret(file: Path) -> str:
    """Return the secret in a file, without the line break at its end."""
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise UserError(
            f"the secret in {file} cannot be read: it must be a text file that this user may read"
        ) from None
