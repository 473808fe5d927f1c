"""picturematch serve: run ingress, processor and log in one process."""

from pathlib import Path

import click

from picturematch.options import config_option, listen_options, log_level_option, log_options, pinned_by, settings_of
from picturematch.roles import run_role


@click.command(epilog="Example: picturematch serve --host 0.0.0.0 --port 5555")
@config_option
@log_options
@listen_options
@log_level_option
@click.pass_context
def command(
    ctx: click.Context, broker: str | None, data_folder: Path | None, host: str | None, port: int | None, log_level: str
) -> None:
    """Answer PictureMatch calls, with all roles in one process.

    The command fetches the networks on first start, opens the embedded log in the data folder (or connects to Kafka)
    and listens. The first SIGINT, SIGTERM or SIGHUP stops accepting calls and finishes those in flight; a second one
    kills the process. With ingest.tls_cert, SIGHUP does not stop the server but reads the certificate again.
    """
    given = {"broker": broker, "data_folder": data_folder, "ingest__host": host, "ingest__port": port}
    settings, pinned = settings_of(ctx, **given), pinned_by(ctx, **given)
    run_role(settings, pinned, log_level, ingest=True, process=True)
