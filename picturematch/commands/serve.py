"""picturematch serve: ingress, processor and log in one process."""

import asyncio
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from picturematch import __version__
from picturematch.networks import install_missing
from picturematch.open_files import room_for_connections
from picturematch.options import UserError, config_option, data_folder_option, settings_of
from picturematch.settings import Settings
from picturematch.shell import run, stop_signal

if TYPE_CHECKING:
    from picturematch.wiring import System


@click.command(epilog="Example: picturematch serve --host 0.0.0.0 --port 5555")
@config_option
@data_folder_option
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one.  [default: 5555]")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
@click.pass_context
def command(ctx: click.Context, data_folder: Path | None, host: str | None, port: int | None, log_level: str) -> None:
    """Answer PictureMatch calls, on one machine.

    Fetches the networks on first start, opens the embedded log in the data folder and listens. The first SIGINT or
    SIGTERM stops accepting and finishes what is in flight; a second one kills.
    """
    settings = settings_of(ctx, data_folder=data_folder, ingest__host=host, ingest__port=port)
    logging.basicConfig(
        level=log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    if settings.models.kind == "networks":
        install_missing(settings)
    run(_serve(_with_room(settings)))


def _with_room(settings: Settings) -> Settings:
    """The settings, with no more connections than this process may hold open."""
    wanted = settings.ingest.max_connections
    room = room_for_connections(wanted)
    if room >= wanted:
        return settings
    click.echo(
        f"picturematch: the system lets this process open few files (ulimit -n): {room} connections at a time instead "
        f"of {wanted}; raise that limit, or set ingest.max_connections to {room}",
        err=True,
    )
    return msgspec.structs.replace(settings, ingest=msgspec.structs.replace(settings.ingest, max_connections=room))


async def _serve(settings: Settings) -> None:
    # Imported here, since the networks' libraries take a second to load and --help needs none of them.
    from ingest.server import CannotListen
    from picturematch.wiring import open_models, run_system

    models = await asyncio.to_thread(open_models, settings)
    if settings.models.kind == "stand-in":
        click.echo("WARNING: stand-in models: this server recognises drawings, not people", err=True)
    try:
        async with run_system(settings, models) as system:
            stop = stop_signal()
            click.echo(
                f"PictureMatch {__version__} listens on {system.ingress.url}; {len(system.people)} people enrolled; "
                f"data folder {settings.data_folder}"
            )
            await _until_stopped(system, stop)
            click.echo("stopping: finishing what is in flight; a second signal kills")
            await system.drain(settings.ingest.drain_limit_s)
    except CannotListen as error:
        raise UserError(str(error)) from error
    click.echo("stopped")


async def _until_stopped(system: "System", stop: asyncio.Event) -> None:
    waiting = [asyncio.create_task(stop.wait()), asyncio.create_task(system.failed())]
    ended, going_on = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in going_on:
        task.cancel()
    for task in ended:
        if task.exception() is not None:
            raise UserError(f"requests can no longer be processed: {task.exception()}")
