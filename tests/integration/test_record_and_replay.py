"""What a running system decided is recorded and decided again: unchanged, nothing differs."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from capture.reader import CaptureReader
from engine.calls.match import MatchCall
from tests.support.commands import Finished
from tests.support.passages import Passages
from tests.support.sites import Site, at, embedded_site, kafka_site


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


async def nothing_differs(site: Site, capture: Path) -> None:
    """Both ways of deciding again give the decisions of then."""
    for options in ((), ("--look",)):
        done = await replayed(site, capture, *options)
        assert (done.status, done.err) == (0, ""), (options, done.out[-3000:], done.err)


async def test_what_happened_on_the_embedded_log_is_decided_again_without_any_difference(tmp_path):
    async with embedded_site(tmp_path) as site:
        await Passages(site, seed=1).run(3)
        capture = await recorded(site, tmp_path / "capture")
        print(outcomes_of(capture))
        assert set(MatchCall.outcomes) <= set(outcomes_of(capture))
        await nothing_differs(site, capture)
