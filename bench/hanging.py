"""Whether a receiver that hangs disturbs anybody else: `python -m bench.hanging`.

Two servers run at the same time, so that the machine disturbs both alike, with the same load and the same sinks, JSON
lines and a webhook. The second server also has a webhook and a receiver of uploads that never answer. Printed side by
side: how long matches take, how far the two good sinks are behind, and each server's memory.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count, cycle
from pathlib import Path

import aiohttp
import click
import numpy as np
import psutil
from prometheus_client.parser import text_string_to_metric_families

from bench.pictures import drawn_photo
from bench.receiver import running_receiver
from bench.server import Server, running_server

_GOOD = ("files", "good")
_DEVICES = 16
_LOOK_S = 1.0
_MIB = 2**20
_ANSWER_S = 10.0


@dataclass
class _Run:
    """What was measured of one server."""

    latencies_ms: list[float] = field(default_factory=list)
    failed: int = 0
    lag_records: list[float] = field(default_factory=list)
    lag_s: list[float] = field(default_factory=list)
    resident_mib: list[float] = field(default_factory=list)
    undelivered: float = 0.0


@click.command(epilog="Example: python -m bench.hanging --minutes 2")
@click.option("--minutes", default=10.0, show_default=True, help="Minutes of the run.")
@click.option("--rate", default=10.0, show_default=True, help="Matches a second.")
@click.option("--kind", default="stand-in", show_default=True, help="The networks: stand-in or networks.")
def main(minutes: float, rate: float, kind: str) -> None:
    """Print the figures of a server without a hanging receiver, and of one with two of them."""
    runs = _measure(60 * minutes, rate, kind)
    click.echo("| | without | with hanging receivers |")
    click.echo("|---|---|---|")
    for words, share in (("matches, median in ms", 50), ("matches, 95th percentile in ms", 95), ("99th", 99)):
        _line(words, [_percentile(run.latencies_ms, share) for run in runs])
    _line("matches that failed", [float(run.failed) for run in runs])
    _line("most records that a good sink was behind", [max(run.lag_records) for run in runs])
    _line("longest lag of a good sink, in s", [max(run.lag_s) for run in runs])
    _line("memory after a tenth of the run, in MiB", [run.resident_mib[len(run.resident_mib) // 10] for run in runs])
    _line("memory at the end, in MiB", [run.resident_mib[-1] for run in runs])
    _line("records that the hanging receivers are behind", [run.undelivered for run in runs])


def _line(words: str, values: Sequence[float]) -> None:
    click.echo(f"| {words} | {' | '.join(f'{value:,.2f}' for value in values)} |")


def _percentile(values: Sequence[float], share: float) -> float:
    return float(np.percentile(values, share))


def _measure(seconds: float, rate: float, kind: str) -> Sequence[_Run]:
    """Return what was measured of a server without hanging receivers, and of one with them."""
    with ExitStack() as stack:
        fast = stack.enter_context(running_receiver("fast"))
        dead = stack.enter_context(running_receiver("hang"))
        loads = [_load(_server(stack, kind, fast, to), seconds, rate, to) for to in (None, dead)]
        return asyncio.run(_together(loads))


def _server(stack: ExitStack, kind: str, fast: str, dead: str | None) -> Server:
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="picturematch-bench-"))
    sinks = [
        f'{{kind="jsonl", name="files", out="{Path(folder) / "events"}"}}',
        f'{{kind="webhook", name="good", url="{fast}"}}',
    ]
    if dead is not None:
        sinks.append(f'{{kind="webhook", name="hanging", url="{dead}"}}')
    settings = {"PICTUREMATCH_MODELS__KIND": kind, "PICTUREMATCH_SINKS": f"[{', '.join(sinks)}]"}
    return stack.enter_context(running_server(settings))


async def _together(loads: Sequence[Coroutine[None, None, _Run]]) -> Sequence[_Run]:
    return await asyncio.gather(*loads)


async def _load(server: Server, seconds: float, rate: float, uploads_to: str | None) -> _Run:
    """Send matches at a rate, whatever the answers do, and look at the server every second."""
    run, process = _Run(), psutil.Process(server.pid)
    bodies = cycle([_body(number) for number in range(_DEVICES)])
    timeout = aiohttp.ClientTimeout(total=_ANSWER_S)
    async with aiohttp.ClientSession(server.url, timeout=timeout) as session, asyncio.TaskGroup() as sending:
        enrolment = {"identity_id": "1", "reg_photo": drawn_photo(1), "info": {"name": "one"}, "fiqa_level": "no"}
        await _post(session, "/SophonFogSys/api/users", json.dumps({**enrolment, "group_name": "default_group"}))
        if uploads_to is not None:
            receivers = {"history_upload_event_url": [uploads_to], "content-type": "json", "reported_peroid": 1}
            await _post(session, "/SophonFogSys/api/HistoryEventUrl", json.dumps(receivers))
        began_s = looked_s = time.perf_counter()
        for number in count(1):
            sending.create_task(_match(session, next(bodies), run))
            if time.perf_counter() - looked_s >= _LOOK_S:
                looked_s = time.perf_counter()
                sending.create_task(_look(session, process, run))
            if number >= seconds * rate:
                break
            await asyncio.sleep(max(0.0, began_s + number / rate - time.perf_counter()))
        await _look(session, process, run)
    return run


def _body(number: int) -> str:
    picture = drawn_photo(1 + number % 2)
    return json.dumps({"device_ip": f"10.0.0.{number}", "rgb_image_base64": picture})


async def _post(session: aiohttp.ClientSession, path: str, body: str) -> None:
    async with session.post(path, data=body, headers={"Content-Type": "application/json"}) as response:
        if response.status != 200:
            raise click.ClickException(f"{path} was answered with {response.status}: {await response.text()}")


async def _match(session: aiohttp.ClientSession, body: str, run: _Run) -> None:
    began_s = time.perf_counter()
    try:
        await _post(session, "/SophonMatch/api/PictureMatch", body)
    except (aiohttp.ClientError, TimeoutError, click.ClickException):
        run.failed += 1
        return
    run.latencies_ms.append(1000 * (time.perf_counter() - began_s))


async def _look(session: aiohttp.ClientSession, process: psutil.Process, run: _Run) -> None:
    """Note the memory of the server and how far its sinks are behind."""
    async with session.get("/metrics") as response:
        text = await response.text()
    lag: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if "sink" in sample.labels:
                lag.setdefault(sample.name, {})[sample.labels["sink"]] = sample.value
    records, ages = lag["picturematch_sink_lag_records"], lag["picturematch_sink_lag_seconds"]
    run.resident_mib.append(process.memory_info().rss / _MIB)
    run.lag_records.append(max(records[name] for name in _GOOD))
    run.lag_s.append(max(ages[name] for name in _GOOD))
    run.undelivered = sum(value for name, value in records.items() if name not in _GOOD)


if __name__ == "__main__":
    main()
