"""Backs up the log on Kafka to one file, and restores such a file into empty topics, where records get other offsets.

Replies and the heartbeats of group members are not copied, because they are useful for seconds only.
"""

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from broker.backup import GroupOffset, Translation, copy_topics
from broker.embedded import LOG_FILE, LogFileReader, LogFileWriter, open_embedded, verify_backup
from broker.port import BrokerError, NewRecord, Record, TopicSpec
from contract.configs import CHECKPOINT_KEYS
from contract.kinds import RESTORE_KIND
from contract.topics import Topics
from picturematch.audit_notes import log_change
from picturematch.opening import open_cluster
from picturematch.settings import Settings
from processor.decided import Decided

if TYPE_CHECKING:
    from broker.kafka.broker import KafkaBroker
    from broker.kafka.restore import Restorer

Copied = Callable[[int], None]
"""A callback with the number of records of each copied batch."""


async def back_up_cluster(settings: Settings, target: Path, copied: Copied) -> None:
    """Copy the log to the new file `target`, which only its owner can read; on return the file is durable.

    A request whose event is in the copy counts as decided. The copy may contain a request that is decided meanwhile
    without its event; such a request is decided again after a restore.

    Raises:
        BrokerError: Kafka cannot be read, or the target cannot be written or exists already.
    """
    try:
        _require_new(target)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as folder:
            await _copy_to(settings, Path(folder), copied)
            _require_new(target)
            (Path(folder) / LOG_FILE).rename(target)
    except OSError as error:
        raise BrokerError(f"the backup {target} cannot be written ({error.strerror})") from error


def _require_new(target: Path) -> None:
    if target.exists():
        raise BrokerError(f"{target} exists already: name a new file")


async def _copy_to(settings: Settings, folder: Path, copied: Copied) -> None:
    specs = _copied_topics(settings)
    async with open_cluster(settings) as cluster:
        with LogFileWriter(folder / LOG_FILE) as file:
            # The offsets are read before the topics, so that no group is ahead of the records in the copy.
            places = await cluster.group_offsets({spec.name for spec in specs})
            await copy_topics(cluster, specs, file, copied)
            for place in [*places, *await _decided(folder, settings.topics, places)]:
                file.save_group_offset(place)


def _copied_topics(settings: Settings) -> Sequence[TopicSpec]:
    """Return the topics in the order that `copy_topics` requires: events first, requests last."""
    topics = settings.topics
    order = {topics.events: 0, topics.requests: 2, topics.admin: 2}
    specs = [spec for spec in settings.topic_specs if spec.name not in (topics.replies, topics.members)]
    return sorted(specs, key=lambda spec: order.get(spec.name, 1))


async def _decided(folder: Path, topics: Topics, places: Sequence[GroupOffset]) -> Sequence[GroupOffset]:
    """Return the offsets at which processors continue in the copy, where its events are ahead of their commits."""
    known = {(place.group, place.partition): place.offset for place in places}
    found = []
    async with open_embedded(folder, role="guest", clock_ms=lambda: int(time.time() * 1000)) as copy:
        for group, requests in ((topics.processors, topics.requests), (topics.admins, topics.admin)):
            decided = Decided(copy, topics, requests)
            for partition, end in (await copy.end_offsets(requests)).items():
                first = known.get((group, partition), 0)
                behind = await decided(partition, first, end)
                if behind is not None:
                    found.append(GroupOffset(group, requests, partition, behind))
    return found


async def restore_cluster(settings: Settings, source: Path, *, accept_damage: bool, copied: Copied) -> int:
    """Write a backup into the topics of the settings; return the number of damaged records, which are not restored.

    Missing topics are created; existing ones must be empty. Consumer groups continue at the same records.

    Raises:
        BrokerError: the backup cannot be used (`verify_backup`) or does not fit the topics; the topics contain records,
            or processors run on them; Kafka cannot be written.
    """
    verify_backup(source, accept_damage=accept_damage)
    with LogFileReader(source) as file:
        names = _own_names(file, settings)
        async with open_cluster(settings) as cluster:
            await cluster.ensure_topics(settings.topic_specs)
            await _require_nothing_there(cluster, settings.topics, names.values())
            damaged = await _restore(cluster, file, names, settings.topics, copied)
            await cluster.append([restored_note(settings.topics, source, damaged)])
            return damaged


