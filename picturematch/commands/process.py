"""picturematch process: a processor alone, on Kafka."""

import click

from picturematch.options import config_option, kafka_option, log_level_option, setting_default, settings_of
from picturematch.roles import run_role


@click.command(epilog="Example: picturematch process --broker kafka://kafka:9092")
@config_option
@kafka_option
@click.option(
    "--health-host", show_default=setting_default("health.host"), help="Address of /healthz, /readyz and /metrics."
)
@click.option(
    "--health-port", type=int, show_default=setting_default("health.port"), help="Their port; 0 takes a free one."
)
@log_level_option
@click.pass_context
def command(
    ctx: click.Context, broker: str | None, health_host: str | None, health_port: int | None, log_level: str
) -> None:
    """Match what ingresses publish to Kafka, and publish events and replies.

    Any number of them may run side by side, up to the number of partitions of the requests topic. Fetches the networks
    on first start. The first SIGINT, SIGTERM or SIGHUP finishes what is in flight; a second one kills.
    """
    settings = settings_of(ctx, broker=broker, health__host=health_host, health__port=health_port)
    run_role(settings, log_level, ingest=False, process=True, kafka_only="process")
