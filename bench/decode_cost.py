"""What hostile pictures cost: `python -m bench.decode_cost`.

For each picture of the corpus of costly ones (tests/fuzz/costly.py), in sizes near the limits: processor milliseconds
of the header check, of decoding, and of a whole look at it (check, decode, search for a face, with the real networks),
its answer, and decoding as a ratio to an ordinary JPEG of as many pixels. The best of several runs counts.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

import click
from rich.console import Console
from rich.table import Table

from bench.overhead import DirectEngine
from contract.errors import PictureRefused
from contract.pictures.affordable import require_affordable
from contract.pictures.headers import picture_header
from contract.requests import MatchRequest
from engine.calls.match import MatchCall
from engine.context import Context
from engine.policy import Policy
from engine.vision.decode.versions import decode
from picturematch.networks import install_missing
from picturematch.options import settings_of
from picturematch.wiring import open_models
from tests.fuzz.costly import Make, costly_jpegs, costly_others, ordinary

AIM_MS, AIM_RATIO = 500.0, 10.0
_JPEG_SIZES = ((2048, 2000), (3700, 3700), (5650, 5650))
_OTHER_SIZES = ((640, 480), (2000, 2000), (3840, 2160))


@click.command(epilog="Example: python -m bench.decode_cost --runs 3 --only scans")
@click.option("--runs", default=3, show_default=True, help="Runs of each, of which the best counts.")
@click.option("--only", default="", help="Only the pictures whose name holds this.")
@click.pass_context
def main(ctx: click.Context, runs: int, only: str) -> None:
    """Processor time of costly pictures, and as a ratio to ordinary ones."""
    settings = settings_of(ctx)
    install_missing(settings)
    models = open_models(settings)
    snapshot = DirectEngine(models, [], 100).snapshot
    limit = settings.pictures.max_pixels

    def look(data: bytes) -> None:
        require_affordable(data, limit, settings.pictures.max_pixels_undecimated)
        request = MatchRequest(request_id="r", device_ip="d", picture=data, compare_time_s=0.0, received_time_s=0.0)
        MatchCall().decide(request, snapshot, Context(models, Policy(), limit, time.perf_counter))

    table = Table(title="milliseconds of processor time on one core")
    for column in ("picture", "size", "bytes", "answer", "check", "decode", "ratio", "look"):
        table.add_column(column, justify="left" if column in ("picture", "answer") else "right")
    worst_look, worst_ratio = 0.0, 0.0
    for name, make, (width, height) in _pictures(only):
        data = make(width, height).data
        if len(data) > settings.pictures.max_bytes:
            continue
        check_ms = _best_ms(partial(require_affordable, data, limit), runs)
        decode_ms = _best_ms(partial(decode, data, limit), runs)
        ratio = decode_ms / _best_ms(partial(decode, ordinary(width, height), limit), runs)
        look_ms = _best_ms(partial(look, data), runs)
        worst_look = max(worst_look, look_ms)
        if name in costly_jpegs():
            worst_ratio = max(worst_ratio, ratio)
        cells = (f"{check_ms:.1f}", f"{decode_ms:.1f}", f"{ratio:.1f}", f"{look_ms:.0f}")
        table.add_row(name, _size(data), str(len(data)), _answer(data, limit), *cells)
    Console(width=140).print(table)
    click.echo(f"dearest look {worst_look:.0f} ms (aim: at most {AIM_MS:.0f})")
    click.echo(f"dearest JPEG {worst_ratio:.1f} times an ordinary one of its size (aim: at most {AIM_RATIO:.0f})")


def _pictures(only: str) -> list[tuple[str, Make, tuple[int, int]]]:
    kinds: tuple[tuple[Mapping[str, Make], tuple[tuple[int, int], ...]], ...] = (
        (costly_jpegs(), _JPEG_SIZES),
        (costly_others(), _OTHER_SIZES),
    )
    return [
        (name, make, size) for made, sizes in kinds for name, make in made.items() if only in name for size in sizes
    ]


def _answer(data: bytes, limit: int) -> str:
    try:
        decode(data, limit)
    except PictureRefused as refusal:
        return str(int(refusal.code))
    return "picture"


def _size(data: bytes) -> str:
    """As its header says, since not every picture is made in the size that was asked for."""
    try:
        header = picture_header(data)
    except PictureRefused:
        return ""
    return f"{header.width}x{header.height}"


def _best_ms(work: Callable[[], object], runs: int) -> float:
    best = float("inf")
    for _ in range(max(1, runs)):
        began = time.thread_time()
        with suppress(PictureRefused):
            work()
        best = min(best, (time.thread_time() - began) * 1000.0)
    return best


if __name__ == "__main__":
    main()