def restored_note(topics: Topics, source: Path, damaged: int = 0) -> NewRecord:
    """Return the audit record of a restore from the backup `source`, of which so many damaged records were left out."""
    return log_change(topics, RESTORE_KIND, "restored", (source.name,), {"damaged": damaged} if damaged else {})


def _own_names(file: LogFileReader, settings: Settings) -> Mapping[str, str]:
    """Return the name of each topic in the backup -> its name in Kafka, which may have another prefix.

    Raises:
        BrokerError: the backup has other topics, or another number of partitions.
    """
    own_prefix = settings.log.topic_prefix
    prefixes = [name.removesuffix(".people") for name in file.specs if name.endswith(".people")]
    if len(prefixes) != 1:
        raise BrokerError(f"the backup has {len(prefixes)} topics of people and must have one: take another backup")
    (prefix,) = prefixes
    names = {}
    for spec in _copied_topics(settings):
        there = prefix + spec.name.removeprefix(own_prefix)
        if there not in file.specs:
            continue  # the version that wrote the backup did not have this topic
        partitions = file.specs[there].partitions
        if partitions != spec.partitions:
            raise BrokerError(
                f"topic {there} has {partitions} partitions in the backup, and the settings want {spec.partitions}:"
                " set log.request_partitions to the number in the backup"
            )
        names[there] = spec.name
    return names


async def _require_nothing_there(cluster: "KafkaBroker", topics: Topics, names: Iterable[str]) -> None:
    for group in (topics.processors, topics.admins):
        if await cluster.has_members(group):
            raise BrokerError("processors run on these topics: stop all roles, restore, and start them again")
    for name in names:
        async with cluster.reader(name) as reader:
            ends = await cluster.end_offsets(name)
            if any(first < ends[partition] for partition, first in reader.positions().items()):
                raise BrokerError(
                    f"topic {name} contains records: a backup is restored into empty topics only, so delete the topics,"
                    " or choose others (log.topic_prefix)"
                )


async def _restore(
    cluster: "KafkaBroker", file: LogFileReader, names: Mapping[str, str], topics: Topics, copied: Copied
) -> int:
    """Restore the people topic last: without people no role becomes ready, so an interrupted restore is noticed."""
    damaged = 0
    offsets: dict[str, dict[tuple[str, int], int]] = defaultdict(dict)
    places = file.group_offsets()
    groups = _own_groups(names, topics)
    async with cluster.restorer() as restorer:
        for there, here in sorted(names.items(), key=lambda name: name[1] == topics.people):
            for partition in range(file.specs[there].partitions):
                of_groups = [place for place in places if (place.topic, place.partition) == (there, partition)]
                translation = Translation(place.offset for place in of_groups)
                for records in file.records(there, partition):
                    kept = [record for record in records if not (here == topics.configs and _is_checkpoint(record))]
                    damaged += await _write(restorer, kept, here, translation)
                    copied(len(records))
                end = (await cluster.end_offsets(here))[partition]
                found = translation.ended(end)
                for place in of_groups:
                    offsets[groups.get(place.group, place.group)][here, partition] = found[place.offset]
        for group, of_group in offsets.items():
            await restorer.commit(group, of_group)
    return damaged


def _is_checkpoint(record: Record) -> bool:
    """Return whether a record is a checkpoint, whose offset would name another record after the restore."""
    return record.key is not None and record.key.startswith(CHECKPOINT_KEYS)


async def _write(restorer: "Restorer", records: Sequence[Record], topic: str, translation: Translation) -> int:
    """Write the records that are not damaged; return the number of damaged ones."""
    whole = [replace(record, topic=topic) for record in records if not record.damaged]
    for record, offset in zip(whole, await restorer.write(whole), strict=True):
        translation.copied(record.offset, offset)
    return len(records) - len(whole)


def _own_groups(names: Mapping[str, str], topics: Topics) -> Mapping[str, str]:
    """Return the names of the processors' groups in the backup -> their names in Kafka."""
    (there,) = (there for there, here in names.items() if here == topics.people)
    former = Topics.of(there.removesuffix(".people"))
    return {former.processors: topics.processors, former.admins: topics.admins}
