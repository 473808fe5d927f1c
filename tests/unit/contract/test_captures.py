import json
from collections.abc import Callable
from zlib import crc32

import pytest
from msgspec import structs
from msgspec.structs import fields as type_fields

from broker.port import Position
from contract.captures.convert import (
    body_fields,
    decision_of,
    format_manifest,
    last_lines,
    line_of,
    new_manifest,
    parse_manifest,
    request_of,
)
from contract.captures.sealed import SealedReader, sealed
from contract.captures.values import CapturedRequest, CaptureError, CaptureLine
from contract.events import RequestPlace
from contract.pictures.digest import picture_digest
from contract.requests import MatchRequest
from tests.support.records import event_of, match_request, no_face

PLACE = RequestPlace(topic="requests", partition=1, offset=12)


def read(*lines: bytes) -> list[tuple[int, CaptureLine]]:
    return list(SealedReader("requests.jsonl", CaptureLine).read(lines))


def sealed_lines(*lines: CaptureLine) -> list[bytes]:
    written, checksum = [], 0
    for line in lines:
        data, checksum = sealed(line, checksum)
        written.append(data)
    return written


def test_a_line_that_was_written_is_read_as_it_was() -> None:
    request = match_request(1)
    decision = decision_of(event_of(request, Position("requests", 1, 12)))
    line = line_of(request, PLACE, decision)

    assert read(sealed(line, 0)[0]) == [(1, line)]
    assert request_of(line, request.picture) == request
    assert line.decision is not None
    assert (line.decision.retcode, line.decision.identity_id, line.decision.score) == ("1", "7", 0.75)
    assert line.request.picture == picture_digest(request.picture)


def test_every_field_of_a_request_comes_back_from_its_line() -> None:
    examples = {"False": True, "0": 7, "liveness_off": "liveness_rgb", "None": "text", "()": (b"other",)}
    changes = {field.name: examples[str(field.default)] for field in type_fields(MatchRequest) if not field.required}
    changes |= {"ir_picture": None, "grab_fiqa_info": {"blur": 1}}
    request = structs.replace(match_request(1), **changes)
    line = read(sealed(line_of(request, PLACE, None), 0)[0])[0][1]
    assert request_of(line, request.picture, None, request.further_pictures) == request


def test_a_captured_request_has_every_field_of_the_request_with_the_same_type_and_default() -> None:
    sent = {field.name: (field.type, field.default) for field in type_fields(MatchRequest)}
    captured = {field.name: (field.type, field.default) for field in type_fields(CapturedRequest)}
    sent["device_ip"] = (sent["device_ip"][0], None)  # the log always has it; a hand-made capture may leave it out
    in_the_line = {"request_id", "received_time_s"}
    otherwise = {"picture", "ir_picture", "further_pictures", "compare_time_s"}
    assert set(sent) - in_the_line - otherwise == set(captured) - {
        "picture",
        "ir_picture",
        "further_pictures",
        "compare_time",
    }
    assert {name: sent[name] for name in set(sent) & set(captured) - otherwise} == {
        name: captured[name] for name in set(sent) & set(captured) - otherwise
    }


def test_an_error_is_kept_by_its_code() -> None:
    request = match_request(1)
    assert decision_of(event_of(request, Position("requests", 1, 12), **no_face())).error_code == 40004


def test_the_body_holds_what_the_device_sent_and_nothing_it_did_not() -> None:
    request = MatchRequest(
        request_id="r",
        device_ip="10.0.0.1",
        picture=b"x",
        ir_picture=b"y",
        compare_time_s=12.5,
        received_time_s=13.0,
        need_register_photo=True,
        liveness_mode="liveness_rgb_ir",
        grab_fiqa_info={"yaw": 3},
    )
    assert body_fields(line_of(request, PLACE, None).request) == {
        "device_ip": "10.0.0.1",
        "compare_time": 12.5,
        "need_register_photo": True,
        "liveness_mode": "liveness_rgb_ir",
        "grab_fiqa_info": {"yaw": 3},
    }


