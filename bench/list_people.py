"""Lists of people in pages of ten with photos: `python -m bench.list_people --broker kafka://127.0.0.1:9092`.

People with photos of made-up bytes, groups and permissions are written to a log of the bench's own before the server
starts. Prints the milliseconds of a page for several lists, one call at a time.
"""

import asyncio
import os
import random
import tempfile
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlencode

import click
import msgspec
from rich.console import Console
from rich.table import Table

from bench.load import LoadResult, run_load
from bench.people import made_up_features
from bench.server import Server, log_environment, running_server
from broker.port import Broker, NewRecord
from contract.http import USERS_PATH
from contract.messages import encode
from contract.people.keys import face_key, person_key, photo_key, site_key
from contract.people.records import WHOLE_FACE, FaceRecord, PersonRecord, PhotoRecord, PhotoReference
from contract.people.site import GroupRecord, PermissionRecord, SiteRecord, site_key_of
from contract.topics import Topics
from engine.vision.networks.standin import stand_in_models
from picturematch.opening import open_broker, require_topics
from picturematch.options import broker_option, settings_of
from picturematch.settings import Settings

_GROUPS, _PERMISSIONS = 50, 20
_AT_A_TIME = 500
_PAGE = 10
_LARGEST = "group-0"
"""The group with every second person."""


@click.command(epilog="Example: python -m bench.list_people --people 100000 --rounds 200")
@broker_option
@click.option("--people", default=100_000, show_default=True, type=click.IntRange(min=100), help="People.")
@click.option("--photo-kb", default=40, show_default=True, help="Size of a photo, 1000 bytes.")
@click.option("--rounds", default=200, show_default=True, help="Pages of each list.")
@click.pass_context
def main(ctx: click.Context, broker: str | None, people: int, photo_kb: int, rounds: int) -> None:
    """Milliseconds of a page of ten people with photos."""
    settings = settings_of(ctx, broker=broker, log__topic_prefix=f"bench-{os.getpid()}")
    with tempfile.TemporaryDirectory(prefix="picturematch-people-") as folder:
        own = msgspec.structs.replace(settings, data_folder=Path(folder))
        environment = {
            "PICTUREMATCH_DATA_FOLDER": folder,
            "PICTUREMATCH_LOG__TOPIC_PREFIX": own.log.topic_prefix,
            "PICTUREMATCH_MODELS__KIND": "stand-in",
            "PICTUREMATCH_INGEST__DEADLINE_MS": "60000",  # a slow page is a figure, not an error
        }
        environment |= log_environment(own)
        began = time.perf_counter()
        asyncio.run(_write(own, people, photo_kb * 1000))
        written = time.perf_counter()
        with running_server(environment) as server:
            click.echo(
                f"{people} people with photos of {photo_kb} KB: written in {written - began:.0f} s,"
                f" server ready after {time.perf_counter() - written:.1f} s"
            )
            _print({name: _measure(server, query, rounds) for name, query in _lists(people).items()}, own)


