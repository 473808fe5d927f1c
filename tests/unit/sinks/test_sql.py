"""The store of events on SQLite; tests/integration/test_sql_on_postgresql.py has PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from contract.event_store import EventFilter, StoreUnavailable
from contract.events import EventScope
from contract.people.site import DeviceRecord, Site
from sinks.sql_engine import open_engine, sqlite_url
from sinks.sql_rows import stored_event
from sinks.sql_schema import STEPS, VERSION, schema_version, upgrade
from sinks.sql_store import SqlStore
from sinks.sql_writer import SqlWriter
from tests.support.sinking import NOW_S, event
from tests.support.stores import StoreSuite, written

DAY_S = 86_400


class TestSqlite(StoreSuite):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return sqlite_url(tmp_path / "events.sqlite")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path / "events.sqlite")


@pytest.fixture
def writer(url: str) -> Iterator[SqlWriter]:
    writer = SqlWriter(url)
    writer.prepare()
    yield writer
    writer.close()


def test_a_store_without_tables_says_what_to_do(url: str) -> None:
    with pytest.raises(StoreUnavailable, match="run a sink of the kind sql"):
        SqlStore(url).page(EventFilter(), 0, 1)


def test_a_store_of_a_later_version_is_refused_by_writers_and_readers(url: str, writer: SqlWriter) -> None:
    with open_engine(url).begin() as connection:
        connection.execute(sa.update(schema_version).values(version=VERSION + 1))
    for use in (SqlWriter(url).prepare, lambda: SqlStore(url).event("x")):
        with pytest.raises(StoreUnavailable, match="use a newer PictureMatch"):
            use()


def test_a_store_of_an_earlier_version_is_upgraded_step_by_step_and_keeps_its_events(
    url: str, writer: SqlWriter
) -> None:
    writer.write(written(event(1)))

    def add_a_column(connection: sa.Connection) -> None:
        connection.execute(sa.text("ALTER TABLE event ADD COLUMN lane TEXT NOT NULL DEFAULT ''"))

    def break_off(connection: sa.Connection) -> None:
        connection.execute(sa.text("ALTER TABLE event ADD COLUMN half TEXT"))
        raise RuntimeError("the process died")

    engine = open_engine(url)
    upgrade(engine, (*STEPS, add_a_column))
    with pytest.raises(RuntimeError):
        upgrade(engine, (*STEPS, add_a_column, break_off))
    with engine.connect() as connection:
        assert connection.execute(sa.select(schema_version.c.version)).scalar_one() == VERSION + 1
        columns = {column["name"] for column in sa.inspect(connection).get_columns("event")}
        assert "lane" in columns
        assert "half" not in columns
        assert connection.execute(sa.text("SELECT count(*) FROM event")).scalar_one() == 1


def test_a_store_of_version_1_gets_the_index_of_every_name_and_keeps_its_events(url: str, writer: SqlWriter) -> None:
    writer.write(written(event(1, name="Ana")))
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP INDEX event_by_name"))
        connection.execute(sa.text("CREATE INDEX shown_by_name ON event (name_id, compare_time, id) WHERE shown = 1"))
        connection.execute(sa.update(schema_version).values(version=1))
    with pytest.raises(StoreUnavailable, match="is of version 1, and this program reads version 2"):
        SqlStore(url).event("event-1")
    SqlWriter(url).prepare()
    indexes = {index["name"] for index in sa.inspect(engine).get_indexes("event")}
    assert "event_by_name" in indexes
    assert "shown_by_name" not in indexes
    assert [found.id for found in SqlStore(url).page(EventFilter(name="ana"), 0, 1).events] == ["event-1"]


def test_what_an_erasure_deletes_is_in_no_file(url: str, writer: SqlWriter, tmp_path: Path) -> None:
    writer.write(written(event(1, name="Xanthippe Quark"), event(2, identity_id="8")))
    assert any(b"Xanthippe" in path.read_bytes() for path in tmp_path.iterdir())
    writer.forget("7", NOW_S + 5)
    assert not any(b"anthippe" in path.read_bytes() for path in tmp_path.iterdir())


def test_the_time_of_an_erasure_never_goes_back(url: str, writer: SqlWriter) -> None:
    writer.forget("7", NOW_S + 5)
    writer.forget("7", NOW_S + 1)
    writer.write(written(event(3)))
    assert SqlStore(url).event("event-3") is None


def test_a_url_of_another_database_is_refused_without_its_password() -> None:
    for url, sentence in (("mysql://u:secret@h/x", "SQLite or PostgreSQL"), ("nonsense", "must be sqlite:///PATH")):
        with pytest.raises(StoreUnavailable, match=sentence) as refused:
            open_engine(url)
        assert "secret" not in str(refused.value)


def test_a_server_that_is_gone_is_noticed_soon_unless_the_url_says_otherwise() -> None:
    query = open_engine("postgresql://u@h/x?connect_timeout=60").url.query
    assert (query["connect_timeout"], query["tcp_user_timeout"]) == ("60", "10000")


def test_the_files_of_a_new_store_are_private(writer: SqlWriter, tmp_path: Path) -> None:
    writer.write(written(event(1)))
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_database_that_cannot_be_written_is_reported_as_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "events.sqlite").write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreUnavailable, match="cannot be used"):
        SqlWriter(sqlite_url(tmp_path / "events.sqlite")).prepare()


def test_events_are_durable_before_the_offset_is_committed_and_deleted_ones_are_overwritten(
    url: str, writer: SqlWriter
) -> None:
    with open_engine(url).connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
        assert connection.exec_driver_sql("PRAGMA secure_delete").scalar_one() == 1


def test_an_event_is_stored_with_the_names_of_the_site() -> None:
    site = Site().put(
        DeviceRecord(
            device_id="d1", name="hall", address="10.0.0.1", device_type="photo", group_id="g", permission_id="0"
        )
    )
    scope = EventScope(group_name="default_group", permission_name="0")
    stored = stored_event(event(1, scope=scope, name="Ana"), site)
    assert (stored.device_id, stored.device_name, stored.device_ip) == ("d1", "hall", "10.0.0.1")
    assert (stored.group_id, stored.permission_id, stored.name) == ("default_group", "0", "Ana")
    elsewhere = stored_event(event(2, device_ip="10.0.0.9"), site)
    assert (elsewhere.device_name, elsewhere.device_id) == ("", site.device_id_of("10.0.0.9"))


@pytest.mark.parametrize(
    ("changes", "percent"),
    [
        ({}, 82 + 18 * (0.75 - 0.48) / 0.52),
        ({"cosine": 0.24, "score": 0.24}, 41.0),
        ({"cosine": None}, 82 + 18 * (0.75 - 0.48) / 0.52),
        ({"score": None}, None),
        ({"threshold": None}, None),
    ],
)
def test_the_percent_of_an_event_follows_from_its_cosine_and_threshold(
    changes: dict[str, object], percent: float | None
) -> None:
    assert stored_event(event(1, **changes), Site()).percent == (None if percent is None else pytest.approx(percent))
