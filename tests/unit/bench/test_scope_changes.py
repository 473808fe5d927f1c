"""`bench.scope_changes` finds a promise that does not hold: that an ingress learns a change too late."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from bench.scoperun import AIM_MS, RunFailed, ScopeReport, ScopeRun


class Site:
    """Who may pass at the door, for the calls that the benchmark makes."""

    def __init__(self) -> None:
        self.groups, self.permissions, self.device = {"doors"}, {"day"}, ("doors", "day")
        self.keys: set[str] = set()
        self.past = [True, True]
        """What `passes` was, the present last."""
        self.past_keys: list[set[str]] = [set(), set()]

    @property
    def passes(self) -> bool:
        return "doors" in self.groups and "day" in self.permissions and self.device == ("doors", "day")

    def take(self, method: str, what: str, body: dict[str, Any]) -> None:
        if what == "GroupUsers":
            (self.groups.add if method == "PUT" else self.groups.discard)("doors")
        elif what == "users" and method == "PUT":
            self.permissions = set(body["info"]["permission_ids"])
        elif what == "Devices":
            (device,) = body["devices_list"]
            self.device = device["group_id"], device["permission_id"]
        elif what == "keys":
            (self.keys.add if method == "POST" else self.keys.discard)(body["name"])
        self.past.append(self.passes)
        self.past_keys.append(set(self.keys))


class Ingress:
    """An ingress that answers matches as it was `behind` changes ago. A kill and a start cost nothing."""

    def __init__(self, site: Site, behind: int = 0, refuses: bool = False) -> None:
        self.site, self.behind, self.refuses = site, behind, refuses
        self.judges_no_key = False
        self.name, self.port, self.kills = "ingest", 0, 0

    async def start(self) -> None:
        return

    async def end(self) -> int:
        self.kills += 1
        return 0

    async def answer(self, request: web.Request) -> web.Response:
        what = request.path.rpartition("/")[2]
        body = await request.json() if request.can_read_body else {}
        if what == "PictureMatch":
            if self.refuses:
                return web.json_response({"error": {}}, status=503)
            return web.json_response({"identity_id": "ada" if self.site.past[-1 - self.behind] else ""})
        if request.method == "GET" and "X-API-Key" in request.headers:
            return self.judge_key(request.headers["X-API-Key"])
        if request.method == "GET":
            return web.json_response({"data": [{"_id": request.query["info.name"]}]})
        if what != "groups":
            self.site.take(request.method, what, body)
        return web.json_response({"data": {"success_devices": [{}], "key": body.get("name")}})

    def judge_key(self, key: str) -> web.Response:
        if self.refuses or self.judges_no_key:
            message = "too many wrong API keys came from this address; the next one is checked in 1 s"
        elif key in self.site.past_keys[-1 - self.behind]:
            return web.json_response({"data": {}})
        else:
            message = "the API key is wrong"
        return web.json_response({"error": {"code": 40180, "message": message}}, status=401)


@asynccontextmanager
async def serving(*ingresses: Ingress) -> AsyncIterator[None]:
    runners = []
    for ingress in ingresses:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", ingress.answer)
        runners.append(web.AppRunner(app))
        await runners[-1].setup()
        await web.TCPSite(runners[-1], "127.0.0.1", 0).start()
        ingress.port = runners[-1].addresses[0][1]
    try:
        yield
    finally:
        for runner in runners:
            await runner.cleanup()


async def judged(one: Ingress, other: Ingress, changes: int = 10, kills: int = 0) -> ScopeReport:
    async with serving(one, other), ScopeRun(one, other, [other], 7, lambda _: None) as run:
        return await run.run(changes, kills)


async def test_changes_that_are_in_force_at_once_break_no_promise() -> None:
    site = Site()
    one, other = Ingress(site), Ingress(site)
    report = await judged(one, other, kills=2)
    assert report.broken == []
    assert (report.changes.total(), len(report.lags_ms), report.unjudged) == (10, 10, 0)
    assert {"API key withdrawn", "API key restored"} < set(report.changes)
    assert (other.kills, report.kills["ingest"]) == (2, 2)
    assert report.load[200] > 0


async def test_another_ingress_that_learns_a_change_too_late_breaks_a_promise_for_each_change() -> None:
    site = Site()
    report = await judged(Ingress(site), Ingress(site, behind=1))
    assert len(report.broken) == 10
    assert min(report.lags_ms) > AIM_MS


async def test_an_ingress_that_learns_its_own_change_late_breaks_a_promise() -> None:
    site = Site()
    report = await judged(Ingress(site, behind=1), Ingress(site))
    assert len(report.broken) == 10
    assert all("the same ingress" in sentence for sentence in report.broken)


async def test_an_ingress_that_answers_no_probe_proves_nothing_and_is_reported() -> None:
    site = Site()
    report = await judged(Ingress(site), Ingress(site, refuses=True))
    assert (report.unjudged, report.lags_ms, report.broken) == (10, [], [])


async def test_a_key_that_is_refused_without_a_comparison_is_no_old_answer_and_proves_nothing() -> None:
    site = Site()
    other = Ingress(site)
    other.judges_no_key = True
    report = await judged(Ingress(site), other)
    assert (report.unjudged, len(report.lags_ms), report.broken) == (2, 8, [])


async def test_a_change_that_is_refused_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(self: Ingress, request: web.Request) -> web.Response:
        return web.json_response({"error": {"code": 40491}}, status=404)

    monkeypatch.setattr(Ingress, "answer", refuse)
    site = Site()
    with pytest.raises(RunFailed, match="was refused"):
        await judged(Ingress(site), Ingress(site))
