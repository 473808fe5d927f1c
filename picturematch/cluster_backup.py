"""Backs up the log on Kafka into one file, and restores such a file into topics that are empty, with other offsets.

Of no use a moment later, and left out: replies, and the signs of life of members.
"""

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from broker.backup import GroupOffset, Translation, copy_topics
from broker.embedded import LOG_FILE, LogFileReader, LogFileWriter, open_embedded, verify_backup
from broker.kafka import KafkaBroker, Restorer
from broker.port import BrokerError, Record, TopicSpec
from contract.configs import CHECKPOINT_KEYS
from contract.topics import Topics
from picturematch.opening import open_cluster
from picturematch.settings import Settings
from processor.decided import Decided

Copied = Callable[[int], None]
"""Called after every batch with its number of records."""


async def back_up_cluster(settings: Settings, target: Path, copied: Copied) -> None:
    """Copy the log to the new file `target`, readable by its owner only and durable when this returns.

    Requests whose event is in the copy count as decided there. A request that is decided while the copy is made may be
    in it without its event; it is decided again after a restore.

    Raises:
        BrokerError: Kafka cannot be read, or the target cannot be written or is there already.
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
        raise BrokerError(f"{target} is there already: name a new file")


async def _copy_to(settings: Settings, folder: Path, copied: Copied) -> None:
    specs = _copied_topics(settings)
    async with open_cluster(settings) as cluster:
        with LogFileWriter(folder / LOG_FILE) as file:
            # Before the topics, so that a group may be behind what is in the copy, and never ahead of it.
            places = await cluster.group_offsets({spec.name for spec in specs})
            await copy_topics(cluster, specs, file, copied)
            for place in [*places, *await _decided(folder, settings.topics, places)]:
                file.save_group_offset(place)


def _copied_topics(settings: Settings) -> Sequence[TopicSpec]:
    """Events before all that is committed with them, and that before the requests, as `copy_topics` asks for."""
    topics = settings.topics
    order = {topics.events: 0, topics.requests: 2, topics.admin: 2}
    specs = [spec for spec in settings.topic_specs if spec.name not in (topics.replies, topics.members)]
    return sorted(specs, key=lambda spec: order.get(spec.name, 1))


async def _decided(folder: Path, topics: Topics, places: Sequence[GroupOffset]) -> Sequence[GroupOffset]:
    """Where those who decide go on in the copy, where its events are ahead of what they had committed."""
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
    """Write the backup into the topics of these settings, which are created where they are missing; nothing may be in
    them. Groups go on where they were. Returns how many damaged records were left out.

    Raises:
        BrokerError: the backup cannot be used (`verify_backup`) or does not fit the topics; they hold records, or
            processors run on them; Kafka cannot be written.
    """
    verify_backup(source, accept_damage=accept_damage)
    with LogFileReader(source) as file:
        names = _own_names(file, settings)
        async with open_cluster(settings) as cluster:
            await cluster.ensure_topics(settings.topic_specs)
            await _require_nothing_there(cluster, settings.topics, names.values())
            return await _restore(cluster, file, names, settings.topics, copied)


def _own_names(file: LogFileReader, settings: Settings) -> Mapping[str, str]:
    """Name of each topic in the backup -> its name here, which may have another prefix.

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
            continue  # a topic that the version which wrote the backup did not have
        partitions = file.specs[there].partitions
        if partitions != spec.partitions:
            raise BrokerError(
                f"topic {there} has {partitions} partitions in the backup, and the settings want {spec.partitions}:"
                " set log.request_partitions to the number in the backup"
            )
        names[there] = spec.name
    return names


async def _require_nothing_there(cluster: KafkaBroker, topics: Topics, names: Iterable[str]) -> None:
    for group in (topics.processors, topics.admins):
        if await cluster.has_members(group):
            raise BrokerError("processors run on these topics: stop all roles, restore, and start them again")
    for name in names:
        async with cluster.reader(name) as reader:
            ends = await cluster.end_offsets(name)
            if any(first < ends[partition] for partition, first in reader.positions().items()):
                raise BrokerError(
                    f"topic {name} holds records: a backup is restored into empty topics only, so delete them, or take"
                    " others (log.topic_prefix)"
                )


async def _restore(
    cluster: KafkaBroker, file: LogFileReader, names: Mapping[str, str], topics: Topics, copied: Copied
) -> int:
    """People last: without them nothing serves, so that a restore that was broken off is noticed."""
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
    """A checkpoint names an offset, which would be of another record here."""
    return record.key is not None and record.key.startswith(CHECKPOINT_KEYS)


async def _write(restorer: Restorer, records: Sequence[Record], topic: str, translation: Translation) -> int:
    """Write what is whole; returns how many were not."""
    whole = [replace(record, topic=topic) for record in records if not record.damaged]
    for record, offset in zip(whole, await restorer.write(whole), strict=True):
        translation.copied(record.offset, offset)
    return len(records) - len(whole)


def _own_groups(names: Mapping[str, str], topics: Topics) -> Mapping[str, str]:
    """Name of the groups of processors in the backup -> their name here."""
    (there,) = (there for there, here in names.items() if here == topics.people)
    former = Topics.of(there.removesuffix(".people"))
    return {former.processors: topics.processors, former.admins: topics.admins}
