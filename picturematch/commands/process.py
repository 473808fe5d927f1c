"""picturematch process: a processor alone, on Kafka."""

import click

from picturematch.options import broker_option, config_option, log_level_option, settings_of
from picturematch.roles import run_role


@click.command(epilog="Example: picturematch process --broker kafka://kafka:9092")
@config_option
@broker_option
@click.option("--health-host", help="Address of /healthz, /readyz and /metrics.  [default: 127.0.0.1]")
@click.option("--health-port", type=int, help="Port of these; 0 takes a free one.  [default: 5556]")
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
