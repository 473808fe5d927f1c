"""What a running system decided is recorded and decided again: unchanged, nothing differs."""

import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from capture.reader import CaptureReader
from engine.calls.match import MatchCall
from tests.support.commands import Finished, run
from tests.support.passages import Passages
from tests.support.sites import Site, at, embedded_site, kafka_site, timed_site


def summary_of(done: Finished) -> dict[str, Any]:
    """The counts of a report."""
    summary: dict[str, Any] = json.loads(done.out.splitlines()[-1])["summary"]
    return summary


def rows_of(done: Finished) -> list[dict[str, Any]]:
    """The rows of a report that are shown."""
    return [json.loads(line) for line in done.out.splitlines()[:-1]]


def outcomes_of(folder: Path) -> Counter[str]:
    """How often each outcome is in a capture."""
    lines = (line.decision for _, line in CaptureReader(folder).lines())
    return Counter("none" if decision is None else decision.outcome for decision in lines)


async def recorded(site: Site, out: Path, *options: object) -> Path:
    """A capture of everything that a site has decided."""
    done = await at(site, "record", "--out", out, "--photos", "all", *options)
    assert (done.status, done.err) == (0, ""), done
    return out


async def replayed(site: Site, capture: Path, *options: object) -> Finished:
    return await at(site, "replay", capture, "--json", *options)


async def expect_no_difference(site: Site, capture: Path) -> None:
    """Both ways of deciding again give the decisions of then."""
    for options in ((), ("--look",)):
        done = await replayed(site, capture, *options)
        assert done.status == 0, (options, rows_of(done)[:3], done.err)
        counts = summary_of(done)
        assert counts["different"] == counts["could_not_run"] == 0
        assert counts["tiers"].keys() == {"look" if options else "decide"}, "those that expired are of no tier"


async def test_what_happened_on_the_embedded_log_is_decided_again_without_any_difference(tmp_path):
    async with embedded_site(tmp_path) as site:
        await Passages(site, seed=1).run(3)
        capture = await recorded(site, tmp_path / "capture")
        assert set(MatchCall.outcomes) <= set(outcomes_of(capture))
        await expect_no_difference(site, capture)


@pytest.mark.parametrize(
    "settings",
    [
        {"SCORE_SCALE": "percent", "ALLOW_KEEP_INFO": "true", "LIVENESS_FLOOR": "liveness_rgb"},
        {"DEVICE_NAMES_SCOPE": "false", "MATCH_QUALITY": "low", "BLACKLIST_OPENS": "true", "THRESHOLD": "0.55"},
        {"REPEAT_WINDOW_S": "3600", "EVENT_IDENTITY_INFO": "true"},
        {"ENROL_STRANGERS": "true", "MAX_STRANGERS": "2", "STRANGER_QUALITY": "no"},
    ],
    ids=["percent", "strict", "repeats", "strangers"],
)
async def test_nothing_differs_under_other_settings_of_the_operator(tmp_path, settings):
    """The capture has the policy of each decision, whatever the settings of the replay are."""
    named = {f"PICTUREMATCH_MATCHING__{name}": value for name, value in settings.items()}
    async with timed_site(tmp_path / "data", time.time() - 3600, **named) as site:
        passages = Passages(site, seed=7)
        await passages.set_up()
        for number in range(2):
            await passages.round(number)
            if "THRESHOLD" not in settings:
                await passages.change_scores()
                await passages.change_threshold()
            await passages.break_off()
        capture = await recorded(site, tmp_path / "capture")
    await expect_no_difference(site, capture)
    for options in ((), ("--look",)):
        elsewhere = await run("replay", capture, "--json", *options, PICTUREMATCH_MODELS__KIND="stand-in")
        assert (elsewhere.status, summary_of(elsewhere)["different"]) == (0, 0)


