"""The store of events in a database, as an ingress asks it (`contract.event_store.EventStore`).

A part of a name is looked up in the table of names, and the events of these names are found by index.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from contract.event_store import MOST_COUNTED, SHOWN_KINDS, EventCount, EventFilter, EventPage, Grouping, StoredEvent
from sinks.sql_engine import open_engine, told
from sinks.sql_schema import devices, events, names, require_version

_MANY_NAMES = 100
"""A part counts as one of many names if more than one name in so many has it."""
_DAY_S = 86_400


class SqlStore:
    """The store of events; see `contract.event_store.EventStore`. Any thread may call the methods, which block."""

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url)
        self._checked = False

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def page(self, wanted: EventFilter, skip: int, limit: int) -> EventPage:
        """See `contract.event_store.EventStore.page`."""
        with self._reading() as connection:
            condition = self._condition(connection, wanted)
            named, page_named = self._named(connection, wanted.name)
            if named is None:
                return EventPage((), 0)
            found = sa.select(sa.literal(1)).select_from(events).where(condition, named).limit(MOST_COUNTED + 1)
            total = connection.execute(sa.select(sa.func.count()).select_from(found.subquery())).scalar_one()
            newest = (
                sa.select(events.c.id)
                .where(condition, page_named)
                .order_by(events.c.compare_time.desc(), events.c.id.desc())
                .offset(skip)
                .limit(limit)
            )
            ids = connection.execute(newest).scalars().all()
            by_id = {event.id: event for event in self._events(connection, events.c.id.in_(ids))}
            return EventPage([by_id[event_id] for event_id in ids if event_id in by_id], total)

    def event(self, event_id: str) -> StoredEvent | None:
        """See `contract.event_store.EventStore.event`."""
        with self._reading() as connection:
            return next(iter(self._events(connection, events.c.id == event_id)), None)

    def events(self, event_ids: Sequence[str]) -> Mapping[str, StoredEvent]:
        """See `contract.event_store.EventStore.events`."""
        with self._reading() as connection:
            return {event.id: event for event in self._events(connection, events.c.id.in_(event_ids))}

    def counts(self, wanted: EventFilter, by: Sequence[Grouping]) -> Sequence[EventCount]:
        """See `contract.event_store.EventStore.counts`."""
        day = sa.cast(sa.func.floor(events.c.received_time / _DAY_S), sa.Integer).label("day")
        columns: Mapping[Grouping, Any] = {
            "day": day,
            "device": devices.c.device_id.label("device"),
            "outcome": events.c.outcome.label("outcome"),
        }
        chosen = [columns[each] for each in by]
        with self._reading() as connection:
            condition = self._condition(connection, wanted)
            named, _ = self._named(connection, wanted.name)
            if named is None:
                return ()
            query = (
                sa.select(*chosen, sa.func.count().label("count"))
                .select_from(events.join(devices, events.c.device_key == devices.c.device_key))
                .where(condition, named)
                .group_by(*chosen)
                .order_by(*chosen)
            )
            rows = connection.execute(query).mappings().all()
        return [
            EventCount(
                _date(row["day"]) if "day" in by else "",
                row["device"] if "device" in by else "",
                row["outcome"] if "outcome" in by else "",
                row["count"],
            )
            for row in rows
        ]

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with told(self._engine):
            if not self._checked:
                require_version(self._engine)
                self._checked = True
            with self._engine.connect() as connection:
                yield connection

    def _condition(self, connection: Connection, wanted: EventFilter) -> sa.ColumnElement[bool]:
        """Return the condition of the wanted events, without that of the name."""
        conditions = [*_simple_conditions(wanted)]
        if wanted.device_ids is not None:
            query = sa.select(devices.c.device_key).where(devices.c.device_id.in_(wanted.device_ids))
            conditions.append(events.c.device_key.in_(connection.execute(query).scalars().all()))
        return sa.and_(sa.true(), *conditions)

    def _named(
        self, connection: Connection, part: str | None
    ) -> tuple[sa.ColumnElement[bool] | None, sa.ColumnElement[bool]]:
        """Return the condition of events whose name contains the text, once for counting and once for a page.

        Where many names have the part, a page is full soon if the events are read in the order of time; the sum keeps
        the database from looking up the events of each name instead. None: no name has the part.
        """
        if part is None:
            return sa.true(), sa.true()
        contains = names.c.folded.contains(part.casefold(), autoescape=True)
        found = connection.execute(sa.select(sa.func.count()).select_from(names).where(contains)).scalar_one()
        if not found:
            return None, sa.false()
        every = connection.execute(sa.select(sa.func.max(names.c.name_id))).scalar_one()
        ids = sa.select(names.c.name_id).where(contains)
        by_name = events.c.name_id.in_(ids)
        return by_name, (events.c.name_id + 0).in_(ids) if found * _MANY_NAMES > every else by_name

    def _events(self, connection: Connection, condition: sa.ColumnElement[bool]) -> Sequence[StoredEvent]:
        joined = events.join(names, events.c.name_id == names.c.name_id).join(
            devices, events.c.device_key == devices.c.device_key
        )
        own = [events.c[name] for name in StoredEvent.__dataclass_fields__ if name in events.c]
        query = sa.select(
            *own,
            *(events.c.request_topic, events.c.request_partition, events.c.request_offset),
            *(names.c.name, devices.c.device_ip, devices.c.device_id, devices.c.device_name),
        )
        return [_stored(row) for row in connection.execute(query.select_from(joined).where(condition)).mappings()]


def _simple_conditions(wanted: EventFilter) -> Iterator[sa.ColumnElement[bool]]:
    """Yield the conditions on columns of the events themselves."""
    column = events.c
    only_shown = wanted.kinds is None and not wanted.repeats and not wanted.replays
    if only_shown:
        yield column.shown == sa.literal_column("1")  # as the condition of the indexes, so that these are used
    possible: Sequence[tuple[Any, Callable[[Any], sa.ColumnElement[bool]]]] = (
        (wanted.since, column.compare_time.__ge__),
        (wanted.until, column.compare_time.__le__),
        (wanted.least, column.percent.__ge__),
        (wanted.most, column.percent.__le__),
        (wanted.identity_id, column.identity_id.__eq__),
        (wanted.person_type, column.person_type.__eq__),
        (None if only_shown else wanted.kinds or SHOWN_KINDS, column.kind.in_),
        (wanted.outcomes, column.outcome.in_),
        (wanted.group_ids, column.group_id.in_),
        (None if only_shown or wanted.repeats else "", column.repeat_of.__eq__),
        (None if only_shown or wanted.replays else "", column.replay_of.__eq__),
    )
    for value, condition in possible:
        if value is not None:
            yield condition(value)


def _stored(row: Any) -> StoredEvent:
    fields = {name: row[name] for name in StoredEvent.__dataclass_fields__ if name in row}
    fields["request"] = (row["request_topic"], row["request_partition"], row["request_offset"])
    fields["detail"] = None if row["detail"] is None else orjson.loads(row["detail"])
    return StoredEvent(**fields)


def _date(day: int) -> str:
    return f"{datetime.fromtimestamp(day * _DAY_S, UTC):%Y-%m-%d}"
