"""The command line: `python -m tests.support.kafka_dev`."""

import asyncio
from pathlib import Path

import click

from picturematch.options import UserError
from picturematch.shell import stop_signal
from tests.support.kafka_dev import CannotStartKafka, dev_kafka


@click.command(epilog="Example: python -m tests.support.kafka_dev --port 9092")
@click.option("--port", type=click.IntRange(0, 65535), default=9092, show_default=True, help="0 takes a free one.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where it keeps its data and goes on from.  [default: thrown away at the end]",
)
def main(port: int, folder: Path | None) -> None:
    """Run a single Kafka broker on this machine, for development and tests.

    Uses a Docker engine, or Java 17 and Maven. It listens on the loopback interface only, without passwords, and stops
    with SIGINT, SIGTERM or SIGHUP.
    """
    try:
        with dev_kafka(port, None if folder is None else folder.absolute()) as broker:
            asyncio.run(_announce_until_stopped(broker.bootstrap))
    except CannotStartKafka as error:
        raise UserError(str(error)) from error


async def _announce_until_stopped(bootstrap: str) -> None:
    stop = stop_signal()  # before the address is printed, because whoever reads it may send the signal at once
    click.echo(bootstrap)
    click.echo("a Kafka broker for development runs at this address; SIGINT stops it", err=True)
    await stop.wait()


if __name__ == "__main__":
    main()
