"""What a running processor keeps beside the events: evidence, the configurations that it names, and checkpoints."""

import threading
from hashlib import sha256

import orjson

from contract.configs import Checkpoint
from contract.evidence import decode_evidence
from contract.requests import Headers
from contract.topics import Topics
from engine.policy import Policy
from processor import processing
from tests.integration.test_processor import enrol, match, read_all, running
from tests.support.faces import MODELS, photo
from tests.support.waiting import until

TOPICS = Topics()


async def test_every_match_that_compared_a_face_has_evidence_whose_configurations_can_be_read(tmp_path):
    policy = Policy(threshold=0.7)
    async with running(tmp_path, policy=policy) as system:
        await system.send(enrol("e1", "anna", 1), enrol("e2", "ben", 2))
        await system.wait_for(2)
        await system.send(match(1, seed=1), match(2, seed=50), match(3, picture=b"no picture"))
        events = {event["id"]: event for event in await system.wait_for(5)}
        records = await read_all(system.broker, TOPICS.evidence)
        evidence = {record.key: decode_evidence(record.value or b"") for record in records}
        configs = {record.key: record.value for record in await read_all(system.broker, TOPICS.configs)}

    assert set(evidence) == {b"m1", b"m2"}, "the third was no picture, so there is no face to keep"
    assert [candidate.identity_id for candidate in evidence[b"m1"].candidates] == ["anna", "ben"]
    assert evidence[b"m1"].candidates[0].cosine >= evidence[b"m1"].threshold > evidence[b"m2"].candidates[0].cosine
    for key, kept in evidence.items():
        event = events[key.decode()]
        assert (kept.outcome, kept.gallery_version) == (event["outcome"], event["gallery_version"])
        settings = orjson.loads(configs[f"policy/{kept.policy}".encode()])
        assert settings["threshold"] == policy.threshold
        assert orjson.loads(configs[f"model-set/{kept.model_set}".encode()]) == dict(MODELS.identities)
        value = configs[f"policy/{kept.policy}".encode()]
        assert sha256(value).hexdigest().startswith(kept.policy)


async def test_a_checkpoint_says_how_far_the_people_are(tmp_path):
    async with running(tmp_path) as system:
        await system.send(enrol("e1", "anna", 1))
        await system.wait_for(1)
        version = system.replies["e1"].gallery_version
    async with running(tmp_path) as system:
        await system.send(match(1))
        await system.wait_for(2)
        records = await read_all(system.broker, TOPICS.configs)
    checkpoints = [orjson.loads(record.value) for record in records if record.key.startswith(b"checkpoint/")]
    last = Checkpoint(**checkpoints[-1])
    assert (last.gallery_version, last.people, last.faces) == (version, 1, 1)


async def test_a_replayed_request_is_marked_in_event_and_reply(tmp_path):
    async with running(tmp_path) as system:
        await system.send(match(1, picture=photo(1)), **{Headers.REPLAY_OF: b"m0"})
        (event,) = await system.wait_for(1)
        assert event["replay_of"] == "m0"
        assert system.replies["m1"].replay_of == "m0"


async def test_a_replayed_request_is_not_counted_among_the_outcomes_of_the_doors(tmp_path):
    """The dashboard and the alerts are about what happens at the doors."""
    async with running(tmp_path) as system:
        await system.send(match(1, picture=photo(1)), **{Headers.REPLAY_OF: b"m0"})
        await system.send(match(2, picture=photo(1)))
        (outcome, _) = [event["outcome"] for event in await system.wait_for(2)]
        labels = {"kind": "match", "outcome": outcome}

        def counted(name: str) -> float:
            return system.registry.get_sample_value(f"picturematch_{name}_total", labels) or 0

        await until(lambda: counted("events") + counted("replayed_events") == 2)
        assert counted("events") == counted("replayed_events") == 1


async def test_the_pictures_of_refused_requests_are_hashed_in_a_thread(tmp_path, monkeypatch):
    threads = []
    original = processing.picture_digest

    def noting(picture: bytes) -> str:
        threads.append(threading.current_thread() is threading.main_thread())
        return original(picture)

    monkeypatch.setattr(processing, "picture_digest", noting)
    async with running(tmp_path) as system:
        await system.send(match(1), match(2, group_name="nowhere"), **{Headers.DEADLINE_MS: b"1"})
        await system.send(match(3), match(4, picture=b"no picture"))
        events = {event["id"]: event for event in await system.wait_for(4)}
    assert events["m1"]["outcome"] == "expired"
    assert all(event["request"]["sha256"] for event in events.values())
    assert threads == [False] * 4