def test_fields_of_a_newer_program_are_ignored() -> None:
    data = json.loads(sealed(line_of(match_request(1), PLACE, None), 0)[0]) | {"new": 1}
    data["request"]["newer"] = [2]
    del data["sum"]
    body = json.dumps(data).encode()
    line = body[:-1] + f',"sum":"{crc32(body):08x}"}}\n'.encode()
    assert read(line)[0][1].request_id == "r1"


@pytest.mark.parametrize(
    "bad",
    [
        b"{",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'{"request_id": "1", "request": {"picture": "../../etc/passwd"}}',
        b'{"request_id": "1", "request": {"picture": "' + b"a" * 64 + b'\\n"}}',
        b'{"request_id": "1", "request": {"picture": "' + b"A" * 64 + b'"}}',
    ],
)
def test_a_line_that_is_none_is_named_by_its_number(bad: bytes) -> None:
    good = sealed_lines(line_of(match_request(1), PLACE, None))[0]
    unsealed = SealedReader("requests.jsonl", CaptureLine, sealed=False)
    with pytest.raises(CaptureError, match=r"line 2 of requests\.jsonl"):
        list(unsealed.read([good, bad]))
    with pytest.raises(CaptureError, match=r"line 2 of requests\.jsonl"):
        read(good, bad + b"\n")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda lines: [lines[0], lines[1].replace(b"10.0.0.1", b"10.0.0.2"), lines[2]], "line 2 .* is damaged"),
        (lambda lines: [lines[0], lines[2]], "line 2 .* is damaged"),
        (lambda lines: [lines[1], lines[0], lines[2]], "line 1 .* is damaged"),
        (lambda lines: [lines[0], lines[0], lines[1], lines[2]], "line 2 .* is damaged"),
        (lambda lines: [*lines[:2], lines[2][:-1]], "line 3 .* is cut"),
        (lambda lines: [*lines[:2], lines[2][:40]], "line 3 .* is cut"),
    ],
    ids=["changed", "removed", "moved", "doubled", "without its newline", "cut"],
)
def test_a_damaged_line_is_named(damage: Callable[[list[bytes]], list[bytes]], reason: str) -> None:
    lines = sealed_lines(*(line_of(match_request(n), PLACE, None) for n in range(3)))
    assert len(read(*lines)) == 3
    with pytest.raises(CaptureError, match=reason):
        read(*damage(lines))


def test_a_manifest_is_that_of_a_capture_of_a_known_version() -> None:
    assert parse_manifest(format_manifest(new_manifest(people_from=3))).people_from == 3
    assert parse_manifest(b'{"format": "picturematch-capture", "version": 1}').version == 1
    with pytest.raises(CaptureError, match="format version 3"):
        parse_manifest(b'{"format": "picturematch-capture", "version": 3}')
    for bad in (b"", b"{}", b'{"format": "other", "version": 1}', b"\xff"):
        with pytest.raises(CaptureError, match="is not the manifest of a capture"):
            parse_manifest(bad)


def lines_at(*places: tuple[int, int]) -> list[tuple[int, CaptureLine]]:
    """Lines, with their numbers, of requests at these partitions and offsets."""
    named = [RequestPlace(topic="requests", partition=partition, offset=offset) for partition, offset in places]
    return [(n, line_of(match_request(n), place, None)) for n, place in enumerate(named, start=1)]


def test_a_capture_goes_on_after_the_last_line_of_each_partition() -> None:
    lines = lines_at((0, 4), (1, 9), (0, 7))
    assert last_lines(lines) == {0: lines[2][1], 1: lines[1][1]}


def test_a_capture_whose_places_do_not_grow_is_damaged() -> None:
    with pytest.raises(CaptureError, match=r"line 3 of requests\.jsonl or an earlier line is damaged"):
        last_lines(lines_at((0, 4), (1, 9), (0, 4)))
