"""`picturematch enrol` against a server that answers what the test says."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pybase64
import pytest

import clients.enrol
from clients.enrol import EnrolOptions, EnrolResult, Outcome, enrol
from clients.enrol_list import find_entries
from clients.errors import CannotRun
from clients.http import Client
from tests.support.commands import run
from tests.support.records import jpeg
from tests.support.scripted_server import Answer, Body, refusal, scripted_server

DONE: Answer = (200, {"data": {"identity_id": "", "group_name": "default_group", "reg_photo": "", "info": {}}})


def photos(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(number))
    return folder


class People:
    """Answers as a server does that holds people: 40011 for one it has."""

    def __init__(self, *identities: str) -> None:
        self.faces = Counter(identities)

    def __call__(self, body: Body) -> Answer:
        identity = body["identity_id"]
        if identity in self.faces and not body["ignore_exist"]:
            return refusal(40011, "exists")
        if body["support_single_face"]:
            self.faces[identity] = 0
        self.faces[identity] += 1
        return DONE


async def no_sleep(_: float) -> None:
    return


async def enrolled(path: Path, url: str, **options: Any) -> list[EnrolResult]:
    results: list[EnrolResult] = []
    async with Client(url) as client:
        await enrol(find_entries(path), client, results.append, EnrolOptions(**options), no_sleep)
    return results


async def test_a_folder_of_photos_is_enrolled_and_again_left_alone(tmp_path: Path) -> None:
    folder = photos(tmp_path / "people", "7.jpg", "8.PNG", "anna/a.jpg", "anna/b.jpeg")
    people = People()
    async with scripted_server(people) as server:
        first = await run("enrol", folder, "--url", server.url, "--api-key", "secret")
        assert (first.status, first.err) == (0, "")
        assert first.out == "3 enrolled, 0 updated, 1 face added, 0 already enrolled, 0 failed\n"
        assert people.faces == {"7": 1, "8": 1, "anna": 2}
        assert {path for path, _ in server.calls} == {"/SophonFogSys/api/users"}
        assert server.headers["X-API-Key"] == "secret"
        seven = next(body for body in server.bodies if body["identity_id"] == "7")
        assert pybase64.b64decode(seven.pop("reg_photo")) == jpeg(0)
        assert seven == {
            "group_name": "default_group",
            "identity_id": "7",
            "info": {"name": "7"},
            "ignore_exist": False,
            "support_single_face": False,
        }

        second = await run("enrol", folder, "--url", server.url)
        assert second.status == 0
        assert "4 already enrolled" in second.out
        assert people.faces == {"7": 1, "8": 1, "anna": 2}

        third = await run("enrol", folder, "--url", server.url, "--update", "--fiqa-level", "high", "--group", "staff")
        assert third.status == 0
        assert "3 updated, 1 face added" in third.out
        assert people.faces == {"7": 1, "8": 1, "anna": 2}
        assert (server.bodies[-1]["fiqa_level"], server.bodies[-1]["group_name"]) == ("high", "staff")


async def test_each_failure_is_a_line_with_its_reason(tmp_path: Path) -> None:
    folder = photos(tmp_path / "people", "1.jpg", "2.jpg", "notes.txt")

    def answer(body: Body) -> Answer:
        return DONE if body["identity_id"] == "1" else refusal(40004, "no face found in the\x1b[31m picture", "NO_FACE")

    async with scripted_server(answer) as server:
        ended = await run("enrol", folder, "--url", server.url)
    assert ended.status == 1
    assert "2.jpg: 40004 NO_FACE: no face found in the\N{REPLACEMENT CHARACTER}[31m picture\n" in ended.err
    assert "notes.txt: not a photo" in ended.err
    assert len(ended.err.splitlines()) == 2
    assert "1 enrolled" in ended.out
    assert "2 failed" in ended.out


async def test_what_is_busy_is_asked_again_until_it_answers(tmp_path: Path) -> None:
    folder = photos(tmp_path, "1.jpg")
    answers: list[Answer | None] = [refusal(50380), refusal(50480), None, (502, "<html>"), DONE]
    async with scripted_server(lambda _: answers.pop(0)) as server:
        assert [r.outcome for r in await enrolled(folder, server.url)] == [Outcome.ENROLLED]
        assert len(server.calls) == 5


async def test_an_answer_that_was_lost_does_not_lose_the_further_faces(tmp_path: Path) -> None:
    folder = photos(tmp_path, "anna/1.jpg", "anna/2.jpg")
    people = People()

    def answer(body: Body) -> Answer | None:
        given = people(body)
        return None if len(server.calls) == 1 else given

    async with scripted_server(answer) as server:
        results = await enrolled(folder, server.url)
    assert [r.outcome for r in results] == [Outcome.ENROLLED, Outcome.FACE_ADDED]
    assert people.faces == {"anna": 2}


async def test_a_server_that_stays_busy_is_reported_and_the_next_entries_are_tried(tmp_path: Path) -> None:
    folder = photos(tmp_path, "1.jpg", "2.jpg")
    async with scripted_server(lambda body: DONE if body["identity_id"] == "2" else refusal(50380, "busy")) as server:
        results = await enrolled(folder, server.url, concurrency=1)
        assert len(server.calls) == clients.enrol.ATTEMPTS + 1
    assert [(r.outcome, r.reason) for r in results] == [
        (Outcome.FAILED, "50380 OVERLOADED: busy"),
        (Outcome.ENROLLED, ""),
    ]


async def test_a_server_that_goes_away_ends_the_run(tmp_path: Path) -> None:
    folder = photos(tmp_path, *(f"{n}.jpg" for n in range(20)))
    results: list[EnrolResult] = []
    async with (
        scripted_server(lambda _: DONE if len(server.calls) < 4 else None) as server,
        Client(server.url) as client,
    ):
        with pytest.raises(CannotRun, match="does not answer any more"):
            await enrol(find_entries(folder), client, results.append, EnrolOptions(concurrency=1), no_sleep)
    assert Counter(r.outcome for r in results) == {Outcome.ENROLLED: 3, Outcome.FAILED: clients.enrol.GIVE_UP_AFTER - 1}


async def test_entries_of_one_person_keep_their_order_among_many_workers(tmp_path: Path) -> None:
    rows = [{"identity_id": f"p{n % 5}", "feature": [float(n)]} for n in range(60)]
    path = tmp_path / "list.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    people = People()
    async with scripted_server(people) as server:
        results = await enrolled(path, server.url, concurrency=8)
        bodies = server.bodies
    assert Counter(r.outcome for r in results) == {Outcome.ENROLLED: 5, Outcome.FACE_ADDED: 55}
    for person in range(5):
        numbers = [body["feature"][0] for body in bodies if body["identity_id"] == f"p{person}"]
        assert numbers == sorted(numbers)
        assert len(numbers) == 12
    assert all(body["import_mode"] is True and "reg_photo" not in body for body in bodies)
    assert all("feature_model" not in body for body in bodies)


async def test_a_feature_is_sent_with_the_network_of_its_line_or_else_of_the_option(tmp_path: Path) -> None:
    path = tmp_path / "list.jsonl"
    rows = [{"identity_id": "1", "feature": [1.0], "feature_model": "a"}, {"identity_id": "2", "feature": [1.0]}]
    path.write_text("\n".join(map(json.dumps, rows)))
    async with scripted_server(People()) as server:
        await enrolled(path, server.url, feature_model="b")
        assert {body["identity_id"]: body["feature_model"] for body in server.bodies} == {"1": "a", "2": "b"}


async def test_after_a_refused_first_photo_the_next_one_makes_the_person(tmp_path: Path) -> None:
    folder = photos(tmp_path, "anna/1.jpg", "anna/2.jpg", "anna/3.jpg")
    async with scripted_server(lambda _: refusal(40004) if len(server.calls) == 1 else DONE) as server:
        results = await enrolled(folder, server.url, update=True)
        assert [body["support_single_face"] for body in server.bodies] == [True, True, False]
    assert [r.outcome for r in results] == [Outcome.FAILED, Outcome.UPDATED, Outcome.FACE_ADDED]


async def test_what_cannot_run_is_one_sentence_and_status_2(tmp_path: Path) -> None:
    folder = photos(tmp_path / "people", "1.jpg")
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.csv").write_text("name\n1\n")
    (tmp_path / "list.txt").write_text("x")

    async with scripted_server(lambda _: refusal(40180)) as locked, scripted_server(lambda _: (200, "hello")) as other:
        for arguments, sentence in (
            ((folder, "--url", locked.url), "API key"),
            ((folder, "--url", other.url), "check the URL"),
            ((folder, "--url", "gopher://x"), "must look like"),
            ((tmp_path / "none",), "does not exist"),
            ((tmp_path / "empty",), "contains nobody to enrol"),
            ((tmp_path / "list.csv",), "the columns path, identity_id"),
            ((tmp_path / "list.txt",), "neither a folder, nor a list"),
        ):
            ended = await run("enrol", *arguments)
            assert (ended.status, ended.out) == (2, ""), arguments
            assert sentence in ended.err
            assert len(ended.err.splitlines()) == 1


async def test_faces_are_counted_in_plain_english(tmp_path: Path) -> None:
    folder = photos(tmp_path, *(f"anna/{n}.jpg" for n in range(4)))
    async with scripted_server(People()) as server:
        ended = await run("enrol", folder, "--url", server.url)
    assert ended.out == "1 enrolled, 0 updated, 3 faces added, 0 already enrolled, 0 failed\n"


async def test_what_was_done_before_the_server_went_away_is_told(tmp_path: Path) -> None:
    folder = photos(tmp_path, *(f"{n}.jpg" for n in range(9)))
    async with scripted_server(lambda _: DONE if len(server.calls) < 4 else refusal(40180)) as server:
        ended = await run("enrol", folder, "--url", server.url, "--concurrency", 1)
    assert ended.status == 2
    assert ended.out == "3 enrolled, 0 updated, 0 faces added, 0 already enrolled, 0 failed\n"
    assert "API key" in ended.err


async def test_without_a_server_the_sentence_says_how_to_start_one(tmp_path: Path, unused_port: int) -> None:
    folder = photos(tmp_path, "1.jpg", "2.jpg")
    with pytest.raises(CannotRun, match=r"no server can be reached at .*; start one with: picturematch serve"):
        await enrolled(folder, f"http://127.0.0.1:{unused_port}")