def _lists(people: int) -> dict[str, dict[str, str | int]]:
    deep = people - _PAGE
    return {
        "everybody, first page": {},
        f"everybody, skip_num {deep}": {"skip_num": deep},
        "group of half of them, first page": {"group_name": _LARGEST},
        f"group of half of them, skip_num {deep // 2}": {"group_name": _LARGEST, "skip_num": deep // 2},
        "group and permission": {"group_name": _LARGEST, "permission_id": "permission-0"},
        f"type, skip_num {people // 10}": {"type": 2, "skip_num": people // 10},
        "name": {"name": "name 77"},
        "one person": {"identity_id": _id(7, people)},
    }


def _measure(server: Server, query: dict[str, str | int], rounds: int) -> tuple[float, LoadResult]:
    """Return the milliseconds of the first page, and the result of the others."""
    call = f"GET {USERS_PATH}?{urlencode(query)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    first = asyncio.run(run_load(server.port, [call], 1, 1))
    result = asyncio.run(run_load(server.port, [call], rounds, 1))
    if first.failed or result.failed:
        raise click.ClickException(f"a page was refused: {query}")
    return first.latencies_ms[0], result


def _print(results: dict[str, tuple[float, LoadResult]], settings: Settings) -> None:
    aim = 20 if settings.kafka_config is None else 100
    table = Table(title=f"pages of {_PAGE} with photos, milliseconds (aim: a steady {aim} ms)")
    for column in ("list", "first call", "p50", "p99", "highest"):
        table.add_column(column, justify="left" if column == "list" else "right")
    for name, (first_ms, pages) in results.items():
        numbers = (first_ms, pages.percentile(50), pages.percentile(99), max(pages.latencies_ms))
        table.add_row(name, *(f"{number:.1f}" for number in numbers))
    Console().print(table)


def _id(number: int, people: int) -> str:
    """Return an id; the ids of consecutive numbers are not in order."""
    return f"bench-{number * 7919 % people:07}"


async def _write(settings: Settings, people: int, photo_bytes: int) -> None:
    models, topics = stand_in_models(), settings.topics
    features = made_up_features(people, models.embedder.dimension)
    async with open_broker(settings, "owner") as log:
        await require_topics(log, settings.topic_specs)
        await log.append([_record(topics, record) for record in _site()])
        for first in range(0, people, _AT_A_TIME):
            numbers = range(first, min(first + _AT_A_TIME, people))
            faces = [
                FaceRecord(
                    identity_id=_id(number, people),
                    number=0,
                    embedder=models.embedder_identity,
                    templates={WHOLE_FACE: features[number].astype("<f4").tobytes()},
                )
                for number in numbers
            ]
            await _append(log, topics, faces, [_person(number, people) for number in numbers], photo_bytes)


async def _append(
    log: Broker, topics: Topics, faces: Sequence[FaceRecord], persons: Sequence[PersonRecord], photo_bytes: int
) -> None:
    jpegs = [face.identity_id.encode().ljust(photo_bytes, b"\xff") for face in faces]
    photos = [
        PhotoRecord(identity_id=face.identity_id, number=0, jpeg=jpeg) for face, jpeg in zip(faces, jpegs, strict=True)
    ]
    places = await log.append(
        [NewRecord(topics.photos, photo_key(photo.identity_id, 0), encode(photo)) for photo in photos]
    )
    records = []
    for face, jpeg, place, person in zip(faces, jpegs, places, persons, strict=True):
        photo = PhotoReference(sha256=sha256(jpeg).digest(), partition=place.partition, offset=place.offset)
        whole = msgspec.structs.replace(face, photo=photo)
        key = face_key(face.identity_id, 0, face.embedder)
        records.append(NewRecord(topics.people, key, encode(whole), partition=0))
        records.append(NewRecord(topics.people, person_key(person.identity_id), encode(person), partition=0))
    await log.append(records)


def _person(number: int, people: int) -> PersonRecord:
    chance = random.Random(number)
    groups = {f"group-{n}" for n in chance.sample(range(1, _GROUPS), 2)} | ({_LARGEST} if number % 2 else set())
    permissions = [f"permission-{n}" for n in chance.sample(range(_PERMISSIONS), 2)]
    info = {"name": f"name {number}", "type": 1 + number % 2, "permission_ids": permissions, "note": "x" * 300}
    return PersonRecord(
        identity_id=_id(number, people), group_ids=tuple(sorted(groups)), info=info, faces=(0,), next_face=1
    )


def _site() -> Sequence[SiteRecord]:
    groups = [GroupRecord(group_id=f"group-{n}", name=f"group-{n}") for n in range(_GROUPS)]
    permissions = [
        PermissionRecord(permission_id=f"permission-{n}", name=f"permission-{n}") for n in range(_PERMISSIONS)
    ]
    return [*groups, *permissions]


def _record(topics: Topics, record: SiteRecord) -> NewRecord:
    return NewRecord(topics.people, site_key(site_key_of(record)), encode(record), partition=0)


if __name__ == "__main__":
    main()
