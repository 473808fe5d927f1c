"""Erases a person: through the server, then in the log, as far as the log can erase single records.

The embedded log overwrites the person's records in place, and leaves nothing of them in its file or WAL. Kafka cannot
change or remove single records: they stay until retention or compaction removes them.
"""

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from uuid import uuid4

from broker.embedded import LOG_FILE, REWRITTEN_BYTES, Erasure, file_erasure, in_use, refused
from broker.kafka.topics import latest_removal_ms
from broker.ordered import read_merged
from broker.port import Broker, NewRecord, Start, TopicSpec
from clients.http import ask
from contract.cloud_events import PERSON_EVENTS, cloud_event_headers
from contract.errors import Code
from contract.events import Event, RequestPlace, encode_event
from contract.files import remove_overwritten
from contract.http import USERS_PATH
from contract.kinds import ERASE_KIND
from contract.people.keys import REMOVE_COPIES_KEY
from contract.topics import Topics
from picturematch.audit_notes import log_change
from picturematch.erasure_report import Kept, Line, report, topics_that_stay
from picturematch.local_copy import COPY_FILE
from picturematch.opening import open_broker
from picturematch.options import UserError, ca_file
from picturematch.settings import Settings
from picturematch.traces import Found, Traces

_BATCH = 100
_SETTLE_S = 1.0
"""Matches that were under way while the person was deleted have their events after this time."""
_SERVER_TAKES_S = 120.0
_LOOK_AGAIN_S = 0.1


async def erase_person(settings: Settings, identity_id: str, url: str, api_key: str | None) -> list[Line]:
    """Delete the person through the server at `url`, then erase the person's records; return the report.

    Raises:
        OperatorError: the server refuses the deletion or cannot be reached, it uses another log than `settings` name,
            or the log cannot be read; the person may be deleted already, and the command can be run again.
    """
    deleted = await _delete(identity_id, url, api_key)
    await asyncio.sleep(_SETTLE_S)
    async with open_broker(settings, "guest") as log:
        traces = await _traces(log, settings, identity_id)
        if traces.enrolled:
            raise UserError(
                f"the person is still enrolled in the log that the settings name ({_place(settings)}), so the server at"
                f" {url} uses another log: give the --data-folder or --broker of that server"
            )
        erasable = _erasable(traces, settings)
        records = sum(len(found.places) for _, found in erasable)
        note = erase_event(traces, settings.topics, settings.processor.event_source, str(uuid4()), time.time())
        audit = log_change(
            settings.topics, ERASE_KIND, "erased", (identity_id,), {"records": records}, (note.key or b"").decode()
        )
        # Every process that keeps a copy of the people removes the copy when it reads this record.
        copies = NewRecord(settings.topics.people, REMOVE_COPIES_KEY, None)
        if settings.kafka_config is not None:
            await log.append([note, audit, copies])
    if settings.kafka_config is None:
        copy = (settings.local_copy_folder or settings.data_folder) / COPY_FILE
        await _erase_in_folder(settings.data_folder, copy, erasable, note, audit, copies)
    replaced = sorted(str(path) for path in settings.data_folder.glob("replaced-*"))
    embedded = settings.kafka_config is None
    kept = Kept(
        embedded,
        _until_s(traces, settings.topic_specs, embedded=embedded),
        rewritten=not embedded or (settings.data_folder / LOG_FILE).stat().st_size <= REWRITTEN_BYTES,
    )
    return list(report(traces, settings.topics, kept, deleted, replaced if embedded else ()))


async def _delete(identity_id: str, url: str, api_key: str | None) -> bool:
    """Delete the person by a call; return False where nobody is enrolled under the id."""
    answer = await ask(url, api_key, USERS_PATH, {"identity_id": identity_id}, method="DELETE", ca_file=ca_file())
    if answer.code == Code.ID_NOT_FOUND:
        return False
    if answer.http_status != 200:
        raise UserError(answer.error_text)
    return True


