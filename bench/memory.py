"""Whether the server's memory grows: `python -m bench.memory`.

Resident memory of a `picturematch serve` after the first 1,000 requests and after 10,000, and their ratio; then after
large pictures, several at a time, and after ordinary ones again, as a ratio to what it was before the large ones.
"""

import asyncio
from pathlib import Path

import click
import psutil

from bench.load import match_call, run_load
from bench.people import enrol_features, made_up_features
from bench.pictures import bench_pictures
from bench.scenes import scenes
from bench.server import running_server
from engine.vision.decode.versions import decode
from picturematch.networks import install_missing, store_of
from picturematch.options import settings_of
from picturematch.settings import Settings
from picturematch.wiring import open_models

_LARGE = (6400, 5000)
_DISTINCT = 3


@click.command(epilog="Example: python -m bench.memory --requests 10000 --large 64")
@click.option("--requests", default=10_000, show_default=True, help="Requests in all.")
@click.option("--first", default=1_000, show_default=True, help="Requests before the first reading.")
@click.option("--large", default=64, show_default=True, help="Pictures of 32 megapixels that are sent afterwards.")
@click.option("--concurrency", default=8, show_default=True)
@click.option("--pictures", type=click.Path(exists=True, file_okay=False, path_type=Path), help="JPEGs to send.")
@click.pass_context
def main(ctx: click.Context, requests: int, first: int, large: int, concurrency: int, pictures: Path | None) -> None:
    """Memory after many requests against memory after some, and after large pictures against memory before."""
    settings = settings_of(ctx)
    embedder = store_of(settings).manifest.network("embedder")
    calls = [match_call(jpeg, f"10.0.0.{i % 200}") for i, jpeg in enumerate(bench_pictures(settings, pictures))]
    large_calls = [match_call(jpeg, f"10.0.1.{i}") for i, jpeg in enumerate(_large_pictures(settings))] if large else []
    with running_server({"PICTUREMATCH_INGEST__DEADLINE_MS": "60000"}) as server:
        asyncio.run(enrol_features(server.url, made_up_features(100, embedder.dimension or 0)))
        process = psutil.Process(server.pid)

        def after(sent: list[bytes], count: int) -> float:
            asyncio.run(run_load(server.port, sent, count, concurrency))
            return float(process.memory_info().rss) / 2**20

        before, grown = after(calls, first), after(calls, requests - first)
        click.echo(f"resident after {first} requests: {before:.1f} MiB")
        click.echo(f"resident after {requests} requests: {grown:.1f} MiB")
        click.echo(f"ratio {grown / before:.3f} (aim: at most 1.05)")
        if large:
            filled, emptied = after(large_calls, large), after(calls, 100)
            click.echo(f"resident after {large} pictures of 32 megapixels: {filled:.1f} MiB")
            click.echo(f"resident after 100 ordinary ones again: {emptied:.1f} MiB")
            click.echo(f"ratio {emptied / grown:.3f} (aim: at most 1.30)")


def _large_pictures(settings: Settings) -> list[bytes]:
    portrait = decode(
        install_missing(settings, samples=True).sample("astronaut.png").read_bytes(), settings.pictures.max_pixels
    )
    face = open_models(settings).detector(portrait)[0]
    return scenes(portrait, face, *_LARGE, _DISTINCT)


if __name__ == "__main__":
    main()
