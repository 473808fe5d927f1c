"""Opens the database of the store of events, and reports its errors as sentences."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from contract.event_store import StoreUnavailable

_BUSY_MS = 5000
_POSTGRESQL = {"connect_timeout": "5", "tcp_user_timeout": "10000", "keepalives_idle": "30"}
"""Options of libpq where the URL has none: without them a server that is gone is noticed after a quarter of an hour."""
_ABOUT_VALUES = frozenset({"22", "54"})
"""The classes of PostgreSQL's error codes that are about values: data exceptions, and limits that a value exceeds."""


def open_engine(url: str) -> Engine:
    """Return an engine for a database: sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME.

    Raises:
        StoreUnavailable: the URL is not one of these, or its driver is not installed.
    """
    try:
        parsed = sa.make_url(url)
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
            parsed = parsed.set(query={**_POSTGRESQL, **parsed.query})
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise StoreUnavailable("the store of events must be a database of SQLite or PostgreSQL")
        engine = sa.create_engine(parsed, pool_pre_ping=True)
    except sa.exc.ArgumentError:
        raise StoreUnavailable(
            "the URL of the store of events must be sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME"
        ) from None
    except ModuleNotFoundError as error:
        raise StoreUnavailable(
            f"the store of events needs the library {error.name}: pip install 'picturematch[postgresql]'"
        ) from error
    if engine.dialect.name == "sqlite":
        _make_private(parsed.database)
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def sqlite_url(path: Path) -> str:
    """Return the URL of a database file of SQLite."""
    return f"sqlite:///{path}"


def _make_private(path: str | None) -> None:
    """Create the file of a database for its owner only, if it is missing; its further files get the same mode."""
    if path and not path.startswith((":", "file:")):
        with suppress(OSError):  # SQLite reports what is wrong
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # otherwise the driver begins no transaction before a change of tables
    for pragma in (
        f"busy_timeout = {_BUSY_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",  # the offset is committed behind the events, so these must be durable first
        "secure_delete = ON",
        "foreign_keys = ON",  # another process may delete a name whose number this one remembers
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


class DataRefused(StoreUnavailable):
    """The database can be used, and will never take these values."""


@contextmanager
def told(engine: Engine) -> Iterator[None]:
    """Raise StoreUnavailable for errors of the database, without the password of its URL.

    Raises:
        DataRefused: the values are the reason.
        StoreUnavailable: the database cannot be used now.
    """
    try:
        yield
    except OverflowError as error:  # the driver of SQLite raises it as it is
        raise DataRefused("the store of events does not take a value: it is too large") from error
    except sa.exc.SQLAlchemyError as error:
        if _is_about_values(error):
            raise DataRefused("the store of events does not take a value") from error
        cause = getattr(error, "orig", None)
        shown = engine.url.render_as_string(hide_password=True)
        words = str(cause or error).strip().split("\n")[0]
        raise StoreUnavailable(f"the store of events {shown} cannot be used: {words}") from error


def _is_about_values(error: sa.exc.SQLAlchemyError) -> bool:
    if isinstance(error, sa.exc.DataError):
        return True
    sqlstate = getattr(getattr(error, "orig", None), "sqlstate", None) or ""
    return sqlstate[:2] in _ABOUT_VALUES
