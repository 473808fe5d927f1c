"""Dead letters from their making to the event of their retry, as an operator sees them."""

import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from broker.embedded import EmbeddedBroker, open_embedded
from broker.port import NewRecord, Record
from contract.audit import Actor
from contract.codec import encode
from contract.requests import Headers
from picturematch.__main__ import cli
from sinks.letters import Letters
from tests.integration.test_processor import TOPICS, dead_letters, enrol, match, read_all, record_of, running
from tests.support.commands import run
from tests.support.faces import MODELS, scene

POISON = b"\xffnot a request"


def broken_on_333_rows(image: Any) -> Any:
    if image.shape[0] == 333:
        raise RuntimeError("broken network")
    return MODELS.detector(image)


async def fail_both(folder: Path) -> None:
    """Leave two letters: of a record that is no request (0-0), and of one whose matching failed (0-1)."""
    async with running(folder, models=replace(MODELS, detector=broken_on_333_rows)) as system:
        headers = record_of(match(1)).headers
        await system.broker.append([NewRecord(TOPICS.requests, b"10.0.0.1", POISON, headers)])
        await system.wait_for(1)
        await system.send(match(2, picture=scene(width=500, height=333)))
        await system.wait_for(2)


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[EmbeddedBroker]:
    async with open_embedded(folder, role="owner", clock_ms=lambda: int(time.time() * 1000)) as broker:
        yield broker


async def listed(folder: Path, *options: object) -> list[dict[str, Any]]:
    shown = await run("dead-letters", "list", "--json", "--data-folder", folder, *options)
    assert (shown.status, shown.err) == (0, "")
    return [json.loads(line) for line in shown.out.splitlines()]


async def retried(folder: Path, *arguments: object) -> Sequence[str]:
    """The ids of the new requests."""
    done = await run("dead-letters", "retry", "--data-folder", folder, *arguments)
    assert (done.status, done.err) == (0, "")
    return [line.split(" sent again as ")[1] for line in done.out.splitlines()]


async def test_the_list_tells_what_failed_where_and_how_and_shows_no_bytes(tmp_path: Path) -> None:
    await fail_both(tmp_path)
    poison, unexpected = await listed(tmp_path)
    assert (poison["place"], poison["request_id"], poison["stage"]) == ("0-0", "m1", "decode")
    assert (unexpected["place"], unexpected["request_id"], unexpected["stage"]) == ("0-1", "m2", "match")
    assert (unexpected["error"], unexpected["code"], unexpected["attempt"]) == ("RuntimeError", 50080, 1)
    assert poison["original"]["topic"] == TOPICS.requests
    assert poison["size_bytes"] == len(POISON)
    assert poison["retried_as"] == []
    assert abs(poison["time"] - time.time()) < 600

    table = await run("dead-letters", "list", "--data-folder", tmp_path)
    assert (table.status, table.err) == (0, "")
    head, first, second = table.out.splitlines()
    assert head.split()[:3] == ["place", "when", "request"]
    assert first.split()[0] == "0-0"
    assert f"{TOPICS.requests}-{poison['original']['partition']}@{poison['original']['offset']}" in first
    assert "RuntimeError" in second
    assert "not a request" not in table.out.replace("the record is not a request", "")


async def test_the_list_can_be_narrowed(tmp_path: Path) -> None:
    await fail_both(tmp_path)
    assert [letter["place"] for letter in await listed(tmp_path, "--stage", "decode")] == ["0-0"]
    assert [letter["place"] for letter in await listed(tmp_path, "--limit", 1)] == ["0-1"]
    assert [letter["place"] for letter in await listed(tmp_path, "--since", "10m")] == ["0-0", "0-1"]
    assert await listed(tmp_path, "--since", time.time() + 600) == []


