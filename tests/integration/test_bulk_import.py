"""`clients.bulk` against a server that answers what the test says: busy, unreachable, or refusing some people."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import clients.retry
from clients.bulk.journal import Journal, Tally
from clients.bulk.lists import JsonLines
from clients.bulk.run import BulkImport, BulkOptions
from clients.errors import CannotRun
from clients.http import Client
from tests.support.scripted_server import Answer, Body, refusal, scripted_server

Script = Callable[[Body], Answer | None]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients.retry, "LONGEST_DELAY_S", 0.0)


class People:
    """A server that has people, as `present` says; `sizes` are the numbers of people of the calls it answered."""

    def __init__(self) -> None:
        self.enrolled: Counter[str] = Counter()
        self.sizes: list[int] = []

    def __call__(self, body: Body) -> Answer:
        ids = [person["identity_id"] for person in body["people"]]
        present = [place for place, who in enumerate(ids) if self.enrolled[who]]
        self.enrolled.update(who for who in ids if not self.enrolled[who])
        self.sizes.append(len(ids))
        faces = len(ids) - len(present)
        data = {"added": faces, "present": present, "faces": faces, "unsearched": 0, "failed": []}
        return 200, {"data": {**data, "groups": {}, "permissions": {}}}


def source(folder: Path, count: int) -> JsonLines:
    path = folder / "p.jsonl"
    face = {"embedder": "e-r1", "feature": [1.0, 0.0]}
    if not path.exists():
        path.write_text("".join(f"{json.dumps({'identity_id': f'p{n}', **face})}\n" for n in range(count)))
    return JsonLines(path, None)


async def imported(folder: Path, script: Script, count: int = 40, **options: Any) -> Tally:
    async with scripted_server(script) as server, Client(server.url) as client:
        listed = source(folder, count)
        with Journal(folder / "state", listed.files, "here") as journal:
            await BulkImport(listed, client, journal, BulkOptions(**options), lambda _: None).run()
            assert journal.done == count
            return journal.tally


async def test_chunks_are_halved_while_the_server_is_too_busy_for_them(tmp_path: Path) -> None:
    people = People()

    def busy(body: Body) -> Answer:
        return people(body) if len(body["people"]) <= 25 else refusal(50380, "busy", "OVERLOADED")

    tally = await imported(tmp_path, busy, 200, chunk=100, at_once=1)
    assert (tally.added, tally.failures) == (200, [])
    assert people.sizes == [25] * 8, "the later chunks are small at once"


async def test_whoever_an_attempt_without_an_answer_has_added_counts_as_added(tmp_path: Path) -> None:
    people, calls = People(), Counter[str]()

    def lost(body: Body) -> Answer | None:
        calls["all"] += 1
        answered = people(body)
        return None if calls["all"] % 2 else answered

    tally = await imported(tmp_path, lost, chunk=10, at_once=1)
    assert (tally.added, tally.present) == (40, 0)
    assert set(people.enrolled.values()) == {1}


async def test_one_person_whom_the_server_refuses_costs_nobody_else(tmp_path: Path) -> None:
    people = People()

    def strict(body: Body) -> Answer:
        ids = [person["identity_id"] for person in body["people"]]
        return refusal(40071, "people[0] is wrong", "PARAM_ERROR") if "p13" in ids else people(body)

    tally = await imported(tmp_path, strict, chunk=40)
    assert (tally.added, len(people.enrolled)) == (39, 39)
    (failed,) = tally.failures
    assert (failed.where, failed.identity_id, failed.code) == ("p.jsonl line 14", "p13", 40071)


async def test_a_person_who_is_too_large_for_one_call_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    people = People()
    source(tmp_path, 2)
    photos = [{"photo": "AA=="}] * 17
    with (tmp_path / "p.jsonl").open("a") as file:
        file.write(json.dumps({"identity_id": "many", "faces": photos}) + "\n")
        file.write(json.dumps({"identity_id": "large", "faces": photos[:1]}) + "\n")

    def small(body: Body) -> Answer:
        ids = [person["identity_id"] for person in body["people"]]
        return refusal(41300, "too large", "PAYLOAD_TOO_LARGE") if "large" in ids else people(body)

    tally = await imported(tmp_path, small, 4)
    assert tally.added == 2
    told = {one.identity_id: one.message for one in tally.failures}
    assert "picturematch enrol" in told["many"]
    assert "ingest.max_body_bytes for all photos" in told["large"]


@pytest.mark.parametrize(
    ("photo", "sizes"),
    [("/9j/AAAA", [20]), ("data:image/jpeg;base64,/9j/AAAA", [20]), ("iVBORw0K", [8, 8, 4]), ("!", [8, 8, 4])],
    ids=["JPEG", "data URL", "PNG", "no base64"],
)
async def test_photos_that_the_server_must_decode_whole_are_few_in_a_chunk(
    tmp_path: Path, photo: str, sizes: list[int]
) -> None:
    people = People()
    face = {"embedder": "e-r1", "templates": {"whole": "AACAPwAAAAA="}, "photo": photo}
    rows = [{"identity_id": f"p{n}", "faces": [face]} for n in range(20)]
    (tmp_path / "p.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert (await imported(tmp_path, people, 20, at_once=1)).added == 20
    assert people.sizes == sizes


@pytest.mark.parametrize("member", ["info", "anything", "faces"])
async def test_json_that_is_nested_too_deeply_costs_nobody_else(tmp_path: Path, member: str) -> None:
    people, deep = People(), "[" * 500 + "]" * 500
    value = {"info": f'{{"x":{deep}}}', "anything": deep, "faces": f'[{{"photo":"AA==","x":{deep}}}]'}[member]
    source(tmp_path, 2)
    with (tmp_path / "p.jsonl").open("a") as file:
        file.write(f'{{"identity_id":"deep","{member}":{value}}}\n')
    tally = await imported(tmp_path, people, 3)
    assert (tally.added, [one.identity_id for one in tally.failures]) == (2, ["deep"])
    assert "nested too deeply" in tally.failures[0].message


@pytest.mark.parametrize(
    "answer", [refusal(50080, "boom", "INTERNAL_ERROR"), (200, {"data": {}}), None], ids=["error", "foreign", "silent"]
)
async def test_what_ends_the_command_leaves_the_rest_to_the_next_run(tmp_path: Path, answer: Answer | None) -> None:
    people = People()

    def ends(body: Body) -> Answer | None:
        return people(body) if len(people.sizes) < 2 else answer

    with pytest.raises(CannotRun):
        await imported(tmp_path, ends, chunk=10, at_once=1)
    assert len(people.enrolled) == 20
    tally = await imported(tmp_path, people, chunk=10, at_once=1)
    assert (tally.added, tally.present, people.sizes) == (40, 0, [10] * 4)
