"""Configs, PrettyScore and HistoryEventUrl (docs/interface.md)."""

from typing import Any

import aiohttp
import pytest

from contract.answers import Answer, RefusedAnswer, SettingsAnswer
from contract.http import CONFIGS_PATH, HISTORY_EVENT_URL_PATH, PRETTY_SCORE_PATH
from contract.requests import Request
from contract.site_requests import SettingsRequest
from contract.site_settings import SITE_SETTINGS, with_values
from picturematch.settings import Settings, configured, load_settings
from tests.wire.harness import HttpReply, Serving, Site

URL = "http://192.168.1.100:9828/EventServer/api/SophonFogHistoryEvent"
RECEIVERS: dict[str, Any] = {"history_upload_event_url": [URL], "content-type": "json", "reported_peroid": 5}


def put(site: Site, **values: Any) -> None:
    """Put settings into the site that the server has read."""
    site.people.site, _ = with_values(site.people.site, values)


async def configs(site: Site, values: Any) -> HttpReply:
    return await site.call("PUT", CONFIGS_PATH, json={"config_dict": values})


async def asked(site: Site) -> dict[str, Any]:
    (request,) = site.requests
    assert isinstance(request, SettingsRequest)
    return request.values


# Configs.


async def test_all_settings_are_listed_by_the_vendors_names_and_in_the_vendors_forms(site: Site) -> None:
    reply = await site.call("GET", f"{CONFIGS_PATH}?")
    assert reply.code == 200
    data = reply.json["data"]
    assert set(data) == set(SITE_SETTINGS)
    assert (data["THRESHOLD"], data["THRESHOLD_RANGE"]) == (82.0, "0.0,82.0,100.0")
    assert (data["FIQA_LEVEL"], data["DEFAULT_GROUP_SIZE"], data["HISTORY_UPLOAD_EVENT_URL"]) == ("low", 100_000, "")
    assert reply.headers["x-gallery-version"] == "0"


async def test_what_the_site_has_set_is_listed_and_what_the_operator_has_pinned_wins(serving: Serving) -> None:
    settings = load_settings(None, {"PICTUREMATCH_MATCHING__MAX_PEOPLE": "50"})
    async with serving(given=configured(settings, frozenset({"matching.max_people"}))) as site:
        put(site, DEFAULT_GROUP_SIZE=7, FIQA_LEVEL="high", HISTORY_UPLOAD_EVENT_URL=(URL, URL + "2"))
        data = (await site.call("GET", CONFIGS_PATH)).json["data"]
    assert (data["DEFAULT_GROUP_SIZE"], data["FIQA_LEVEL"]) == (50, "high")
    assert data["HISTORY_UPLOAD_EVENT_URL"] == f"{URL},{URL}2"


async def test_one_setting_is_shown_under_its_own_url(site: Site) -> None:
    put(site, THRESHOLD=90.0)
    reply = await site.call("GET", f"{CONFIGS_PATH}/THRESHOLD")
    assert (reply.code, reply.json) == (200, {"data": {"THRESHOLD": 90.0}})


@pytest.mark.parametrize(("name", "code"), [("PASSMODE", 40400), ("threshold", 40400), ("", 40071), ("A" * 65, 40071)])
async def test_a_setting_that_there_is_not_is_not_found(site: Site, name: str, code: int) -> None:
    assert (await site.call("GET", f"{CONFIGS_PATH}/{name}")).code == code


async def test_a_change_reaches_the_log_as_it_was_sent_and_the_answer_names_both_kinds(serving: Serving) -> None:
    async def some(request: Request) -> Answer:
        assert isinstance(request, SettingsRequest)
        return SettingsAnswer(values={"THRESHOLD": 85.0}, failed={"DEFAULT_GROUP_SIZE": "pinned", "INIT": "unknown"})

    async with serving(some) as site:
        sent = {"THRESHOLD": "85", "DEFAULT_GROUP_SIZE": 9, "INIT": None}
        reply = await configs(site, sent)
        assert (reply.code, reply.headers["x-gallery-version"]) == (200, "7")
        assert reply.json == {
            "data": {
                "success_configs": ["THRESHOLD"],
                "failed_configs": ["DEFAULT_GROUP_SIZE", "INIT"],
                "reasons": {"DEFAULT_GROUP_SIZE": "pinned", "INIT": "unknown"},
            }
        }
        assert await asked(site) == sent


