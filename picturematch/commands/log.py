"""picturematch log: look after the log: back it up, restore it, and check the embedded one."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from broker.embedded import accept_clock, backup_log, check_log, in_use, record_count, restore_log
from broker.port import BrokerError
from contract.text import printable
from picturematch.cluster_backup import back_up_cluster, restore_cluster
from picturematch.options import UserError, config_option, data_folder_option, log_options, settings_of
from picturematch.settings import Settings
from picturematch.shell import counted, progress, run, say

T = TypeVar("T")


@click.group(epilog="Example: picturematch log check")
@config_option
def command() -> None:
    """Back up and restore the log; check the embedded one.

    All of it but restore is done beside a running server. A backup of either log can be restored into either.
    """


@command.command(
    epilog="""\b
Examples:
  picturematch log check
  picturematch log check --data-folder /srv/picturematch"""
)
@config_option
@data_folder_option
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Name so many findings.")
@click.pass_context
def check(ctx: click.Context, data_folder: Path | None, limit: int) -> None:
    """Look the whole log over for damage.

    SQLite checks its file, then every record is held against its checksum and offsets must follow each other. The WAL
    is looked at only while no server runs: to see what a damaged one will lose, check before the server is started.

    Exit status: 0 nothing was found, 1 damage was found, 2 it could not be done.
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
                        steps.say(printable(finding), problem=True)
    except BrokerError as error:
        raise UserError(printable(str(error))) from error
    if findings > limit:
        click.echo(f"and {counted(findings - limit, 'finding')} more", err=True)
    click.echo(f"{counted(records, 'record')} looked at, {counted(findings, 'finding')}")
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
    """Copy the whole log to the new file DEST, readable by you alone.

    Of the embedded log it is a copy of this moment, replies included. Kafka is read topic by topic: requests that are
    decided meanwhile may be in the copy without their events, and are decided again after a restore.

    The copy holds faces: delete it when the retention of faces (log.requests_retention_ms) has passed. People who are
    deleted later stay in it.
    """
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    if settings.kafka_config is not None:
        with progress("records", None) as steps:
            run(back_up_cluster(settings, target, _stepping_each(steps.step)))
        say(f"{target} holds the log on {settings.broker} ({target.stat().st_size} bytes)")
        return
    folder = settings.data_folder
    with progress("pages", None) as steps:
        _told(lambda: backup_log(folder, target, _stepping(steps.step)))
    say(f"{target} holds the log in {folder} ({target.stat().st_size} bytes)")


@command.command(
    epilog="""\b
Examples:
  picturematch log restore /mnt/backup/log-monday.sqlite --replace
  picturematch log restore /mnt/backup/log-monday.sqlite --broker kafka://kafka:9092"""
)
@config_option
@log_options
@click.argument("source", type=click.Path(dir_okay=False, exists=True, path_type=Path), metavar="SRC")
@click.option("--replace", is_flag=True, help="Move an embedded log that is there aside, into a folder beside it.")
@click.option(
    "--accept-damage",
    is_flag=True,
    help="Restore a damaged backup, too; its damaged records stay so, and are left out on Kafka.",
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
    """Make the log from the backup SRC; the server, or all roles, must be stopped.

    The backup is checked first. What was written after it is gone. The embedded log's offsets go on far behind its end,
    so that no reader takes a new record for one it has seen. On Kafka the topics must be empty, and are created where
    they are missing; records get other offsets, and groups go on where they were.
    """
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    if settings.kafka_config is not None:
        if replace:
            raise UserError("--replace is for the embedded log; on Kafka delete the topics first")
        with progress("records", None) as steps:
            copied = _stepping_each(steps.step)
            damaged = run(restore_cluster(settings, source, accept_damage=accept_damage, copied=copied))
        left_out = f"; {counted(damaged, 'damaged record')} left out" if damaged else ""
        say(f"the log on {settings.broker} is that of {source}{left_out}")
        return
    folder = settings.data_folder
    with progress("pages", None) as steps:
        pages = _stepping(steps.step)
        aside = _told(lambda: restore_log(source, folder, replace=replace, accept_damage=accept_damage, copied=pages))
    say(f"the log in {folder} is that of {source}")
    if aside is not None:
        say(f"the former log is in {aside}; it holds faces, so delete it when you need it no more")


@command.command(name="accept-clock", epilog="Example: picturematch log accept-clock")
@config_option
@data_folder_option
@click.pass_context
def accept_clock_(ctx: click.Context, data_folder: Path | None) -> None:
    """Say that the system's clock is right, where the server doubts it and removes nothing for its age.

    The server believes the clock from its next sweep on (within a minute), or when it is started.
    """
    folder = _embedded(settings_of(ctx, data_folder=data_folder))
    _told(lambda: accept_clock(folder, int(time.time() * 1000)))
    click.echo("accepted: records that are past their age by the system's clock are removed from the next sweep on")


def _embedded(settings: Settings) -> Path:
    if settings.kafka_config is not None:
        raise UserError("this looks at the embedded log; on Kafka use Kafka's own tools")
    return settings.data_folder


def _told(work: Callable[[], T]) -> T:
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
