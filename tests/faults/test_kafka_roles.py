"""The roles on a real Kafka broker under load and faults; `python -m bench.faults` goes on for as long as one likes."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.faultcheck import Call, call_differences, log_differences
from bench.faultrun import FAULTS, FaultRun
from tests.support.kafka_dev import DevBroker

ANSWER = {"retcode": "1", "identity_id": "p1", "name": "P1", "score": 0.9}


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("faults", "seconds", "seed"),
    [
        (("kill a processor", "kill an ingress", "restart the broker"), 0.0, 20261),
        pytest.param(FAULTS, 45.0, 20260, marks=pytest.mark.slow),
    ],
    ids=["briefly", "whatever dies"],
)
async def test_whatever_dies_every_accepted_request_has_exactly_one_event_equal_to_its_answer(
    kafka_to_break: DevBroker, tmp_path: Path, faults: Sequence[str], seconds: float, seed: int
) -> None:
    report = await FaultRun(kafka_to_break, tmp_path, seed=seed, say=print).run(seconds, faults)
    assert set(report.faults) == set(faults)
    assert report.broken == []
    assert report.requests == report.events
    assert report.statuses()[200] > 50  # how many get through in the time depends on the machine
    assert set(report.statuses()) <= {0, 200, 503, 504}


def test_the_checks_find_what_is_lost_doubled_and_foreign():
    events = [{"id": "a"}, {"id": "b"}, {"id": "b"}, {"id": "d"}]
    assert list(log_differences(["a", "b"], events[:2])) == []
    assert list(log_differences(["a", "b", "c", "c"], events)) == [
        "1 requests stand in the log twice, c among them",
        "1 requests have no event, c among them",
        "1 requests have more than one event, b among them",
        "1 events have no request, d among them",
    ]


@pytest.mark.parametrize(
    ("call", "event", "found"),
    [
        (Call("a", 200, ANSWER, 0.1), ANSWER, []),
        (Call("a", 503, {"error": {}}, 0.1), None, []),
        (Call("", 0, {}, 9.0), None, []),
        (Call("a", 200, ANSWER, 0.1), None, ["call a was answered and has no event"]),
        (Call("a", 200, ANSWER, 0.1), {**ANSWER, "score": 0.8}, ["the answer to call a is not its event"]),
        (Call("a", 200, ANSWER, 9.0), ANSWER, ["call a took 9.0 s, its deadline is 3 s"]),
        (Call("a", 400, {"error": {"code": 40008}}, 0.1), {"error": {"code": 40008}}, []),
        (
            Call("a", 400, {"error": {"code": 40008}}, 0.1),
            ANSWER,
            ["the error that call a got is not that of its event"],
        ),
        (Call("a", 502, {}, 0.1), None, ["call a ended with HTTP status 502 and no error"]),
        (Call("a", 500, {"error": {}}, 0.1), None, ["call a was answered with HTTP status 500: {'error': {}}"]),
    ],
)
def test_the_checks_find_an_answer_that_is_late_or_not_its_event(call, event, found):
    assert list(call_differences(call, event, 3)) == found
