"""The tests that every database of the store of events must pass, and stored events for them."""

import random
from collections.abc import Iterator, Sequence
from contextlib import suppress

import pytest

from contract.event_store import MOST_COUNTED, EventCount, EventFilter, StoredEvent, StoreUnavailable
from contract.events import Event
from contract.people.site import Site
from sinks.sql_engine import DataRefused
from sinks.sql_rows import stored_event
from sinks.sql_store import SqlStore
from sinks.sql_writer import SqlWriter
from tests.support.sinking import NOW_S, event

DAY_S = 86_400


def written(*events: Event) -> Sequence[StoredEvent]:
    return [stored_event(one, Site()) for one in events]


def _full_disk(_: StoredEvent) -> str:
    raise OSError("the disk is full")


class StoreSuite:
    """Subclasses have a fixture `url` of an empty database."""

    @pytest.fixture
    def writer(self, url: str) -> Iterator[SqlWriter]:
        writer = SqlWriter(url)
        writer.prepare()
        yield writer
        writer.close()

    @pytest.fixture
    def store(self, url: str, writer: SqlWriter) -> Iterator[SqlStore]:
        store = SqlStore(url)
        yield store
        store.close()

    def ids(self, store: SqlStore, skip: int = 0, limit: int = 50, **conditions: object) -> list[str]:
        page = store.page(EventFilter(**conditions), skip, limit)  # type: ignore[arg-type]
        return [found.id for found in page.events]

    def test_an_event_is_stored_once_however_often_it_is_delivered(self, writer: SqlWriter, store: SqlStore) -> None:
        writer.prepare()
        for _ in range(3):
            writer.write(written(event(1), event(2), event(1)))
        page = store.page(EventFilter(), 0, 10)
        assert ([found.id for found in page.events], page.total) == (["event-2", "event-1"], 2)

    def test_an_event_comes_back_as_it_was_stored(self, writer: SqlWriter, store: SqlStore) -> None:
        (one,) = written(event(1, name="Änne O'Hara %_", attributes=None, repeat_of="x", replay_of="y"))
        writer.write([one])
        assert store.event("event-1") == one
        assert store.event("event-2") is None

    def test_a_transaction_that_fails_leaves_no_name_or_device_behind(
        self, writer: SqlWriter, store: SqlStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Otherwise the next event of the person would have the name of whoever gets the number of the name."""
        with monkeypatch.context() as patched:
            patched.setattr("sinks.sql_writer.detail_text", _full_disk)
            with pytest.raises(OSError, match="full"):
                writer.write(written(event(1, name="Ana", device_ip="10.0.0.1")))
        writer.write(written(event(2, name="Bo", device_ip="10.0.0.2")))
        writer.write(written(event(3, name="Ana", device_ip="10.0.0.1")))
        stored = [store.event(f"event-{n}") for n in (2, 3)]
        assert [one and (one.name, one.device_ip) for one in stored] == [("Bo", "10.0.0.2"), ("Ana", "10.0.0.1")]

    def test_names_that_another_process_has_deleted_are_added_again(
        self, url: str, writer: SqlWriter, store: SqlStore
    ) -> None:
        writer.write(written(event(1, name="Ana")))
        other = SqlWriter(url)
        other.delete_before(NOW_S + 5)
        other.write(written(event(6, name="Bo", identity_id="8")))
        for _ in range(2):  # the database refuses the number of a name that is gone, and the second try looks it up
            with suppress(StoreUnavailable):
                writer.write(written(event(7, name="Ana")))
        other.close()
        assert self.ids(store, name="ana") == ["event-7"]

    def test_texts_that_a_caller_of_a_comparison_has_named_are_stored_however_long(
        self, writer: SqlWriter, store: SqlStore
    ) -> None:
        chance = random.Random(5)
        long = "".join(chr(chance.randrange(0x4E00, 0x9F00)) for _ in range(60_000))
        names = {"name": f"{long}1", "identity_id": long, "kind": "compare", "outcome": "same"}
        nul = {"name": "A\0na", "identity_id": "7\0"}
        writer.write(written(event(1, **names), event(2, **nul)))
        found = store.page(EventFilter(name=long[:64]), 0, 5)
        assert [(one.id, one.identity_id) for one in found.events] == [("event-1", long[:500])]
        other = store.event("event-2")
        assert other is not None
        assert (other.name, other.identity_id) == ("A\ufffdna", "7\ufffd")

    def test_values_that_the_database_never_takes_are_told_apart_from_a_database_that_is_away(
        self, writer: SqlWriter, store: SqlStore
    ) -> None:
        with pytest.raises(DataRefused):
            writer.write(written(event(1), event(2, person_type=10**30)))
        assert self.ids(store) == []
        writer.write(written(event(3, grab_fiqa_info={"age": 10**30})))
        assert self.ids(store) == ["event-3"]

    def test_pages_are_in_the_order_of_time_the_newest_first(self, writer: SqlWriter, store: SqlStore) -> None:
        writer.write(written(*(event(n) for n in (3, 1, 2, 5, 4))))
        assert self.ids(store, 0, 2) == ["event-5", "event-4"]
        assert self.ids(store, 2, 2) == ["event-3", "event-2"]
        assert self.ids(store, 4, 2) == ["event-1"]
        assert self.ids(store, 9, 2) == []

    def test_each_condition_chooses_its_events(self, writer: SqlWriter, store: SqlStore) -> None:
        writer.write(
            written(
                event(1, name="Ana Ng", identity_id="1", person_type=1),
                event(2, name="Änne 100%", identity_id="2", person_type=5, device_ip="10.0.0.2"),
                event(3, outcome="stranger", name="stranger", identity_id="", score=0.2, cosine=0.2),
                event(4, kind="compare", outcome="same", name="ANA", identity_id="4"),
                event(5, repeat_of="event-1"),
                event(6, replay_of="event-1"),
            )
        )
        device_id = Site().device_id_of("10.0.0.2")
        for conditions, numbers in (
            ({}, [4, 3, 2, 1]),
            ({"repeats": True}, [5, 4, 3, 2, 1]),
            ({"replays": True}, [6, 4, 3, 2, 1]),
            ({"name": "ana"}, [4, 1]),
            ({"name": "änNE 100%"}, [2]),
            ({"name": "%"}, [2]),
            ({"name": "nobody"}, []),
            ({"identity_id": "2"}, [2]),
            ({"person_type": 5}, [2]),
            ({"outcomes": ["stranger", "same"]}, [4, 3]),
            ({"kinds": ["compare"]}, [4]),
            ({"device_ids": [device_id]}, [2]),
            ({"device_ids": ["unknown"]}, []),
            ({"since": NOW_S + 2, "until": NOW_S + 3}, [3, 2]),
            ({"least": 82.0}, [4, 2, 1]),
            ({"most": 50.0}, [3]),
            ({"name": "ana", "kinds": ["match"]}, [1]),
        ):
            assert self.ids(store, **conditions) == [f"event-{n}" for n in numbers], conditions

    def test_many_names_with_the_part_are_found_too(self, writer: SqlWriter, store: SqlStore) -> None:
        writer.write(written(*(event(n, name=f"Person {n}") for n in range(700)), event(900, name="Other")))
        page = store.page(EventFilter(name="person"), 0, 3)
        assert [found.name for found in page.events] == ["Person 699", "Person 698", "Person 697"]
        assert page.total == 700

    def test_events_are_counted_by_day_device_and_outcome(self, writer: SqlWriter, store: SqlStore) -> None:
        later = {"received_time": NOW_S + DAY_S}
        writer.write(
            written(event(1), event(2), event(3, outcome="stranger"), event(4, device_ip="10.0.0.2"), event(5, **later))
        )
        first, second = Site().device_id_of("10.0.0.1"), Site().device_id_of("10.0.0.2")
        assert store.counts(EventFilter(), ["day"]) == [
            EventCount("2023-11-14", "", "", 4),
            EventCount("2023-11-15", "", "", 1),
        ]
        assert {(c.device_id, c.outcome): c.count for c in store.counts(EventFilter(), ["device", "outcome"])} == {
            (first, "matched"): 3,
            (first, "stranger"): 1,
            (second, "matched"): 1,
        }
        assert store.counts(EventFilter(), []) == [EventCount("", "", "", 5)]

    def test_the_erasure_of_a_person_deletes_earlier_events_and_refuses_them_later(
        self, writer: SqlWriter, store: SqlStore
    ) -> None:
        writer.write(written(event(1, name="Ana"), event(2, identity_id="8", name="Bo"), event(9, name="Ana again")))
        writer.forget("7", NOW_S + 5)
        writer.write(written(event(3, name="Ana"), event(6, name="Ana anew")))
        assert self.ids(store) == ["event-9", "event-6", "event-2"]
        assert self.ids(store, name="Ana") == ["event-9", "event-6"]
        writer.forget("7", NOW_S + 100)
        assert self.ids(store) == ["event-2"]

    def test_events_are_kept_as_long_as_wanted(self, writer: SqlWriter, store: SqlStore) -> None:
        writer.write(written(*(event(n) for n in range(10)), event(11, compare_time=NOW_S + 1e9, received_time=NOW_S)))
        assert writer.delete_before(NOW_S + 5) == 6
        assert self.ids(store) == [f"event-{n}" for n in (9, 8, 7, 6, 5)]
        assert writer.delete_before(NOW_S + 5) == 0

    def test_a_total_is_exact_up_to_its_limit(
        self, writer: SqlWriter, store: SqlStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert MOST_COUNTED == 100_000
        monkeypatch.setattr("sinks.sql_store.MOST_COUNTED", 5)
        writer.write(written(*(event(n) for n in range(5))))
        assert store.page(EventFilter(), 0, 1).total == 5
        writer.write(written(*(event(n) for n in range(20))))
        assert store.page(EventFilter(), 0, 1).total == 6
