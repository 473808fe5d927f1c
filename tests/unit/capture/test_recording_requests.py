"""Which records of the requests topic a capture has: match requests, those of version 6 too."""

from typing import Any

from broker.port import Record
from capture.recording.requests import match_call_of
from contract.codec import encode
from contract.requests import FiqaRequest, MatchRequest


def record_of(value: bytes) -> Record:
    return Record("requests", 0, 0, 0, None, value)


def match(**fields: Any) -> MatchRequest:
    times = {"compare_time_s": 1.0, "received_time_s": 1.0}
    return MatchRequest(request_id="r", device_ip="10.0.0.1", picture=b"p", **times, **fields)


def test_a_capture_has_match_requests_of_both_versions_of_the_interface() -> None:
    assert match_call_of(record_of(encode(match()))) == match()
    assert match_call_of(record_of(encode(match(by_permission=True)))) == match(by_permission=True)
    assert match_call_of(record_of(encode(FiqaRequest(request_id="f", picture=b"p", received_time_s=1.0)))) is None
    assert match_call_of(record_of(b"no request")) is None
