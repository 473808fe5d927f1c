"""What the commands have in common: where settings come from, and how a user's mistake is told."""

import os
from collections.abc import Callable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from contract.text import printable
from picturematch.settings import Settings, SettingsError, load_settings, settings_sources

F = TypeVar("F", bound=Callable[..., Any])

yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")

_CONFIG = "picturematch.config"
_CA_FILE = "picturematch.ca_file"
_BROKER = "kafka://HOST:PORT,..."


class UserError(click.ClickException):
    """Something that the user can put right; one sentence, exit status 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Print the sentence; it may quote a list, a capture or another server."""
        for line in f"picturematch: {self.message}".split("\n"):
            click.echo(printable(line), err=True, file=file)


def _keep(ctx: click.Context, _param: click.Parameter, value: Path | None) -> Path | None:
    # Every command of `picturematch --config FILE sink --config FILE jsonl` comes here: what was written last counts,
    # then what the environment says; a command that names none must not forget what the one before it was given.
    written = ctx.get_parameter_source("config") is ParameterSource.COMMANDLINE
    if written or ctx.meta.get(_CONFIG) is None:
        ctx.meta[_CONFIG] = value
    return value


def _keep_ca_file(ctx: click.Context, _param: click.Parameter, value: Path | None) -> None:
    ctx.meta[_CA_FILE] = value


def ca_file() -> Path | None:
    """The file of --ca-file of the running command; None: not given."""
    file: Path | None = click.get_current_context().meta.get(_CA_FILE)
    return file


def config_option(function: F) -> F:
    """--config FILE, for every command."""
    return click.option(
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar="PICTUREMATCH_CONFIG",
        expose_value=False,
        callback=_keep,
        is_eager=True,
        help="Settings file (TOML; see docs/settings.md).",
    )(function)


def setting_default(path: str) -> str:
    """What an option's help says of its default, where it overrides a setting ("section.field")."""
    default = attrgetter(path)(Settings())
    is_short = isinstance(default, str | int)
    return f"the setting {path}, {default} unless changed" if is_short else f"the setting {path}"


def log_options(function: F) -> F:
    """--broker and --data-folder, for commands that open the log."""
    return broker_option(data_folder_option(function))


def broker_option(function: F) -> F:
    """--broker, for commands that open the log."""
    return click.option(
        "--broker",
        metavar=_BROKER,
        show_default=setting_default("broker"),
        help="The log: Kafka brokers, or `embedded`.",
    )(function)


def data_folder_option(function: F) -> F:
    """--data-folder, for commands that open the embedded log."""
    return click.option(
        "--data-folder",
        type=click.Path(file_okay=False, path_type=Path),
        show_default=setting_default("data_folder"),
        help="Folder of the embedded log.",
    )(function)


def kafka_option(function: F) -> F:
    """--broker, for commands that are of no use on the embedded log."""
    return click.option(
        "--broker",
        metavar=_BROKER,
        show_default="the setting broker",
        help="Kafka brokers; the embedded log will not do.",
    )(function)


def listen_options(function: F) -> F:
    """--host and --port, for commands that take calls."""
    host = click.option("--host", show_default=setting_default("ingest.host"), help="Address to listen on.")
    port = click.option(
        "--port", type=int, show_default=setting_default("ingest.port"), help="Port to listen on; 0 takes a free one."
    )
    return host(port(function))


def log_level_option(function: F) -> F:
    """--log-level, for commands that run on and on."""
    levels = click.Choice(["debug", "info", "warning", "error"])
    return click.option("--log-level", type=levels, default="info", show_default=True)(function)


def server_options(function: F) -> F:
    """--url, --api-key and --ca-file (see `ca_file`), for commands that call a running server."""
    url = click.option(
        "--url",
        envvar="PICTUREMATCH_URL",
        show_envvar=True,
        default="http://127.0.0.1:5555",
        show_default=True,
        help="The running server.",
    )
    return url(key_options(function))


def key_options(function: F) -> F:
    """--api-key and --ca-file (see `ca_file`), for commands that name the server in a way of their own."""
    key = click.option(
        "--api-key", envvar="PICTUREMATCH_API_KEY", show_envvar=True, help="Key that the server asks for."
    )
    certificates = click.option(
        "--ca-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        envvar="PICTUREMATCH_CA_FILE",
        show_envvar=True,
        expose_value=False,
        callback=_keep_ca_file,
        show_default="the system's",
        help="Certificates (PEM) by which the certificate of an https server is checked.",
    )
    return key(certificates(function))


def settings_of(ctx: click.Context, **overrides: Any) -> Settings:
    """The settings in force; `overrides` are given as section__field, None for what was not given.

    Raises:
        UserError: a setting is wrong.
    """
    try:
        return load_settings(ctx.meta.get(_CONFIG), os.environ, _named(overrides))
    except SettingsError as error:
        raise UserError(str(error)) from error


def sources_of(ctx: click.Context, **overrides: Any) -> Mapping[str, str]:
    """Where each setting was given that is not its default; `overrides` as for `settings_of`, which comes first."""
    return settings_sources(ctx.meta.get(_CONFIG), os.environ, _named(overrides))


def pinned_by(ctx: click.Context, **overrides: Any) -> frozenset[str]:
    """Return the settings ("section.field") that a call cannot change, because a source has set them."""
    return frozenset(sources_of(ctx, **overrides))


def _named(overrides: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name.replace("__", "."): value for name, value in overrides.items()}
