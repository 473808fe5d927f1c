"""`picturematch people erase` on the embedded log: afterwards nothing of the person is left on the disk."""

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from broker.embedded import check_log, open_embedded
from contract.answers import PersonAnswer, decode_reply
from contract.audit import LOG_OPERATOR
from contract.events import decode_event
from contract.evidence import decode_evidence
from contract.people.records import FaceRecord, PhotoRecord
from contract.requests import EnrolRequest, MatchRequest, decode_request
from contract.topics import Topics
from tests.faults.test_serve import MATCH, USERS, enrol_body, match_body, post, read_all, serving
from tests.support.commands import run
from tests.support.faces import photo
from tests.support.scripted_server import refusal, scripted_server

TOPICS = Topics()


async def fill(url: str) -> None:
    """Enrol anna twice and ben once, and let devices send pictures of both and of a stranger."""
    async with aiohttp.ClientSession() as session:
        for identity_id, seed in (("anna", 1), ("ben", 2)):
            assert (await post(session, url + USERS, enrol_body(identity_id, seed)))[0] == 200
        again = enrol_body("anna", 1) | {"ignore_exist": True, "support_single_face": True}
        again["reg_photo"] = base64.b64encode(photo(1, size=200)).decode()
        assert (await post(session, url + USERS, again))[0] == 200
        for number, seed in enumerate((1, 2, 1, 9, 1)):
            body = match_body(seed, f"10.0.0.{number}") | {"need_register_photo": True}
            assert (await post(session, url + MATCH, body))[0] == 200


async def secrets_of(folder: Path) -> dict[str, dict[str, bytes]]:
    """Every picture, photo and embedding in the log, by whom it is about: anna or anybody else."""
    found: dict[str, dict[str, bytes]] = {"anna": {}, "others": {}}
    async with open_embedded(folder, role="guest", clock_ms=lambda: 0) as log:
        events = {
            e.id: e.identity_id for e in (decode_event(r.value or b"") for r in await read_all(log, TOPICS.events))
        }
        for topic, secret in _SECRETS.items():
            for record in await read_all(log, topic):
                if record.value and (owned := secret(record.value, events)):
                    owner, what, value = owned
                    found["anna" if owner == "anna" else "others"][f"{what} {topic} {record.position}"] = value
    return found


Owned = tuple[str, str, bytes]


def _in_request(value: bytes, events: dict[str, str]) -> Owned | None:
    request = decode_request(value)
    if isinstance(request, MatchRequest):
        return events[request.request_id], "picture", request.picture
    return (request.identity_id, "sent photo", request.photo or b"") if isinstance(request, EnrolRequest) else None


def _in_evidence(value: bytes, events: dict[str, str]) -> Owned | None:
    evidence = decode_evidence(value)
    return events[evidence.event_id], "evidence", evidence.embedding


def _in_people(value: bytes, events: dict[str, str]) -> Owned | None:
    try:
        face = msgspec.msgpack.decode(value, type=FaceRecord)
    except msgspec.ValidationError:
        return None
    return face.identity_id, "embedding", face.templates["whole"]


def _in_photos(value: bytes, events: dict[str, str]) -> Owned | None:
    kept = msgspec.msgpack.decode(value, type=PhotoRecord)
    return kept.identity_id, "photo", kept.jpeg


def _in_reply(value: bytes, events: dict[str, str]) -> Owned | None:
    answer = decode_reply(value).answer
    if isinstance(answer, PersonAnswer):
        return answer.identity_id, "photo in a reply", answer.photo or b""
    return (answer.identity_id, "photo in a reply", answer.reg_pic) if getattr(answer, "reg_pic", None) else None


_SECRETS = {
    TOPICS.requests: _in_request,
    TOPICS.admin: _in_request,
    TOPICS.evidence: _in_evidence,
    TOPICS.people: _in_people,
    TOPICS.photos: _in_photos,
    TOPICS.replies: _in_reply,
}


