"""picturematch ingest: the ingress alone, on Kafka."""

import click

from picturematch.options import config_option, kafka_option, listen_options, log_level_option, settings_of
from picturematch.roles import run_role


@click.command(epilog="Example: picturematch ingest --broker kafka://kafka:9092 --host 0.0.0.0")
@config_option
@kafka_option
@listen_options
@log_level_option
@click.pass_context
def command(ctx: click.Context, broker: str | None, host: str | None, port: int | None, log_level: str) -> None:
    """Take PictureMatch calls and publish them to Kafka; processors elsewhere answer.

    Any number of them may run side by side. The first SIGINT, SIGTERM or SIGHUP stops accepting and finishes
    what is in flight; a second one kills.
    """
    settings = settings_of(ctx, broker=broker, ingest__host=host, ingest__port=port)
    run_role(settings, log_level, ingest=True, process=False, kafka_only="ingest")