async def test_an_event_that_a_sink_could_not_pass_on_is_listed_and_is_no_request_to_send_again(tmp_path: Path) -> None:
    async with running(tmp_path) as system:
        letters = Letters(TOPICS.dead_letters, "hall")
        letters.add(Record(TOPICS.events, 0, 5, 0, b"", b"{}", (("ce_id", b"e5"),)), "the receiver is down", tries=12)
        await system.broker.append(letters.take(0))
    (letter,) = await listed(tmp_path, "--stage", "sink/hall")
    assert (letter["request_id"], letter["stage"], letter["attempt"]) == ("e5", "sink/hall", 12)
    refused = await run("dead-letters", "retry", "--data-folder", tmp_path, letter["place"])
    assert refused.status == 1
    assert "not a request" in refused.err
    everything = await run("dead-letters", "retry", "--data-folder", tmp_path, "--all")
    assert (everything.status, everything.out) == (0, "there is no letter to send again\n")


async def test_a_retried_poison_record_keeps_its_bytes_and_counts_its_attempts(tmp_path: Path) -> None:
    await fail_both(tmp_path)
    (new_id,) = await retried(tmp_path, "0-0")
    async with running(tmp_path) as system:
        event = (await system.wait_for(3))[-1]
        assert (event["id"], event["kind"], event["retry_of"]) == (new_id, "unreadable", "m1")
        first, _, second = await dead_letters(system.broker)
        assert (first.value, second.value, second.key) == (POISON, POISON, first.key)
        assert (first.attempt, second.attempt) == (1, 2)
        assert set(dict(second.headers)) == {
            Headers.REQUEST_ID,
            Headers.RETRY_OF,
            Headers.RETRIED_BY,
            Headers.ATTEMPT,
        }
    (third_id,) = await retried(tmp_path, "0-3")
    async with running(tmp_path) as system:
        event = (await system.wait_for(4))[-1]
        assert (event["id"], event["retry_of"]) == (third_id, new_id)
        assert (await dead_letters(system.broker))[-1].attempt == 3


async def test_what_failed_unexpectedly_succeeds_when_it_is_retried_after_the_repair(tmp_path: Path) -> None:
    await fail_both(tmp_path)
    (new_id,) = await retried(tmp_path, "0-1")
    async with running(tmp_path) as system:
        first, second = [event for event in await system.wait_for(3) if event["kind"] == "match"]
        assert (first["id"], first["outcome"], first["retry_of"]) == ("m2", "error", None)
        assert (second["id"], second["outcome"], second["retry_of"]) == (new_id, "no_face", "m2")
        assert second["compare_time"] == first["compare_time"]
        assert second["request"]["sha256"] == first["request"]["sha256"]
        assert second["request"]["offset"] != first["request"]["offset"]
        assert len(await read_all(system.broker, TOPICS.replies)) == 2  # those of the first attempts


async def test_an_enrolment_is_retried_too(tmp_path: Path) -> None:
    async with running(tmp_path, models=replace(MODELS, detector=broken_on_333_rows)) as system:
        photo_without_face = scene(width=500, height=333)
        office = encode(Actor(name="office", role="operator", peer="10.0.0.9"))
        failing = msgspec.structs.replace(enrol("e1", "anna", 1), photo=photo_without_face)
        await system.send(failing, **{Headers.ACTOR: office})
        await system.wait_for(1)
    (new_id,) = await retried(tmp_path, "--all")
    async with running(tmp_path) as system:
        first, second = await system.wait_for(2)
        assert (first["id"], first["error"]["code"]) == ("e1", 50080)
        assert (second["id"], second["kind"], second["retry_of"]) == (new_id, "enrol", "e1")
        assert second["error"]["status"] == "NO_FACE"
    audited = [json.loads(line) for line in (await run("audit", "--json", "--data-folder", tmp_path)).out.splitlines()]
    assert [(one["actor"], one["peer"]) for one in audited] == [("office", "10.0.0.9")] * 2
    assert [one.get("retried_by") for one in audited] == [None, "operator of the log"]
    for_people = (await run("audit", "--actor", "operator of the log", "--data-folder", tmp_path)).out
    assert "office" in for_people
    assert "(sent again by operator of the log, first as e1)" in for_people