async def test_receivers_of_a_host_that_is_not_allowed_fail_and_the_rest_is_set(site: Site) -> None:
    reply = await configs(site, {"HISTORY_UPLOAD_EVENT_URL": "http://hostile.test/", "REPORTED_PEROID": 9})
    data = reply.json["data"]
    assert (data["success_configs"], data["failed_configs"]) == (["REPORTED_PEROID"], ["HISTORY_UPLOAD_EVENT_URL"])
    assert "ingest.event_url_hosts" in data["reasons"]["HISTORY_UPLOAD_EVENT_URL"]
    assert await asked(site) == {"REPORTED_PEROID": 9}


async def test_where_nothing_may_be_set_nothing_reaches_the_log(site: Site) -> None:
    for values in ({"HISTORY_UPLOAD_EVENT_URL": ["http://hostile.test/"]}, {}):
        reply = await configs(site, values)
        assert (reply.code, reply.json["data"]["success_configs"]) == (200, [])
    assert site.requests == []


# PrettyScore.


async def test_the_scores_are_shown_and_set(site: Site) -> None:
    assert (await site.call("GET", PRETTY_SCORE_PATH)).json == {"data": {"threshold_range": [0.0, 82.0, 100.0]}}
    reply = await site.call("PUT", PRETTY_SCORE_PATH, json={"threshold_range": [0, 80, 100]})
    assert (reply.code, reply.json) == (200, {"data": {"threshold_range": [0.0, 80.0, 100.0]}})
    assert await asked(site) == {"THRESHOLD_RANGE": [0.0, 80.0, 100.0]}
    put(site, THRESHOLD_RANGE=(0.0, 80.0, 100.0))
    site.people.version = site.gallery_version
    assert (await site.call("GET", PRETTY_SCORE_PATH)).json == {"data": {"threshold_range": [0.0, 80.0, 100.0]}}


async def test_scores_that_are_pinned_are_refused_by_name(serving: Serving) -> None:
    async def pinned(request: Request) -> Answer:
        return SettingsAnswer(values={}, failed={"THRESHOLD_RANGE": "the operator has pinned it"})

    async with serving(pinned) as site:
        reply = await site.call("PUT", PRETTY_SCORE_PATH, json={"threshold_range": [0, 80, 100]})
        assert reply.code == 40091
        assert "THRESHOLD_RANGE" in reply.json["error"]["message"]


# HistoryEventUrl.


async def test_receivers_are_stored_and_answered_in_the_vendors_form(site: Site) -> None:
    reply = await site.call("POST", HISTORY_EVENT_URL_PATH, json={**RECEIVERS, "history_need_spot_pic": False})
    assert reply.code == 200
    assert reply.json == {
        "data": {
            "history_upload_event_url": [URL],
            "history_need_reg_pic": True,
            "history_need_spot_pic": False,
            "history_need_recognize_face": True,
            "content-type": "json",
            "reported_peroid": 5,
            "message": "set history event url success",
        }
    }
    assert await asked(site) == {
        "HISTORY_UPLOAD_EVENT_URL": [URL],
        "HISTORY_CONTENT_TYPE": "json",
        "REPORTED_PEROID": 5,
        "HISTORY_EVENT_NEED_REG_PIC": True,
        "HISTORY_EVENT_NEED_SPOT_PIC": False,
        "HISTORY_EVENT_NEED_RECOGNIZE_FACE": True,
    }


async def test_a_get_answers_the_same_without_the_message(site: Site) -> None:
    put(site, HISTORY_UPLOAD_EVENT_URL=(URL,), HISTORY_CONTENT_TYPE="form-data", REPORTED_PEROID=9)
    reply = await site.call("GET", HISTORY_EVENT_URL_PATH)
    assert reply.json["data"] == {
        "history_upload_event_url": [URL],
        "history_need_reg_pic": True,
        "history_need_spot_pic": True,
        "history_need_recognize_face": True,
        "content-type": "form-data",
        "reported_peroid": 9,
    }


