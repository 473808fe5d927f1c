"""The tables of the store of events, and their upgrades from earlier versions.

The version of the schema is in the table `schema_version`. A newer program upgrades the tables when it opens them for
writing, step by step, each step in one transaction; an older program refuses tables of a newer version.
"""

from collections.abc import Callable, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from contract.event_store import StoreUnavailable

metadata = sa.MetaData()

schema_version = sa.Table("schema_version", metadata, sa.Column("version", sa.Integer, nullable=False))

names = sa.Table(
    "name",
    metadata,
    sa.Column("name_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("folded", sa.Text, nullable=False),
    sqlite_autoincrement=True,  # the number of a deleted name is never given to another one
)
"""Each name once, as it is and without the difference of cases: a search for a part of a name reads this table only."""

devices = sa.Table(
    "device",
    metadata,
    sa.Column("device_key", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("device_ip", sa.Text, nullable=False),
    sa.Column("device_id", sa.Text, nullable=False, index=True),
    sa.Column("device_name", sa.Text, nullable=False),
    sa.UniqueConstraint("device_ip", "device_id", "device_name"),
)
"""Each device once, as it was registered when its events were stored."""

events = sa.Table(
    "event",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("compare_time", sa.Double, nullable=False),
    sa.Column("received_time", sa.Double, nullable=False),
    sa.Column("identity_id", sa.Text, nullable=False),
    sa.Column("name_id", sa.Integer, sa.ForeignKey("name.name_id"), nullable=False),
    sa.Column("person_type", sa.Integer),
    sa.Column("score", sa.Double),
    sa.Column("percent", sa.Double),
    sa.Column("device_key", sa.Integer, sa.ForeignKey("device.device_key"), nullable=False),
    sa.Column("group_id", sa.Text, nullable=False),
    sa.Column("group_name", sa.Text, nullable=False),
    sa.Column("permission_id", sa.Text, nullable=False),
    sa.Column("permission_name", sa.Text, nullable=False),
    sa.Column("want_action", sa.Text, nullable=False),
    sa.Column("picture", sa.Text, nullable=False),
    sa.Column("infrared", sa.Boolean, nullable=False),
    sa.Column("request_topic", sa.Text, nullable=False),
    sa.Column("request_partition", sa.Integer, nullable=False),
    sa.Column("request_offset", sa.BigInteger, nullable=False),
    sa.Column("repeat_of", sa.Text, nullable=False),
    sa.Column("replay_of", sa.Text, nullable=False),
    sa.Column("detail", sa.Text),
    sa.Column("shown", sa.SmallInteger, nullable=False),
    sa.Index("event_by_arrival", "received_time"),
    sa.Index("event_by_time", "compare_time", "id"),
)

by_name = sa.Index("event_by_name", *(events.c[column] for column in ("name_id", "shown", "compare_time", "id")))
"""It also finds the names that no event has any more, and PostgreSQL needs it for deleting them (foreign key)."""

SHOWN = sa.text("shown = 1")
"""The condition of events of matches and comparisons that are no repeats and no replays: those of most questions.

The indexes below contain these events only, and the columns of the questions, so that counting reads the index alone.
"""


def _index(name: str, *columns: str) -> sa.Index:
    chosen = (events.c[column] for column in (*columns, "compare_time", "id"))
    return sa.Index(name, *chosen, sqlite_where=SHOWN, postgresql_where=SHOWN)


_index("shown_by_time")
_index("shown_by_device", "device_key")
_index("shown_by_device_and_outcome", "device_key", "outcome")
_index("shown_by_identity", "identity_id")
_index("shown_by_outcome", "outcome")

forgotten = sa.Table(
    "forgotten",
    metadata,
    sa.Column("identity_id", sa.Text, primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
)
"""The people whose erasure was read, and when it happened (epoch seconds): their earlier events are not stored."""

Step = Callable[[Connection], None]


def _index_every_name(connection: Connection) -> None:
    """Version 1 had an index of the names of some events only."""
    connection.execute(sa.text("DROP INDEX IF EXISTS shown_by_name"))
    by_name.create(connection, checkfirst=True)


STEPS: Sequence[Step] = (metadata.create_all, _index_every_name)
"""Step N upgrades the tables from version N to version N + 1; version 0 has no tables.

The first step makes the tables of the newest version, so each later step must change nothing where they are so already.
"""

VERSION = len(STEPS)
"""The version that this program reads and writes."""


def version_of(connection: Connection) -> int:
    """Return the version of the tables; 0: there are none."""
    if not sa.inspect(connection).has_table(schema_version.name):
        return 0
    return connection.execute(sa.select(schema_version.c.version)).scalar_one_or_none() or 0


def upgrade(engine: Engine, steps: Sequence[Step] = STEPS) -> None:
    """Create the tables, or upgrade those of an earlier version, each step in a transaction.

    Raises:
        StoreUnavailable: the tables are of a later version.
    """
    while True:
        with engine.begin() as connection:
            _alone(connection)
            version = version_of(connection)
            if version > len(steps):
                raise StoreUnavailable(_newer(version, len(steps)))
            if version == len(steps):
                return
            steps[version](connection)
            connection.execute(sa.delete(schema_version))
            connection.execute(sa.insert(schema_version).values(version=version + 1))


def require_version(engine: Engine) -> None:
    """Refuse tables of another version, for a program that only reads.

    Raises:
        StoreUnavailable: there are no tables, or tables of another version.
    """
    with engine.connect() as connection:
        version = version_of(connection)
    if version == 0:
        raise StoreUnavailable("the store of events has no tables yet: run a sink of the kind sql on it")
    if version > VERSION:
        raise StoreUnavailable(_newer(version, VERSION))
    if version < VERSION:
        raise StoreUnavailable(
            f"the store of events is of version {version}, and this program reads version {VERSION}: run its sink of"
            " the kind sql once, which upgrades the store"
        )


def _alone(connection: Connection) -> None:
    """Let one process at a time upgrade the tables."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('picturematch'))"))


def _newer(version: int, known: int) -> str:
    return (
        f"the store of events is of version {version}, and this program knows version {known} only: use a newer"
        " PictureMatch"
    )