def on_disk(folder: Path, secrets: dict[str, bytes], common: bytes = b"") -> set[str]:
    """The names of those of which any piece that is not in `common` is in a file of the folder.

    JPEG files share their tables, and drawn faces their background.
    """
    disk = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    found = set()
    for name, value in secrets.items():
        pieces = [value[at : at + 24] for at in range(0, len(value) - 23, max(8, len(value) // 200))]
        own = [piece for piece in pieces if piece not in common]
        assert len(own) > 2, f"{name} has no bytes of its own"
        if any(piece in disk for piece in own):
            found.add(name)
    return found


def erased_records(lines: list[dict[str, Any]]) -> list[int]:
    return [line["records"] for line in lines if line["what"] == "erased"]


async def test_nothing_of_an_erased_person_is_left_on_the_disk_and_everything_of_others_is(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with serving(folder) as server:
        await fill(server.url)
        secrets = await secrets_of(folder)
        of_others = b"".join(secrets["others"].values())
        assert on_disk(folder, secrets["anna"], of_others) == set(secrets["anna"])
        assert {name.partition(" picturematch")[0] for name in secrets["anna"]} == {
            *("picture", "sent photo", "evidence", "embedding", "photo", "photo in a reply")
        }

        erased = await run("people", "erase", "anna", "--yes", "--url", server.url, "--data-folder", folder, "--json")

        assert (erased.status, erased.err) == (0, "")
        assert on_disk(folder, secrets["anna"], of_others) == set()
        assert on_disk(folder, secrets["others"]) == set(secrets["others"])
        lines = [json.loads(line) for line in erased.out.splitlines()]
        by_topic = {(line["what"], line.get("topic", "")[13:]): line.get("records") for line in lines}
        assert by_topic[("erased", "photos")] == 2
        assert by_topic[("erased", "admin")] == 2
        assert by_topic[("erased", "requests")] == 3
        assert by_topic[("erased", "evidence")] == 3
        assert by_topic[("waits", "events")] == 6
        assert by_topic[("waits", "admin")] == 1, "the deletion, which contains no photo"
        assert by_topic[("waits", "audit")] == 3
        assert all(line["until"] > 0 for line in lines if line["what"] == "waits")
        assert [line for line in lines if line["what"] == "outside"]

        again = await run("people", "erase", "anna", "--yes", "--url", server.url, "--data-folder", folder)
        assert again.status == 0
        assert again.out.startswith("deleted: nobody was enrolled under this id any more\n")
        assert "erased: " not in again.out
        matched = await run("events", "--kind", "erase", "--data-folder", folder)
        (event,) = [json.loads(line) for line in matched.out.splitlines()]
        assert (event["identity_id"], event["outcome"], event["name"]) == ("anna", "erased", "")
        assert event["request"]["topic"] == TOPICS.admin
        async with open_embedded(folder, role="guest", clock_ms=lambda: 0) as log:
            records = {record.key: dict(record.headers) for record in await read_all(log, TOPICS.events)}
        assert records[event["id"].encode()]["ce_id"] == event["id"].encode()
        assert records[event["id"].encode()]["ce_type"] == b"picturematch.person.v1"
        audited = await run("audit", "--kind", "erase", "--json", "--data-folder", folder)
        (change,) = [json.loads(line) for line in audited.out.splitlines()]
        assert (change["actor"], change["objects"], change["outcome"]) == (LOG_OPERATOR, ["anna"], "erased")
        assert (change["request_id"], change["details"]) == (event["id"], {"records": sum(erased_records(lines))})
    assert [found for part in check_log(folder, beside_server=False) for found in part.findings] == []


async def test_the_server_goes_on_with_erased_records_after_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with serving(folder) as server:
        await fill(server.url)
        erased = await run("people", "erase", "anna", "--yes", "--url", server.url, "--data-folder", folder)
        assert erased.status == 0
    async with serving(folder) as server, aiohttp.ClientSession() as session:
        assert (await post(session, server.url + MATCH, match_body(2)))[2]["identity_id"] == "ben"
        assert (await post(session, server.url + MATCH, match_body(1)))[2]["name"] == "stranger"
        assert (await post(session, server.url + USERS, enrol_body("anna", 1)))[0] == 200
        assert (await post(session, server.url + MATCH, match_body(1)))[2]["identity_id"] == "anna"
        checked = await run("people", "check", "--data-folder", folder)
        letters = await run("dead-letters", "list", "--data-folder", folder)
        capture = await run("record", "--out", tmp_path / "capture", "--data-folder", folder, "--since", "1d")
    assert (checked.status, letters.status, capture.status) == (0, 0, 0), (checked, letters, capture)
    lines = (tmp_path / "capture" / "requests.jsonl").read_text().splitlines()
    assert len(lines) == 5, "two pictures of others from before, and three from after the erasure"


async def test_a_person_of_another_server_s_log_is_not_erased_from_this_one(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with serving(folder) as server:
        await fill(server.url)
        before = await secrets_of(folder)
        async with scripted_server(lambda _: refusal(40401, "nobody is enrolled")) as other:
            refused = await run("people", "erase", "anna", "--yes", "--url", other.url, "--data-folder", folder)
        assert refused.status == 2
        assert "is still enrolled in the log that the settings name" in refused.err
        assert await secrets_of(folder) == before


async def test_without_a_running_server_nothing_is_erased(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with serving(folder) as server:
        await fill(server.url)
    refused = await run("people", "erase", "anna", "--yes", "--url", server.url, "--data-folder", folder)
    assert refused.status == 2
    assert refused.err.startswith("picturematch: no server can be reached")
    assert not list(folder.glob("erase-*"))


async def test_former_logs_that_a_restore_moved_aside_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with serving(folder) as server:
        await fill(server.url)
        (folder / "replaced-1").mkdir()
        shutil.copy(folder / "log.sqlite", folder / "replaced-1")
        erased = await run("people", "erase", "anna", "--yes", "--url", server.url, "--data-folder", folder)
    assert f"outside the log: the former log {folder / 'replaced-1'}" in erased.out


async def test_without_a_confirmation_nothing_is_deleted(tmp_path: Path) -> None:
    async with scripted_server(lambda _: refusal(40401, "nobody is enrolled")) as server:
        refused = await run("people", "erase", "anna", "--url", server.url, "--data-folder", tmp_path)
    assert refused.status == 1
    assert server.calls == []
