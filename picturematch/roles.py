"""Runs the roles of `serve`, `ingest` and `process`: start, print the address, wait for a signal, drain."""

import asyncio
from typing import TYPE_CHECKING

import click
import msgspec

from contract.people.coverage import people_without
from picturematch import __version__
from picturematch.importing import collecting_later
from picturematch.log_lines import DATED, log_to_stderr
from picturematch.open_files import room_for_connections
from picturematch.options import UserError
from picturematch.settings import Settings
from picturematch.shell import print_line, run, stop_signal

if TYPE_CHECKING:
    from picturematch.system import ProcessorRole, System


def run_role(
    settings: Settings,
    pinned: frozenset[str],
    log_level: str,
    *,
    ingest: bool,
    process: bool,
    kafka_only: str | None = None,
) -> None:
    """Run the roles until the first SIGINT, SIGTERM or SIGHUP, then finish the work in flight; a second signal kills.

    Where the server uses TLS, SIGHUP reads the certificate again instead.

    `pinned`: the settings that a source has set, which calls cannot change.
    `kafka_only`: the name of the command where its role needs Kafka, because the embedded log allows one process only.

    Raises:
        UserError: the roles cannot start, or cannot continue.
    """
    if kafka_only is not None and settings.kafka_config is None:
        raise UserError(
            f"`{kafka_only}` works on Kafka: give --broker kafka://host:port; for one machine run `picturematch serve`"
        )
    log_to_stderr(log_level, DATED)
    if process and settings.models.kind == "networks":
        with collecting_later():
            from picturematch.networks import install_missing  # an ingress must not import the networks' libraries

        install_missing(settings)
    run(_run(_with_room(settings) if ingest else settings, pinned, ingest, process))


async def _run(settings: Settings, pinned: frozenset[str], ingest: bool, process: bool) -> None:
    with collecting_later():
        from picturematch.system import run_roles  # so that --help does not import the server's libraries

    role = await asyncio.to_thread(_open_role, settings, pinned) if process else None
    where = f"data folder {settings.data_folder}" if settings.kafka_config is None else settings.broker
    crop = None
    if ingest and process:
        from picturematch.face_crops import face_crops  # an ingress alone must not import the image library

        crop = face_crops(settings.pictures.max_pixels)
    likeness = role.likeness if ingest and role is not None else None
    async with run_roles(settings, role, ingest=ingest, pinned=pinned, crop=crop, likeness=likeness) as system:
        stop = stop_signal(system.reload_certificate)
        people = len(system.people)
        if role is not None:
            _warn_of_people_left_behind(role)
            if (slow := role.slow_search()) is not None:
                click.echo(f"picturematch: {slow}", err=True)
        print_line(f"PictureMatch {__version__} listens on {system.url}; people enrolled: {people}; {where}")
        await _until_stopped(system, stop)
        print_line("stopping: finishing the work in flight; a second signal kills")
        await system.drain(settings.ingest.drain_limit_s)
    print_line("stopped")


def _warn_of_people_left_behind(role: "ProcessorRole") -> None:
    """Print how many people cannot be found, because none of their faces is by the embedder in use."""
    left = people_without(role.people, role.people.embedder or "")
    if left:
        click.echo(
            f"picturematch: {len(left)} of {len(role.people)} people cannot be recognised: their faces are by other"
            " embedders than the one in use; `picturematch people reembed` embeds their photos, and with --left-behind"
            " names the faces that cannot be embedded",
            err=True,
        )


def _open_role(settings: Settings, pinned: frozenset[str]) -> "ProcessorRole":
    with collecting_later():
        from engine.gallery.port import IndexUnavailable
        from picturematch.networks import require_calibrated  # an ingress must not import these libraries
        from picturematch.wiring import NetworkRole, open_models

    models = open_models(settings)
    require_calibrated(models, settings.matching)
    try:
        role = NetworkRole(settings, models, pinned)
    except IndexUnavailable as error:
        raise UserError(str(error)) from error
    if settings.models.stand_in is not None:
        click.echo("WARNING: stand-in models: this server recognises drawings, not people", err=True)
    elif settings.matching.covered_templates and not models.embedder.covered_curves:
        click.echo(
            "picturematch: the manifest has no covered_curves for this embedder, so covered faces have no templates; "
            "docs/models.md says how to measure such curves",
            err=True,
        )
    return role


async def _until_stopped(system: "System", stop: asyncio.Event) -> None:
    waiting = [asyncio.create_task(stop.wait()), asyncio.create_task(system.failed())]
    ended, going_on = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in going_on:
        task.cancel()
    for task in ended:
        if task.exception() is not None:
            raise UserError(f"requests can no longer be processed: {task.exception()}")


def _with_room(settings: Settings) -> Settings:
    """Return the settings with at most as many connections as this process may have open files for."""
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
