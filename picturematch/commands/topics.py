"""picturematch topics: create, check and describe the topics on Kafka."""

import sys
from collections.abc import Sequence

import click
import msgspec
from rich.console import Console
from rich.table import Table

from broker.kafka.topics import TopicState
from contract.text import printable
from picturematch.opening import open_cluster
from picturematch.options import config_option, kafka_option, settings_of
from picturematch.settings import Settings
from picturematch.shell import echo_json, run


@click.group(name="topics", epilog="Example: picturematch topics create --broker kafka://kafka:9092")
@config_option
def command() -> None:
    """Create, check and describe the topics on Kafka."""


@command.command(epilog="Example: picturematch topics create --broker kafka://kafka:9092 --replication 3")
@config_option
@kafka_option
@click.option(
    "--replication",
    type=click.IntRange(min=1),
    show_default="the setting kafka.replication_factor, or 3, or all brokers where there are fewer",
    help="Replicas of new topics.",
)
@click.pass_context
def create(ctx: click.Context, broker: str | None, replication: int | None) -> None:
    """Create missing topics, and set the retention and limits of the existing ones to those of the settings."""
    settings = settings_of(ctx, broker=broker, kafka__replication_factor=replication)

    async def work() -> None:
        async with open_cluster(settings) as cluster:
            await cluster.ensure_topics(settings.topic_specs)
            _show(await cluster.describe_topics(_names(settings)), as_json=False)

    run(work())


@command.command(epilog="Example: picturematch topics check --broker kafka://kafka:9092")
@config_option
@kafka_option
@click.pass_context
def check(ctx: click.Context, broker: str | None) -> None:
    """Print the differences between the topics and the settings. Exit status: 0 no difference, 1 some.

    With most differences no role starts. Only this command reports three others: records that are kept for longer than
    the settings require, a min.insync.replicas that confirms records too early, and brokers that delete the committed
    offsets of the processors (offsets.retention.minutes) before the requests.
    """
    settings = settings_of(ctx, broker=broker)

    async def work() -> list[str]:
        async with open_cluster(settings) as cluster:
            found = list(await cluster.check_topics(settings.topic_specs))
            requests = next(spec for spec in settings.topic_specs if spec.name == settings.topics.requests)
            return found + list(await cluster.check_offsets(requests))

    found = run(work())
    for sentence in found:
        click.echo(printable(sentence))
    if not found:
        click.echo("the topics are as the settings require")
    ctx.exit(1 if found else 0)


@command.command(epilog="Example: picturematch topics describe --json --broker kafka://kafka:9092")
@config_option
@kafka_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_context
def describe(ctx: click.Context, broker: str | None, as_json: bool) -> None:
    """Show the topics: partitions, replicas (and how many confirm), retention, clean-up, and largest record."""
    settings = settings_of(ctx, broker=broker)

    async def work() -> list[TopicState]:
        async with open_cluster(settings) as cluster:
            return list(await cluster.describe_topics(_names(settings)))

    _show(run(work()), as_json)


def _names(settings: Settings) -> list[str]:
    return [spec.name for spec in settings.topic_specs]


def _show(states: Sequence[TopicState], as_json: bool) -> None:
    if as_json:
        for state in states:
            echo_json(msgspec.to_builtins(state))
        return
    table = Table(box=None, pad_edge=False)
    for column in (
        "topic",
        "partitions",
        "replicas",
        "in sync",
        "retention",
        "bytes each",
        "clean-up",
        "largest record",
    ):
        table.add_column(column)
    for state in states:
        table.add_row(
            state.name,
            str(state.partitions),
            str(state.replication),
            str(state.min_in_sync),
            "for ever" if state.retention_ms is None else f"{state.retention_ms / 3_600_000:g} h",
            "any" if state.retention_bytes is None else f"{state.retention_bytes / 2**20:g} MiB",
            state.cleanup or "none",
            f"{state.max_record_bytes / 2**20:.1f} MiB",
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)