async def test_a_threshold_that_is_a_hundredth_higher_gives_differences_and_only_at_that_hundredth(tmp_path):
    async with embedded_site(tmp_path) as site:
        passages = Passages(site, seed=2)
        await passages.set_up()
        await passages.pass_many(passages.resembling_people())
        await passages.configure(THRESHOLD=84)
        await passages.pass_many(passages.resembling_people())
        capture = await recorded(site, tmp_path / "capture")
    assert summary_of(await replayed(site, capture, "--threshold", "0.5"))["different"] > 0, "84 was asked for then"
    done = await replayed(site, capture, "--threshold", "0.51", "--jobs", "1")
    assert done.status == 1
    (changed,) = [row for row in rows_of(done) if row["then"]["cosine_threshold"] == 0.5 and is_other_outcome(row)]
    assert changed["kind"] == "matched_to_stranger"
    assert 0.5 <= changed["then"]["cosine"] < 0.51


def is_other_outcome(row: dict[str, Any]) -> bool:
    return bool(row["then"]["outcome"] != row["now"]["outcome"])


async def test_what_happened_on_kafka_is_decided_again_without_any_difference(kafka_bootstrap, tmp_path):
    async with kafka_site(kafka_bootstrap, tmp_path) as site:
        passages = Passages(site, seed=3)
        await passages.set_up()
        for number in range(3):
            await passages.round(number)
            beside = asyncio.create_task(passages.round(number))
            await site.kill_one(f"process{1 + number % 2}")
            await beside
            await passages.break_off()
        capture = await recorded(site, tmp_path / "capture")
        assert set(MatchCall.outcomes) <= set(outcomes_of(capture))
        await expect_no_difference(site, capture)


WEEK_S = 7 * 86_400.0


@pytest.mark.longest
@pytest.mark.parametrize("age_s", [WEEK_S - 3600, WEEK_S + 1800], ids=["whole", "half expired"])
async def test_an_hour_that_is_a_week_old_is_decided_again_without_any_difference(tmp_path, age_s):
    """Requests are kept for a week, so that of the older hour only the second half is left."""
    ends_s = time.time()
    began_s = ends_s - age_s
    async with timed_site(tmp_path / "data", began_s) as site:
        passages = Passages(site, seed=4)
        await passages.set_up()
        for number in range(4):
            site.clock_s = began_s + 900 * number + 300
            await passages.round(number)
        recorded_since_s, recorded_until_s = began_s, began_s + 3600
        for number in range(20):
            site.clock_s = recorded_until_s + (ends_s - recorded_until_s) * (number + 1) / 20
            await passages.break_off()
            for change in (passages.delete_somebody, passages.replace_photos, passages.enrol_somebody):
                await change()
            await passages.change_threshold()
            await site.clean_up()
    hour = ("--since", recorded_since_s, "--until", recorded_until_s)
    capture = await recorded(site, tmp_path / "capture", *hour)
    await expect_no_difference(site, capture)


async def test_posting_a_capture_to_the_site_that_recorded_it_changes_nothing_there(tmp_path):
    """The site decides as before, and neither its list of devices, nor its counts, nor a further recording has it."""
    async with embedded_site(tmp_path) as site:
        passages = Passages(site, seed=5)
        await passages.set_up()
        await passages.pass_many(passages.every_outcome())
        await passages.search_v6()
        capture = await recorded(site, tmp_path / "capture")
        requests = len(list(CaptureReader(capture).lines()))
        before = await counts_at(site)
        done = await replayed(site, capture, "--url", site.url, "--concurrency", "2")
        assert done.status == 0, (rows_of(done), done.err)
        counts = summary_of(done)
        assert (counts["same"], counts["different"]) == (requests, 0)
        assert await counts_at(site) == before
        again = await at(site, "record", "--out", tmp_path / "again")
        assert f"{requests} requests left out, because they replayed others" in again.out
        assert (await at(site, "replay", tmp_path / "again")).status == 0
        assert len(list(CaptureReader(tmp_path / "again").lines())) == requests


async def counts_at(site: Site) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows of the devices, without what depends on the time, and the counts of matches."""
    listed = await at(site, "devices", "list", "--json")
    assert listed.status == 0
    devices = [json.loads(line) for line in listed.out.splitlines()]
    async with aiohttp.ClientSession() as session, session.get(f"{site.url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return devices, [line for line in lines if line.startswith('picturematch_events_total{kind="match"')]
