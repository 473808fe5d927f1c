"""Which part of the system a stack belongs to, and a small run of the whole benchmark."""

import shutil

import pytest
from click.testing import CliRunner

from bench import cost
from bench.cost_parts import PARTS, part_of, samples_of


@pytest.mark.parametrize(
    ("stack", "part"),
    [
        ([("pybase64._pybase64", "x"), ("ingest.pictures", "decoded"), ("ingest.http", "call")], "base64"),
        ([("onnxruntime.capi.session", "run"), ("models.network", "run"), ("engine.look", "look")], "engine"),
        ([("engine.calls.match", "decide"), ("processor.processing", "<lambda>")], "engine"),
        ([("engine.calls.match", "event"), ("processor.outputs", "outputs")], "processing"),
        ([("broker.embedded.transaction", "append"), ("threading", "run")], "log append"),
        ([("broker.embedded.upkeep", "checkpoint"), ("broker.embedded.housekeeper", "_run")], "checkpointing"),
        ([("selectors", "select"), ("asyncio.base_events", "_run_once")], "hand-overs"),
        ([("asyncio.events", "_run"), ("aiohttp.web_protocol", "start")], "HTTP and JSON"),
        ([("bench.cost_server", "main")], "rest"),
        ([("enginery", "x")], "rest"),
        ([], "rest"),
    ],
)
def test_the_innermost_frame_that_says_something_names_the_part(stack: list[tuple[str, str]], part: str) -> None:
    assert part_of(stack) == part
    assert part in PARTS


def test_the_stacks_of_py_spy_are_counted_by_thread_and_part() -> None:
    raw = """thread (7): match_0;Thread.run (/lib/python3.11/threading.py:982);decide (/here/engine/calls/match.py:5) 3
thread (7): match_0;Thread.run (/lib/python3.11/threading.py:982);_worker (/lib/python3.11/queue.py:5) 1
thread (9): MainThread;<module> (/here/bench/x.py:1);f (/v/lib/python3.11/site-packages/aiohttp/web.py:2) 5
not a stack at all
"""
    found = samples_of(raw, "/here")
    assert {thread: (samples.name, dict(samples.parts)) for thread, samples in found.items()} == {
        7: ("match", {"engine": 3, "hand-overs": 1}),
        9: ("MainThread", {"HTTP and JSON": 5}),
    }


@pytest.mark.slow
def test_a_small_run_prints_what_each_part_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICTUREMATCH_MODELS__KIND", "stand-in")
    arguments = ["--requests", "64", "--rounds", "1", "--people", "5", "--threads"]
    finished = CliRunner().invoke(cost.main, arguments, catch_exceptions=False, obj=None)
    assert finished.exit_code == 0, finished.output
    for words in ("base64", "log append", "engine", "ours beside the engine", "latency p99.9, ms", "MainThread"):
        assert words in finished.stdout


def test_without_py_spy_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path: None)
    finished = CliRunner().invoke(cost.main, [])
    assert finished.exit_code != 0
    assert "pip install py-spy" in finished.output
