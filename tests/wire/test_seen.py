"""Searches by picture among the faces of past matches, on a whole server with stand-in networks."""

import asyncio
import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.audit import SearchRecord, decode_audit
from contract.calls.match import MATCH
from contract.calls.people import ENROL
from contract.calls.search import PICTURE_SEARCH, SEEN
from engine.vision.decode.jpeg import encode_jpeg
from tests.support.faces import photo
from tests.wire.whole_site import WholeSite, whole_site

START_S = time.time()


@pytest.fixture(scope="module")
def searching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeSite]:
    """A server that allows searches, after five matches of two people."""
    with whole_site(tmp_path_factory.mktemp("seen"), picture_search=True) as site:
        enrol = {"identity_id": "ana", "group_name": "default_group", "reg_photo": encoded(61), "fiqa_level": "no"}
        post(site, ENROL, {**enrol, "info": {"name": "Ana"}})
        for number, seed in enumerate((61, 62, 61, 62, 61)):
            post(site, MATCH, {"device_ip": f"10.8.0.{number % 2}", "rgb_image_base64": encoded(seed)})
        until_it_holds(site, lambda: len(found(site, threshold=0)["event_list"]) == 5)
        yield site


def encoded(seed: int) -> str:
    return base64.b64encode(photo(seed)).decode()


def post(site: WholeSite, declaration: Any, body: dict[str, Any]) -> dict[str, Any]:
    status, answer = site.post(declaration, json.dumps(body))
    assert status == 200, answer
    return answer  # type: ignore[no-any-return]


def found(site: WholeSite, seed: int = 61, **fields: Any) -> dict[str, Any]:
    status, answer = site.post(PICTURE_SEARCH, json.dumps({"face_image_base64": encoded(seed), **fields}))
    return answer if status == 200 else {"event_list": [], "error": answer}


def until_it_holds(site: WholeSite, condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    ends = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < ends
        site.runner.run(asyncio.sleep(0.05))


def test_the_vendors_search_finds_the_events_of_a_face_in_the_order_of_time(searching: WholeSite) -> None:
    answer = found(searching, reason="a bag was left")
    assert (answer["retcode"], answer["ret_code"], answer["have_more"], answer["total_count"]) == ("1", 1, False, 3)
    times = [event["timestamp"] for event in answer["event_list"]]
    assert times == sorted(times, reverse=True)
    assert {event["identity_id"] for event in answer["event_list"]} == {"ana"}
    assert all(event["compare_score"] > 0.82 for event in answer["event_list"])
    oldest_first = found(searching, reverse=False)["event_list"]
    assert [event["timestamp"] for event in oldest_first] == sorted(times)
    strangers = found(searching, 62)["event_list"]
    assert [(event["identity_id"], event["identity_name"]) for event in strangers] == [("", "stranger")] * 2


def test_a_search_goes_on_where_it_ended(searching: WholeSite) -> None:
    answer = found(searching, threshold=0)
    assert len(answer["event_list"]) == 5
    rest = found(searching, threshold=0, last_end_timestamp=answer["endtimestamp"])
    assert rest["event_list"] == []


def test_devices_and_times_limit_a_search(searching: WholeSite) -> None:
    assert found(searching, threshold=0, endtime=START_S - 10, starttime=START_S - 20)["event_list"] == []
    assert found(searching, threshold=0, device_id_list=["nobody"])["event_list"] == []
    for fields, field in (
        ({"starttime": 100, "endtime": 50}, "endtime"),
        ({"starttime": 100, "endtime": 100 + 32 * 86_400}, "endtime"),
    ):
        assert field in found(searching, **fields)["error"]["error"]["message"]


def test_faces_are_ranked_with_their_chance_hits(searching: WholeSite) -> None:
    body = {"face_image_base64": encoded(61), "since": START_S - 60, "most": 4, "reason": "who was it"}
    ranked = post(searching, SEEN, body)["data"]
    assert ranked["among"] == 5
    assert [face["rank"] for face in ranked["faces"]] == [1, 2, 3, 4]
    cosines = [face["cosine"] for face in ranked["faces"]]
    assert cosines == sorted(cosines, reverse=True)
    assert [face["identity_id"] for face in ranked["faces"][:3]] == ["ana"] * 3


def test_every_search_is_audited_and_says_why(searching: WholeSite) -> None:
    found(searching, reason="a bag was left")
    post(searching, SEEN, {"face_image_base64": encoded(61), "since": START_S - 60, "most": 4, "reason": "who was it"})
    records = [decode_audit(record.value or b"") for record in searching.read(searching.settings.topics.audit)]
    searches = [record for record in records if isinstance(record, SearchRecord)]
    assert {"a bag was left", "who was it"} <= {record.reason for record in searches}
    ranked = next(record for record in searches if record.reason == "who was it")
    assert (ranked.action, ranked.compared, ranked.found, ranked.actor) == ("seen", 5, 4, "trusted network")


def test_a_search_that_is_refused_is_audited_too(searching: WholeSite) -> None:
    nobody = base64.b64encode(encode_jpeg(np.full((200, 200, 3), 90, np.uint8))).decode()
    for declaration, more in ((PICTURE_SEARCH, {}), (SEEN, {"since": START_S})):
        sent = {"face_image_base64": nobody, "reason": f"nobody, {declaration.route}", **more}
        status, answer = searching.post(declaration, json.dumps(sent))
        assert (status, answer["error"]["code"]) == (400, 40004)
    records = [decode_audit(record.value or b"") for record in searching.read(searching.settings.topics.audit)]
    refused = [one for one in records if isinstance(one, SearchRecord) and one.reason.startswith("nobody")]
    assert {(one.action, one.error, one.compared, one.found) for one in refused} == {
        ("picture_search", 40004, 0, 0),
        ("seen", 40004, 0, 0),
    }
    answered = [one for one in records if isinstance(one, SearchRecord) and not one.reason.startswith("nobody")]
    assert all(one.error is None for one in answered if one.compared)


def test_the_threshold_of_a_search_may_have_a_fraction(searching: WholeSite) -> None:
    assert len(found(searching, threshold=82.5)["event_list"]) == 3
    assert "threshold" in found(searching, threshold=100.5)["error"]["error"]["message"]


def test_a_picture_that_is_not_good_enough_is_refused_where_a_level_is_asked_for(searching: WholeSite) -> None:
    small = base64.b64encode(photo(61, size=90)).decode()
    status, answer = searching.post(PICTURE_SEARCH, json.dumps({"face_image_base64": small, "fiqa_level": "high"}))
    assert (status, answer["error"]["code"]) == (400, 40006)
    assert "face_size" in answer["error"]["message"]
    none = base64.b64encode(Path("tests/wire/test_seen.py").read_bytes()).decode()
    assert found(searching)["event_list"]
    status, answer = searching.post(PICTURE_SEARCH, json.dumps({"face_image_base64": none}))
    assert (status, answer["error"]["code"]) == (400, 40003)


def test_without_the_operators_permission_nothing_is_searched(tmp_path: Path) -> None:
    with whole_site(tmp_path) as whole:
        for declaration, body in ((PICTURE_SEARCH, {}), (SEEN, {"since": 1})):
            status, answer = whole.post(declaration, json.dumps({"face_image_base64": encoded(61), **body}))
            assert (status, answer["error"]["code"]) == (404, 40400)
            assert "ingest.picture_search" in answer["error"]["message"]
