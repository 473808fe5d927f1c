"""picturematch log: back up and restore the log, and check and rewrite the embedded log."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from broker.embedded import (
    LOG_FILE,
    accept_clock,
    backup_log,
    check_log,
    in_use,
    record_count,
    restore_log,
    rewrite_log,
)
from broker.port import BrokerError
from contract.text import printable
from picturematch.cluster_backup import back_up_cluster, restore_cluster, restored_note
from picturematch.opening import ensure_audit, open_broker
from picturematch.options import UserError, config_option, data_folder_option, log_options, settings_of
from picturematch.settings import Settings
from picturematch.shell import counted, print_line, progress, run

T = TypeVar("T")


@click.group(epilog="Example: picturematch log check")
@config_option
def command() -> None:
    """Back up and restore the log; check and rewrite the embedded log.

    The server may run during all of these commands except restore and rewrite. A backup of the embedded log can be
    restored into Kafka, and a backup of Kafka into the embedded log.
    """


@command.command(
    epilog="""\b
Examples:
  picturematch log check
  picturematch log check --data-folder /srv/picturematch"""
)
@config_option
@data_folder_option
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="The most findings to print.")
@click.pass_context
def check(ctx: click.Context, data_folder: Path | None, limit: int) -> None:
    """Check the whole embedded log for damage.

    SQLite checks its file; then the checksum of every record and the order of the offsets are checked. The WAL is
    checked only while no server runs: check before you start the server to learn what a damaged WAL will lose.

    Exit status: 0 no damage was found, 1 damage was found, 2 the command failed.
    """
    folder = _embedded(settings_of(ctx, data_folder=data_folder))
    records = findings = 0
    try:
        with progress("records", record_count(folder)) as steps:
            for looked_at in check_log(folder, beside_server=in_use(folder)):
                records += looked_at.records
                for _ in range(looked_at.records):
                    steps.step()
                for finding in looked_at.findings:
                    findings += 1
                    if findings <= limit:
                        steps.print_line(printable(finding), problem=True)
    except BrokerError as error:
        raise UserError(printable(str(error))) from error
    if findings > limit:
        click.echo(f"and {counted(findings - limit, 'finding')} more", err=True)
    click.echo(f"{counted(records, 'record')} checked, {counted(findings, 'finding')}")
    ctx.exit(1 if findings else 0)


@command.command(
    epilog="""\b
Examples:
  picturematch log backup /mnt/backup/log-monday.sqlite
  picturematch log backup /mnt/backup/log-monday.sqlite --broker kafka://kafka:9092"""
)
@config_option
@log_options
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path), metavar="DEST")
@click.pass_context
def backup(ctx: click.Context, broker: str | None, data_folder: Path | None, target: Path) -> None:
    """Copy the whole log to the new file DEST, which only you can read.

    Of the embedded log, the copy is the state of one moment, replies included. Kafka is read topic by topic: the copy
    may contain requests that are decided meanwhile without their events; they are decided again after a restore.

    The copy contains faces: delete it when the retention of faces (log.requests_retention_ms) has passed. People who
    are deleted later stay in the copy.
    """
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    if settings.kafka_config is not None:
        with progress("records", None) as steps:
            run(back_up_cluster(settings, target, _stepping_each(steps.step)))
        print_line(f"{target} contains the log on {settings.broker} ({target.stat().st_size} bytes)")
        return
    folder = settings.data_folder
    with progress("pages", None) as steps:
        _with_user_errors(lambda: backup_log(folder, target, _stepping(steps.step)))
    print_line(f"{target} contains the log in {folder} ({target.stat().st_size} bytes)")


