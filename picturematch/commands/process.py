"""picturematch process: run a processor alone, on Kafka."""

import click

from picturematch.options import config_option, kafka_option, log_level_option, pinned_by, setting_default, settings_of
from picturematch.roles import run_role


@click.command(epilog="Example: picturematch process --broker kafka://kafka:9092")
@config_option
@kafka_option
@click.option(
    "--health-host", show_default=setting_default("health.host"), help="Address of /healthz, /readyz and /metrics."
)
@click.option(
    "--health-port",
    type=int,
    show_default=setting_default("health.port"),
    help="Port of /healthz, /readyz and /metrics; 0 takes a free one.",
)
@log_level_option
@click.pass_context
def command(
    ctx: click.Context, broker: str | None, health_host: str | None, health_port: int | None, log_level: str
) -> None:
    """Process the requests that ingresses publish to Kafka, and publish events and replies.

    As many processors may run side by side as the requests topic has partitions. The command fetches the networks on
    first start. The first SIGINT, SIGTERM or SIGHUP finishes the requests in flight; a second one kills the process.
    """
    given = {"broker": broker, "health__host": health_host, "health__port": health_port}
    settings, pinned = settings_of(ctx, **given), pinned_by(ctx, **given)
    run_role(settings, pinned, log_level, ingest=False, process=True, kafka_only="process")
