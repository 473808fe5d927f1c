"""`picturematch record` on Kafka: people, evidence and policies of a running system, recorded and continued."""

import base64
from pathlib import Path

from capture.reader import CaptureReader
from tests.integration.test_roles_on_kafka import MATCH, USERS, create_topics, environment, post, roles
from tests.support.commands import finish, run, start
from tests.support.faces import photo
from tests.support.recorded import assert_same_decisions, lines_of
from tests.support.waiting import until

PATIENCE_S = 60.0


def picture(seed: int) -> str:
    return base64.b64encode(photo(seed)).decode()


async def test_decisions_with_changes_in_between_are_recorded_and_come_out_again(
    kafka_bootstrap: str, tmp_path: Path
) -> None:
    given, out = environment(kafka_bootstrap), tmp_path / "out"
    await create_topics(given)
    async with roles(given) as (_, _, session):
        for who, seed in (("anna", 1), ("ben", 2)):
            assert (await post(session, USERS, identity_id=who, reg_photo=picture(seed)))[0] == 200
            assert (await post(session, MATCH, device_ip="10.0.0.1", rgb_image_base64=picture(seed)))[0] == 200
        first = await run("record", "--out", out, **given)
        assert (first.status, first.out, first.err) == (0, f"2 requests recorded in {out}\n", "")

        assert (await post(session, USERS, identity_id="carla", reg_photo=picture(3)))[0] == 200
        for device, seed in (("10.0.0.2", 3), ("10.0.0.3", 50)):
            assert (await post(session, MATCH, device_ip=device, rgb_image_base64=picture(seed)))[0] == 200
        second = await run("record", "--out", out, **given)
        assert (second.status, second.out, second.err) == (0, f"2 requests recorded in {out}\n", "")

    assert assert_same_decisions(out) == 4
    decisions = [line.decision for line in lines_of(out).values()]
    assert [decision.embedding is not None for decision in decisions if decision] == [True] * 4
    assert sorted(decision.identity_id for decision in decisions if decision)[1:] == ["anna", "ben", "carla"]
    assert CaptureReader(out).manifest.people_from == 0


async def test_a_following_recording_has_every_decision_of_all_partitions_and_is_continued_after_a_kill(
    kafka_bootstrap: str, tmp_path: Path
) -> None:
    """kill -9 of `record --follow` while it writes, twice; the last run is ended by a signal."""
    given, out = environment(kafka_bootstrap), tmp_path / "out"
    await create_topics(given)
    async with roles(given) as (_, _, session):
        assert (await post(session, USERS, identity_id="anna", reg_photo=picture(1)))[0] == 200
        sent = 0
        for run_number in range(3):
            process = await start("record", "--out", out, "--follow", **given)
            for _ in range(2):
                before = lines_in(out)
                for _ in range(16):
                    device = f"10.0.0.{sent % 30}"
                    status, _ = await post(session, MATCH, device_ip=device, rgb_image_base64=picture(1 + sent % 2))
                    assert status == 200
                    sent += 1
                await until(lambda before=before: lines_in(out) > before, PATIENCE_S, every_s=0.001)
            if run_number < 2:
                process.kill()
                await finish(process, PATIENCE_S)
        await until(lambda: lines_in(out) == sent, PATIENCE_S)
        process.terminate()
        done = await finish(process, PATIENCE_S)
        assert (done.status, done.err) == (0, "")
    lines = lines_of(out)
    assert len(lines) == sent, "each request is there once"
    assert len({line.place.partition for line in lines.values() if line.place}) > 4
    assert assert_same_decisions(out) == sent
    assert all(line.decision and line.decision.embedding for line in lines.values())


def lines_in(out: Path) -> int:
    requests = out / "requests.jsonl"
    return requests.read_bytes().count(b"\n") if requests.exists() else 0