@pytest.mark.parametrize(
    "urls",
    [
        [("history_upload_event_url", URL), ("history_upload_event_url", URL + "2")],
        [("history_upload_event_url", f'["{URL}", "{URL}2"]')],
        [("history_upload_event_url", f"{URL},{URL}2")],
    ],
    ids=["repeated", "json", "commas"],
)
async def test_a_form_says_the_same_as_json(site: Site, urls: list[tuple[str, str]]) -> None:
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in (
        *urls,
        ("content-type", "form-data"),
        ("reported_peroid", "7"),
        ("history_need_reg_pic", "False"),
    ):
        form.add_field(name, value)
    reply = await site.call("POST", HISTORY_EVENT_URL_PATH, data=form)
    assert reply.code == 200, reply.json
    values = await asked(site)
    assert values["HISTORY_UPLOAD_EVENT_URL"] == [URL, URL + "2"]
    assert (values["HISTORY_CONTENT_TYPE"], values["REPORTED_PEROID"]) == ("form-data", 7)
    assert (values["HISTORY_EVENT_NEED_REG_PIC"], values["HISTORY_EVENT_NEED_SPOT_PIC"]) == (False, True)


async def test_a_form_is_read_by_no_other_call(site: Site) -> None:
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("threshold_range", "0,80,100")
    assert (await site.call("PUT", PRETTY_SCORE_PATH, data=form)).code == 40001


async def test_a_page_of_another_origin_cannot_send_the_form(site: Site) -> None:
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in (("history_upload_event_url", URL), ("content-type", "json"), ("reported_peroid", "7")):
        form.add_field(name, value)
    headers = {"Origin": "http://hostile.test"}
    assert (await site.call("POST", HISTORY_EVENT_URL_PATH, data=form, headers=headers)).code == 40180
    assert site.requests == []


async def test_no_receiver_at_all_may_be_set_whatever_hosts_are_allowed(serving: Serving) -> None:
    async with serving(event_url_hosts=()) as site:
        body = {**RECEIVERS, "history_upload_event_url": []}
        assert (await site.call("POST", HISTORY_EVENT_URL_PATH, json=body)).code == 200
        refused = await site.call("POST", HISTORY_EVENT_URL_PATH, json=RECEIVERS)
        assert refused.code == 40091
        assert "ingest.event_url_hosts" in refused.json["error"]["message"]


async def test_an_address_in_a_trusted_network_may_be_a_receiver_and_a_name_may_not(serving: Serving) -> None:
    async with serving(event_url_hosts=(), trusted_networks=("127.0.0.0/8", "203.0.113.0/24")) as site:
        for host, code in (("203.0.113.9", 200), ("203.0.114.9", 40091), ("gate.example", 40091)):
            body = {**RECEIVERS, "history_upload_event_url": [f"http://{host}:9828/events"]}
            assert (await site.call("POST", HISTORY_EVENT_URL_PATH, json=body)).code == code, host
        sent = {"HISTORY_UPLOAD_EVENT_URL": ["http://203.0.113.9/"]}
        assert (await configs(site, sent)).json["data"]["success_configs"] == list(sent)


async def test_the_processors_refusal_is_the_answer(serving: Serving) -> None:
    async def refusing(request: Request) -> Answer:
        return RefusedAnswer(code=50380, message="not now")

    async with serving(refusing) as site:
        for method, path, body in (
            ("PUT", CONFIGS_PATH, {"config_dict": {"THRESHOLD": 90}}),
            ("PUT", PRETTY_SCORE_PATH, {"threshold_range": [0, 80, 100]}),
            ("POST", HISTORY_EVENT_URL_PATH, RECEIVERS),
        ):
            assert (await site.call(method, path, json=body)).code == 50380


async def test_from_another_machine_every_call_needs_a_key(serving: Serving) -> None:
    async with serving(trusted_networks=(), api_keys=("first-key",)) as site:
        for method, path in (
            ("GET", CONFIGS_PATH),
            ("GET", f"{CONFIGS_PATH}/THRESHOLD"),
            ("PUT", CONFIGS_PATH),
            ("GET", PRETTY_SCORE_PATH),
            ("PUT", PRETTY_SCORE_PATH),
            ("GET", HISTORY_EVENT_URL_PATH),
            ("POST", HISTORY_EVENT_URL_PATH),
        ):
            assert (await site.call(method, path)).code == 40180


def test_the_operators_settings_of_a_test_are_those_of_a_fresh_server() -> None:
    assert configured(Settings(), frozenset()).values["matching.score_range"] == (0.0, 82.0, 100.0)
