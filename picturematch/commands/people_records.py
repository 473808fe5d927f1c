"""picturematch people check and repair: records of the people topic that cannot be read."""

from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

import click
import orjson

from broker.ordered import read_merged
from broker.port import Broker, BrokerInUse, NewRecord, Start
from contract.kinds import REPAIR_KIND
from contract.people.inventory import Inventory
from contract.people.keys import FaceKey, parse_key, photo_key, printable_key
from contract.people.unreadable import UnreadableRecord
from contract.topics import Topics
from picturematch.audit_notes import log_change
from picturematch.opening import ensure_audit, open_broker
from picturematch.options import UserError, config_option, log_options, settings_of, yes_option
from picturematch.settings import Settings
from picturematch.shell import counted, run

_BATCH = 100


@click.command(
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
    """Print the records that cannot be read; the server may run meanwhile. Exit status: 0 none, 1 some.

    This command cannot check the length of embeddings; servers name a record with a wrong length in their log lines and
    in the answer to `health`.
    """
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    inventory = run(_inventory_beside(settings))
    found = inventory.unreadable()
    for record in found:
        click.echo(_as_json(record) if as_json else f"topic {settings.topics.people}, {record}")
    if inventory.keyless:
        skipped = counted(len(inventory.keyless), "record")
        click.echo(f"{skipped} without a key; all processes skip such records, and nothing needs to be done", err=True)
    if not found:
        click.echo("every record can be read", err=as_json)
    ctx.exit(1 if found else 0)


@click.command(
    epilog="""\b
Examples:
  picturematch people repair 1207
  picturematch people repair --all --yes --broker kafka://kafka:9092"""
)
@config_option
@log_options
@click.argument("offsets", type=click.IntRange(min=0), nargs=-1, metavar="[OFFSET]...")
@click.option("--all", "everything", is_flag=True, help="Remove all records that cannot be read.")
@click.option(
    "--readable",
    is_flag=True,
    help="Remove also a record that this command can read, but that a server names as unreadable.",
)
@yes_option
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
    """Remove records that cannot be read, by writing a tombstone of the same key; check prints the OFFSETs.

    Removing a person's record also removes the faces and photos of that person. Enrol the person again afterwards. On
    Kafka every process continues by itself; on the embedded log the server must be stopped meanwhile. On both logs,
    DELETE of /SophonFogSys/api/users also removes a person whose record cannot be read, without a stop.

    Exit status: 0 all were removed, 1 some were not removed, 2 the command failed.
    """
    if bool(offsets) == everything:
        raise click.UsageError("name the OFFSETs of the records, or give --all")
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    refused = run(_repair(settings, None if everything else list(dict.fromkeys(offsets)), readable, yes))
    for sentence in refused:
        click.echo(sentence, err=True)
    ctx.exit(1 if refused else 0)


async def _repair(settings: Settings, offsets: Sequence[int] | None, readable: bool, yes: bool) -> list[str]:
    """Remove the chosen records (None: all that cannot be read); return a sentence for each that was not removed."""
    try:
        async with open_broker(settings, "owner") as log:
            await ensure_audit(log, settings)
            inventory = await _inventory(log, settings.topics.people)
            chosen, refused = _chosen(inventory, offsets, readable)
            if not chosen and not refused:
                click.echo("every record can be read; there is nothing to remove")
            for record in chosen:
                keys = inventory.keys_to_remove(record.key or b"")
                click.echo(f"topic {settings.topics.people}, {record}")
                _print_faces(keys[1:])
                if not (yes or click.confirm("Remove it?")):
                    refused.append(f"offset {record.offset}: the record was not removed")
                    continue
                named = [printable_key(key) for key in keys]
                details = {"readable": True} if readable else {}
                audit = log_change(settings.topics, REPAIR_KIND, "deleted", named, details)
                await log.append([*_tombstones(settings.topics, keys), audit])
                click.echo(f"offset {record.offset}: removed")
            return refused
    except BrokerInUse as error:
        raise UserError(
            f"the server on {settings.data_folder} is running, and only one process writes its log:"
            " stop the server, repair the topic, and start the server again; or DELETE the person by a call"
        ) from error


def _chosen(
    inventory: Inventory, offsets: Sequence[int] | None, readable: bool
) -> tuple[list[UnreadableRecord], list[str]]:
    """Return the records to remove, and a sentence for every offset at which no record is to be removed."""
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
            chosen.append(UnreadableRecord(offset, key, "this command can read the record"))
        else:
            refused.append(
                f"offset {offset}: this command can read the record (key {printable_key(key)});"
                " if a server names it as unreadable, give --readable"
            )
    return chosen, refused


def _tombstones(topics: Topics, keys: Sequence[bytes]) -> list[NewRecord]:
    """Return tombstones for records of the people topic, and for the photos where a person's record is among them."""
    deleted = [NewRecord(topics.people, key, None, partition=0) for key in keys]
    if len(keys) > 1:
        faces = [face for face in map(parse_key, keys[1:]) if isinstance(face, FaceKey)]
        photos = {photo_key(face.identity_id, face.number) for face in faces}
        deleted += [NewRecord(topics.photos, photo, None) for photo in sorted(photos)]
    return deleted


def _print_faces(keys: Sequence[bytes]) -> None:
    if keys:
        click.echo(f"this also removes {counted(len(keys), 'face')} of the person, with photos")


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
