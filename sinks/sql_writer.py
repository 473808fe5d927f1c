"""Writes events to the store, each once."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from contract.event_store import SHOWN_KINDS, StoredEvent
from sinks.sql_engine import open_engine, told
from sinks.sql_rows import detail_text
from sinks.sql_schema import devices, events, forgotten, names, upgrade

_AT_ONCE = 500
_DELETED_AT_ONCE = 5000
_CACHED = 100_000
_ANALYSED_ROWS = 1000
_OWN_COLUMNS = tuple(name for name in StoredEvent.__dataclass_fields__ if name in events.c and name != "detail")
"""The columns that have the name of a field of an event."""


class SqlWriter:
    """Writes to the store of events. All methods block; one thread at a time calls them.

    All methods raise StoreUnavailable where the database cannot be used.
    """

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url)
        self._name_ids: dict[str, int] = {}
        self._device_keys: dict[tuple[str, str, str], int] = {}

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def prepare(self) -> None:
        """Create the tables, or upgrade them.

        Raises:
            StoreUnavailable: the database cannot be used, or its tables are of a later version.
        """
        with told(self._engine):
            upgrade(self._engine)

    def write(self, found: Sequence[StoredEvent]) -> None:
        """Store the events that are not stored yet, in one transaction.

        Raises:
            DataRefused: the database will never take an event of these, and none is stored.
        """
        try:
            with told(self._engine), self._engine.begin() as connection:
                gone = self._forgotten(connection, {event.identity_id for event in found if event.identity_id})
                kept = [event for event in found if event.received_time > gone.get(event.identity_id, float("-inf"))]
                if kept:
                    self._add(connection, events, [self._row(connection, event) for event in kept])
        except BaseException:
            # The names and devices that this transaction has added do not exist, and others may get their numbers.
            self._name_ids.clear()
            self._device_keys.clear()
            raise

    def analyse(self) -> None:
        """Let the database count its rows anew, so that it chooses the best index of a query."""
        with told(self._engine), self._engine.begin() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql(f"PRAGMA analysis_limit = {_ANALYSED_ROWS}")
            connection.exec_driver_sql("ANALYZE")

    def forget(self, identity_id: str, at_s: float) -> int:
        """Delete the events about a person up to a time (epoch seconds), and keep later writers from storing them."""
        with told(self._engine), self._engine.begin() as connection:
            at_s = max(at_s, self._forgotten(connection, {identity_id}).get(identity_id, at_s))
            connection.execute(sa.delete(forgotten).where(forgotten.c.identity_id == identity_id))
            connection.execute(sa.insert(forgotten).values(identity_id=identity_id, at=at_s))
            own = sa.and_(events.c.identity_id == identity_id, events.c.received_time <= at_s)
            deleted = connection.execute(sa.delete(events).where(own)).rowcount
            self._delete_unused_names(connection)
        self._name_ids.clear()
        if self._engine.dialect.name == "sqlite":
            self._empty_wal()
        return deleted

    def delete_before(self, time_s: float) -> int:
        """Delete the events that arrived before a time (epoch seconds); return how many there were."""
        deleted = 0
        while True:
            with told(self._engine), self._engine.begin() as connection:
                some = sa.select(events.c.id).where(events.c.received_time < time_s)
                count = connection.execute(
                    sa.delete(events).where(events.c.id.in_(some.limit(_DELETED_AT_ONCE)))
                ).rowcount
                if count == 0:
                    if deleted:
                        self._delete_unused_names(connection)
                        self._name_ids.clear()
                    return deleted
                deleted += count

    def _empty_wal(self) -> None:
        """Overwrite what SQLite's file beside the database has of deleted rows; a reader may put that off."""
        with closing(self._engine.raw_connection()) as connection:  # a checkpoint runs outside of transactions
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _forgotten(self, connection: Connection, identity_ids: set[str]) -> Mapping[str, float]:
        found: dict[str, float] = {}
        ids = sorted(identity_ids)
        for first in range(0, len(ids), _AT_ONCE):
            some = forgotten.c.identity_id.in_(ids[first : first + _AT_ONCE])
            rows = connection.execute(sa.select(forgotten).where(some)).all()
            found |= {row.identity_id: row.at for row in rows}
        return found

    def _row(self, connection: Connection, event: StoredEvent) -> dict[str, Any]:
        row = {name: getattr(event, name) for name in _OWN_COLUMNS}
        row["name_id"] = self._name_id(connection, event.name)
        row["device_key"] = self._device_key(connection, (event.device_ip, event.device_id, event.device_name))
        row["request_topic"], row["request_partition"], row["request_offset"] = event.request
        row["detail"] = detail_text(event)
        row["shown"] = int(event.kind in SHOWN_KINDS and not event.repeat_of and not event.replay_of)
        return row

    def _add(self, connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert the rows, except those whose unique key exists."""
        make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        connection.execute(make(table).on_conflict_do_nothing(), rows)

    def _name_id(self, connection: Connection, name: str) -> int:
        known = self._name_ids.get(name)
        if known is not None:
            return known
        if len(self._name_ids) >= _CACHED:
            self._name_ids.clear()
        query = sa.select(names.c.name_id).where(names.c.name == name)
        found = connection.execute(query).scalar_one_or_none()
        if found is None:
            self._add(connection, names, [{"name": name, "folded": name.casefold()}])
            found = connection.execute(query).scalar_one()
        self._name_ids[name] = found
        return int(found)

    def _device_key(self, connection: Connection, device: tuple[str, str, str]) -> int:
        known = self._device_keys.get(device)
        if known is not None:
            return known
        if len(self._device_keys) >= _CACHED:
            self._device_keys.clear()
        values = dict(zip(("device_ip", "device_id", "device_name"), device, strict=True))
        query = sa.select(devices.c.device_key).where(*(devices.c[name] == value for name, value in values.items()))
        found = connection.execute(query).scalar_one_or_none()
        if found is None:
            self._add(connection, devices, [values])
            found = connection.execute(query).scalar_one()
        self._device_keys[device] = found
        return int(found)

    def _delete_unused_names(self, connection: Connection) -> None:
        used = sa.select(sa.literal(1)).where(events.c.name_id == names.c.name_id).exists()
        connection.execute(sa.delete(names).where(~used))