async def test_nothing_is_sent_twice_unless_one_says_again(tmp_path: Path) -> None:
    await fail_both(tmp_path)
    (new_id,) = await retried(tmp_path, "0-0", "0-0")
    refused = await run("dead-letters", "retry", "--data-folder", tmp_path, "0-0")
    assert (refused.status, refused.out) == (1, "")
    assert new_id in refused.err
    assert "--again" in refused.err
    assert len(refused.err.splitlines()) == 1
    assert [letter["retried_as"] for letter in await listed(tmp_path)] == [[new_id], []]

    (other_id,) = await retried(tmp_path, "--all")
    nothing = await run("dead-letters", "retry", "--data-folder", tmp_path, "--all")
    assert (nothing.status, nothing.out, nothing.err) == (0, "there is no letter to send again\n", "")
    (once_more,) = await retried(tmp_path, "0-0", "--again")
    assert [letter["retried_as"] for letter in await listed(tmp_path)] == [[new_id, once_more], [other_id]]
    async with opened(tmp_path) as log:
        ids = [record.header(Headers.REQUEST_ID) for record in await read_all(log, TOPICS.requests)]
    assert sorted(ids) == sorted(id_.encode() for id_ in ("m1", "m2", new_id, other_id, once_more))


async def test_a_place_without_a_letter_is_told_and_the_others_are_sent(tmp_path: Path) -> None:
    await fail_both(tmp_path)
    done = await run("dead-letters", "retry", "--data-folder", tmp_path, "0-99", "0-1", "7-0")
    assert done.status == 1
    assert done.out.startswith("0-1 sent again as ")
    assert [line.split(":")[0] for line in done.err.splitlines()] == ["0-99", "7-0"]


async def test_beside_a_running_server_the_sentence_says_to_stop_it(tmp_path: Path) -> None:
    await fail_both(tmp_path)
    async with opened(tmp_path) as log:
        before = await log.end_offsets(TOPICS.requests)
        assert len(await listed(tmp_path)) == 2
        refused = await run("dead-letters", "retry", "--data-folder", tmp_path, "--all")
        assert (refused.status, refused.out) == (2, "")
        assert "stop the server" in refused.err
        assert len(refused.err.splitlines()) == 1
        assert await log.end_offsets(TOPICS.requests) == before


@pytest.mark.parametrize("command", [("list",), ("retry", "--all")])
async def test_without_a_log_nothing_is_made_and_the_sentence_says_what_to_do(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    ended = await run("dead-letters", *command, "--data-folder", tmp_path / "none")
    assert ended.status == 2
    assert "start the server" in ended.err
    assert len(ended.err.splitlines()) == 1
    assert not (tmp_path / "none").exists()


async def test_records_that_are_no_letters_are_counted_and_passed_over(tmp_path: Path) -> None:
    await fail_both(tmp_path)
    async with opened(tmp_path) as log:
        await log.append([NewRecord(TOPICS.dead_letters, None, b"something else")])
    shown = await run("dead-letters", "list", "--data-folder", tmp_path)
    assert shown.status == 0
    assert len(shown.out.splitlines()) == 3
    assert shown.err == "1 records of the topic are not dead letters\n"


@pytest.mark.parametrize("arguments", [[], ["--all", "0-1"], ["0"], ["0-1x"], ["a-1"], ["0-\u0661"]])
def test_which_letters_are_meant_must_be_said_clearly(arguments: list[str]) -> None:
    shown = CliRunner().invoke(cli, ["dead-letters", "retry", *arguments])
    assert shown.exit_code == 2
    assert "PLACE" in shown.output or "PARTITION-OFFSET" in shown.output


@pytest.mark.parametrize("command", [[], ["list"], ["retry"]])
def test_every_help_text_has_an_example(command: list[str]) -> None:
    shown = CliRunner().invoke(cli, ["dead-letters", *command, "--help"])
    assert shown.exit_code == 0
    assert "Example" in shown.output
    assert "picturematch dead-letters" in shown.output
