"""picturematch ingest: run an ingress alone, on Kafka."""

import click

from picturematch.options import config_option, kafka_option, listen_options, log_level_option, pinned_by, settings_of
from picturematch.roles import run_role


@click.command(epilog="Example: picturematch ingest --broker kafka://kafka:9092 --host 0.0.0.0")
@config_option
@kafka_option
@listen_options
@log_level_option
@click.pass_context
def command(ctx: click.Context, broker: str | None, host: str | None, port: int | None, log_level: str) -> None:
    """Accept PictureMatch calls and publish their requests to Kafka; processors in other processes answer.

    Any number of ingresses may run side by side. The first SIGINT, SIGTERM or SIGHUP stops accepting calls and finishes
    those in flight; a second one kills the process. With ingest.tls_cert, SIGHUP does not stop the ingress but reads
    the certificate again.
    """
    given = {"broker": broker, "ingest__host": host, "ingest__port": port}
    settings, pinned = settings_of(ctx, **given), pinned_by(ctx, **given)
    run_role(settings, pinned, log_level, ingest=True, process=False, kafka_only="ingest")