async def _traces(log: Broker, settings: Settings, identity_id: str) -> Traces:
    traces = Traces(identity_id, settings.topics)
    for topic in traces.order:
        ends = dict(await log.end_offsets(topic))
        async with aclosing(read_merged(log, topic, Start.EARLIEST, ends, batch=_BATCH)) as batches:
            async for records in batches:
                traces.take(records)
    for place in traces.requests:
        record = await log.read_at(place)
        traces.take([] if record is None else [record])
    return traces


def _erasable(traces: Traces, settings: Settings) -> list[tuple[str, Found]]:
    """Return the topics with records to erase."""
    kept = topics_that_stay(settings.topics)
    return [(topic, found) for topic, found in traces.by_topic.items() if topic not in kept]


def erase_event(traces: Traces, topics: Topics, source: str, event_id: str, now_s: float) -> NewRecord:
    """Return the event that records the erasure; its request is that of the person's deletion.

    `source`: the CloudEvents source of this installation; `now_s`: epoch seconds.
    """
    people = RequestPlace(topic=topics.people, partition=0, offset=traces.version)
    event = Event(
        id=event_id,
        kind=ERASE_KIND,
        outcome="erased",
        identity_id=traces.identity_id,
        compare_time=now_s,
        received_time=now_s,
        processed_time=now_s,
        request=traces.deletion.request if traces.deletion else people,
        gallery_version=traces.version,
        models={},
    )
    headers = cloud_event_headers(event, PERSON_EVENTS, source)
    return NewRecord(topics.events, event.id.encode(), encode_event(event), headers)


async def _erase_in_folder(
    folder: Path, copy: Path, topics: Sequence[tuple[str, Found]], note: NewRecord, *others: NewRecord
) -> None:
    """Let the server that owns the folder erase the records and its local copy of the people; wait until it has."""
    places = tuple(place for _, found in topics for place in found.places)
    if not places:
        await asyncio.to_thread(remove_overwritten, copy)
        return
    with _watched(copy) as copy_remains:
        path = await asyncio.to_thread(file_erasure, folder, Erasure(places, note, others), secrets.token_hex(8))
        ends_s = time.monotonic() + _SERVER_TAKES_S
        while path.exists() or copy_remains():
            stopped, late = not in_use(folder), time.monotonic() > ends_s
            if stopped or late:
                reason = "has stopped" if stopped else f"has not erased the records within {_SERVER_TAKES_S:g} s"
                raise UserError(
                    f"the person is deleted, but the server on {folder} {reason}: it erases the person's records as"
                    " soon as it can, at the latest when it is started again; see its log lines"
                )
            await asyncio.sleep(_LOOK_AGAIN_S)
    if refused(path).exists():
        raise UserError(f"the server on {folder} could not read {refused(path)}: run the command of the same version")


@contextmanager
def _watched(path: Path) -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether the file that has this path now still has one."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        yield lambda: False
        return
    with file:
        yield lambda: os.fstat(file.fileno()).st_nlink > 0


def _until_s(traces: Traces, specs: Sequence[TopicSpec], *, embedded: bool) -> Mapping[str, float]:
    """Return when each topic's records about the person are removed at the latest, in epoch seconds.

    In a compacted topic, records are removed after the deletion, which was now; pictures of requests in which the
    person was not recognised may be as young as now.
    """
    now_ms = int(time.time() * 1000)
    until: dict[str, float] = {}
    for spec in specs:
        found_ms = traces.newest_ms(spec.name)
        newest_ms = now_ms if spec.compacted or found_ms is None else found_ms
        kept_ms = newest_ms + (spec.retention_ms or 0) if embedded else latest_removal_ms(spec, newest_ms)
        until[spec.name] = kept_ms / 1000
    return until


def _place(settings: Settings) -> str:
    return str(settings.data_folder) if settings.kafka_config is None else settings.broker
