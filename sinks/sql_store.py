"""The store of events in a database, as an ingress asks it (`contract.event_store.EventStore`).

A part of a name is looked up in the table of names. Where few names have the part, their events are found by index;
where many have it, the events are read in the order of time until the page is full, since such a page fills soon.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from contract.event_store import MOST_COUNTED, EventCount, EventFilter, EventPage, Grouping, StoredEvent
from sinks.sql_engine import open_engine, told
from sinks.sql_schema import devices, events, names, require_version

_FEW_NAMES = 500
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
            if condition is None:
                return EventPage((), 0)
            counted = sa.select(sa.literal(1)).select_from(events).where(condition).limit(MOST_COUNTED + 1).subquery()
            total = connection.execute(sa.select(sa.func.count()).select_from(counted)).scalar_one()
            newest = (
                sa.select(events.c.id)
                .where(condition)
                .order_by(events.c.compare_time.desc(), events.c.id.desc())
                .offset(skip)
                .limit(limit)
            )
            ids = connection.execute(newest).scalars().all()
            found = {event.id: event for event in self._events(connection, events.c.id.in_(ids))}
            return EventPage([found[event_id] for event_id in ids if event_id in found], total)

    def event(self, event_id: str) -> StoredEvent | None:
        """See `contract.event_store.EventStore.event`."""
        with self._reading() as connection:
            return next(iter(self._events(connection, events.c.id == event_id)), None)

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
            if condition is None:
                return ()
            query = (
                sa.select(*chosen, sa.func.count().label("count"))
                .select_from(events.join(devices, events.c.device_key == devices.c.device_key))
                .where(condition)
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

    def _condition(self, connection: Connection, wanted: EventFilter) -> sa.ColumnElement[bool] | None:
        """Return the condition of the wanted events; None: no event can meet it."""
        conditions = [*_simple_conditions(wanted)]
        if wanted.device_ids is not None:
            query = sa.select(devices.c.device_key).where(devices.c.device_id.in_(wanted.device_ids))
            conditions.append(events.c.device_key.in_(connection.execute(query).scalars().all()))
        if wanted.name is not None:
            named = self._named(connection, wanted.name)
            if named is None:
                return None
            conditions.append(named)
        return sa.and_(sa.true(), *conditions)

    def _named(self, connection: Connection, part: str) -> sa.ColumnElement[bool] | None:
        """Return the condition of events whose name contains the text; None: no name does."""
        contains = names.c.folded.contains(part.casefold(), autoescape=True)
        ids = connection.execute(sa.select(names.c.name_id).where(contains).limit(_FEW_NAMES + 1)).scalars().all()
        if not ids:
            return None
        if len(ids) <= _FEW_NAMES:
            return events.c.name_id.in_(ids)
        # The sum keeps the database from looking up the events of each of many names.
        return (events.c.name_id + 0).in_(sa.select(names.c.name_id).where(contains))

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
    possible: Sequence[tuple[Any, Callable[[Any], sa.ColumnElement[bool]]]] = (
        (wanted.since, column.compare_time.__ge__),
        (wanted.until, column.compare_time.__le__),
        (wanted.least, column.percent.__ge__),
        (wanted.most, column.percent.__le__),
        (wanted.identity_id, column.identity_id.__eq__),
        (wanted.person_type, column.person_type.__eq__),
        (wanted.kinds, column.kind.in_),
        (wanted.outcomes, column.outcome.in_),
        (wanted.group_ids, column.group_id.in_),
        (None if wanted.repeats else "", column.repeat_of.__eq__),
        (None if wanted.replays else "", column.replay_of.__eq__),
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
