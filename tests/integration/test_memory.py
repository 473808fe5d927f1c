"""A server that has matched large pictures goes back to about the memory that it had before."""

import asyncio
import sys
from collections.abc import Sequence

import psutil
import pytest

from bench.load import match_call, run_load
from bench.server import running_server
from tests.support import pictures

LARGE, AT_A_TIME = 48, 8
MOST_KEPT = 1.6


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is told so on Linux only")
def test_the_memory_of_large_pictures_is_given_back():
    # Just below the limit, and below 32 MB decoded: blocks of that size glibc learns to keep.
    large = [match_call(pictures.encoded(pictures.colours(3200, 2500), ".png"), f"10.1.0.{i}") for i in range(4)]
    small = [match_call(pictures.jpeg(pictures.busy(640, 480, seed)), f"10.0.0.{seed}") for seed in range(4)]
    stand_in = {"PICTUREMATCH_MODELS__KIND": "stand-in", "PICTUREMATCH_INGEST__DEADLINE_MS": "60000"}
    with running_server({**stand_in, "PICTUREMATCH_PROCESSOR__WORKERS": "4"}) as server:
        process = psutil.Process(server.pid)

        def after(calls: Sequence[bytes], count: int) -> float:
            asyncio.run(run_load(server.port, calls, count, AT_A_TIME))
            return process.memory_info().rss / 2**20

        before = after(small, 100)
        after(large, LARGE)
        afterwards = after(small, 100)

    assert afterwards <= MOST_KEPT * before, f"{before:.0f} MiB before, {afterwards:.0f} MiB after {LARGE} large ones"