@command.command(
    epilog="""\b
Examples:
  picturematch log restore /mnt/backup/log-monday.sqlite --replace
  picturematch log restore /mnt/backup/log-monday.sqlite --broker kafka://kafka:9092"""
)
@config_option
@log_options
@click.argument("source", type=click.Path(dir_okay=False, exists=True, path_type=Path), metavar="SRC")
@click.option("--replace", is_flag=True, help="Move an existing embedded log into a folder beside it.")
@click.option(
    "--accept-damage",
    is_flag=True,
    help="Restore a damaged backup too; damaged records stay damaged, and are not written to Kafka.",
)
@click.pass_context
def restore(
    ctx: click.Context,
    broker: str | None,
    data_folder: Path | None,
    source: Path,
    replace: bool,
    accept_damage: bool,
) -> None:
    """Restore the log from the backup SRC; the server, or all roles, must be stopped.

    The backup is checked first. Records that were written after the backup are lost. New records of the embedded log
    get much larger offsets, so that no reader mistakes a new record for an old one. On Kafka the topics must be empty,
    and are created where they are missing; records get other offsets, and consumer groups continue at the same records.
    The restore leaves an audit record.
    """
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    if settings.kafka_config is not None:
        if replace:
            raise UserError("--replace is for the embedded log; on Kafka delete the topics first")
        with progress("records", None) as steps:
            copied = _stepping_each(steps.step)
            damaged = run(restore_cluster(settings, source, accept_damage=accept_damage, copied=copied))
        left_out = f"; {counted(damaged, 'damaged record')} not restored" if damaged else ""
        print_line(f"the log on {settings.broker} is restored from {source}{left_out}")
        return
    folder = settings.data_folder
    with progress("pages", None) as steps:
        pages = _stepping(steps.step)
        aside = _with_user_errors(
            lambda: restore_log(source, folder, replace=replace, accept_damage=accept_damage, copied=pages)
        )
    print_line(f"the log in {folder} is restored from {source}")
    run(_note_restore(settings, source))
    if aside is not None:
        print_line(f"the former log is in {aside}; it contains faces, so delete it when you no longer need it")


@command.command(epilog="Example: picturematch log rewrite")
@config_option
@data_folder_option
@click.pass_context
def rewrite(ctx: click.Context, data_folder: Path | None) -> None:
    """Write the embedded log into a new file; the server must be stopped.

    Unused parts of the present file may contain pieces of erased values, where the file was too large for the server to
    do this by itself after `picturematch people erase`. The new file has no unused parts and replaces the present one.
    The disk of the data folder needs room for both.
    """
    folder = _embedded(settings_of(ctx, data_folder=data_folder))
    _with_user_errors(lambda: rewrite_log(folder))
    print_line(f"the log in {folder} is written anew ({(folder / LOG_FILE).stat().st_size} bytes)")


@command.command(name="accept-clock", epilog="Example: picturematch log accept-clock")
@config_option
@data_folder_option
@click.pass_context
def accept_clock_(ctx: click.Context, data_folder: Path | None) -> None:
    """Confirm that the system's clock is right, where the server doubts it and therefore removes no old records.

    The server accepts the clock at its next sweep (within a minute), or when it is started.
    """
    folder = _embedded(settings_of(ctx, data_folder=data_folder))
    _with_user_errors(lambda: accept_clock(folder, int(time.time() * 1000)))
    click.echo("accepted: from the next sweep on, records that are too old by the system's clock are removed")


async def _note_restore(settings: Settings, source: Path) -> None:
    """Write the audit record of a restore; where the restored log is too damaged for it, only say so."""
    try:
        async with open_broker(settings, "owner") as log:
            await ensure_audit(log, settings)
            await log.append([restored_note(settings.topics, source)])
    except BrokerError as error:
        click.echo(f"the restore leaves no audit record: {printable(str(error))}", err=True)


def _embedded(settings: Settings) -> Path:
    if settings.kafka_config is not None:
        raise UserError("this command is for the embedded log; on Kafka use Kafka's own tools")
    return settings.data_folder


def _with_user_errors(work: Callable[[], T]) -> T:
    try:
        return work()
    except BrokerError as error:
        raise UserError(printable(str(error))) from error


def _stepping_each(step: Callable[[], None]) -> Callable[[int], None]:
    def copied(count: int) -> None:
        for _ in range(count):
            step()

    return copied


def _stepping(step: Callable[[], None]) -> Callable[[int, int], None]:
    return lambda _done, _total: step()
