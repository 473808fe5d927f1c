"""picturematch people: records of the people topic that cannot be read, and removing them."""

from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

import click
import orjson

from broker.ordered import read_merged
from broker.port import Broker, BrokerInUse, NewRecord, Start
from contract.people.inventory import Inventory
from contract.people.keys import FaceKey, parse_key, photo_key, printable_key
from contract.people.unreadable import UnreadableRecord
from contract.topics import Topics
from picturematch.opening import open_broker
from picturematch.options import UserError, config_option, log_options, settings_of
from picturematch.settings import Settings
from picturematch.shell import counted, run

_BATCH = 100


@click.group(epilog="Example: picturematch people check")
@config_option
def command() -> None:
    """Show records of the people topic that cannot be read, and remove them.

    Such a record hides what the topic knows of a person. Every process that reads it stays up, not ready, and refuses
    the calls that need the people, until a later record of its key replaces it.
    """


@command.command(
    epilog="""\b
Examples:
  picturematch people check
  picturematch people check --json --broker kafka://kafka:9092 | jq .offset"""
)
@config_option
@log_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_context
def check(ctx: click.Context, broker: str | None, data_folder: Path | None, as_json: bool) -> None:
    """Print the records that cannot be read, beside a running server too. Exit status: 0 none, 1 some.

    The length of a vector is known to servers only; one that is wrong is named in their log and by `health`.
    """
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    inventory = run(_inventory_beside(settings))
    found = inventory.unreadable()
    for record in found:
        click.echo(_as_json(record) if as_json else f"topic {settings.topics.people}, {record}")
    if inventory.keyless:
        skipped = counted(len(inventory.keyless), "record")
        click.echo(f"{skipped} without a key; everybody skips them, and nothing needs to be done", err=True)
    if not found:
        click.echo("every record can be read", err=as_json)
    ctx.exit(1 if found else 0)


@command.command(
    epilog="""\b
Examples:
  picturematch people repair 1207
  picturematch people repair --all --yes --broker kafka://kafka:9092"""
)
@config_option
@log_options
@click.argument("offsets", type=click.IntRange(min=0), nargs=-1, metavar="[OFFSET]...")
@click.option("--all", "everything", is_flag=True, help="All records that cannot be read.")
@click.option("--readable", is_flag=True, help="Also one that this command can read: a server's log named it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def repair(
    ctx: click.Context,
    broker: str | None,
    data_folder: Path | None,
    offsets: tuple[int, ...],
    everything: bool,
    readable: bool,
    yes: bool,
) -> None:
    """Remove records that cannot be read, by a tombstone of their very key; OFFSET is what check prints.

    With a person's record go the faces and photos of that person. Enrol the person again afterwards. On Kafka every
    process goes on by itself; on the embedded log the server must be stopped meanwhile (on both, DELETE of
    /SophonFogSys/api/users removes a person whose record cannot be read, and needs no stop).

    Exit status: 0 done, 1 some were not removed, 2 it could not be done.
    """
    if bool(offsets) == everything:
        raise click.UsageError("name the OFFSETs of the records, or say --all")
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    refused = run(_repair(settings, None if everything else list(dict.fromkeys(offsets)), readable, yes))
    for sentence in refused:
        click.echo(sentence, err=True)
    ctx.exit(1 if refused else 0)


async def _repair(settings: Settings, offsets: Sequence[int] | None, readable: bool, yes: bool) -> list[str]:
    """Remove the chosen records (None: all that cannot be read); a sentence for each that was not removed."""
    try:
        async with open_broker(settings, "owner") as log:
            inventory = await _inventory(log, settings.topics.people)
            chosen, refused = _chosen(inventory, offsets, readable)
            if not chosen and not refused:
                click.echo("every record can be read; there is nothing to remove")
            for record in chosen:
                keys = inventory.keys_to_remove(record.key or b"")
                click.echo(f"topic {settings.topics.people}, {record}")
                _tell_others(keys[1:])
                if not (yes or click.confirm("Remove it?")):
                    refused.append(f"offset {record.offset}: it was not removed")
                    continue
                await log.append(_tombstones(settings.topics, keys))
                click.echo(f"offset {record.offset}: removed")
            return refused
    except BrokerInUse as error:
        raise UserError(
            f"the server on {settings.data_folder} is running, and only one process writes its log:"
            " stop the server, repair, and start it again; or DELETE the person by a call"
        ) from error


def _chosen(
    inventory: Inventory, offsets: Sequence[int] | None, readable: bool
) -> tuple[list[UnreadableRecord], list[str]]:
    """The records to remove, and a sentence for every offset that names none."""
    unreadable = {record.offset: record for record in inventory.unreadable()}
    if offsets is None:
        return list(unreadable.values()), []
    chosen, refused = [], []
    for offset in offsets:
        key = inventory.key_at(offset)
        if offset in unreadable:
            chosen.append(unreadable[offset])
        elif key is None:
            refused.append(f"offset {offset}: there is no record with a key, or a later record of its key replaced it")
        elif readable:
            chosen.append(UnreadableRecord(offset, key, "this command can read it"))
        else:
            refused.append(
                f"offset {offset}: this command can read the record (key {printable_key(key)});"
                " if a server names it as unreadable, say --readable"
            )
    return chosen, refused


def _tombstones(topics: Topics, keys: Sequence[bytes]) -> list[NewRecord]:
    """Deletes these records of the people topic; with the record of a person also the photos of the faces."""
    deleted = [NewRecord(topics.people, key, None, partition=0) for key in keys]
    if len(keys) > 1:
        faces = [face for face in map(parse_key, keys[1:]) if isinstance(face, FaceKey)]
        photos = {photo_key(face.identity_id, face.number) for face in faces}
        deleted += [NewRecord(topics.photos, photo, None) for photo in sorted(photos)]
    return deleted


def _tell_others(keys: Sequence[bytes]) -> None:
    if keys:
        click.echo(
            f"with it {'goes' if len(keys) == 1 else 'go'} {counted(len(keys), 'face')} of that person, photos too"
        )


async def _inventory_beside(settings: Settings) -> Inventory:
    async with open_broker(settings, "guest") as log:
        return await _inventory(log, settings.topics.people)


async def _inventory(log: Broker, topic: str) -> Inventory:
    inventory = Inventory()
    ends = dict(await log.end_offsets(topic))
    async with aclosing(read_merged(log, topic, Start.EARLIEST, ends, batch=_BATCH)) as batches:
        async for records in batches:
            inventory.take(records)
    return inventory


def _as_json(record: UnreadableRecord) -> bytes:
    key = None if record.key is None else printable_key(record.key)
    return orjson.dumps({"partition": 0, "offset": record.offset, "key": key, "reason": record.reason})
