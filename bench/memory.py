"""Whether the server's memory grows with its requests: `python -m bench.memory`.

Resident memory of a `picturematch serve` after the first 1,000 requests and after 10,000, and their ratio.
"""

import asyncio
from pathlib import Path

import click
import psutil

from bench.load import match_call, run_load
from bench.people import enrol_features, made_up_features
from bench.pictures import bench_pictures
from bench.server import running_server
from picturematch.networks import store_of
from picturematch.options import settings_of


@click.command(epilog="Example: python -m bench.memory --requests 10000")
@click.option("--requests", default=10_000, show_default=True, help="Requests in all.")
@click.option("--first", default=1_000, show_default=True, help="Requests before the first reading.")
@click.option("--concurrency", default=8, show_default=True)
@click.option("--pictures", type=click.Path(exists=True, file_okay=False, path_type=Path), help="JPEGs to send.")
@click.pass_context
def main(ctx: click.Context, requests: int, first: int, concurrency: int, pictures: Path | None) -> None:
    """Memory after many requests against memory after some."""
    settings = settings_of(ctx)
    embedder = store_of(settings).manifest.network("embedder")
    calls = [match_call(jpeg, f"10.0.0.{i % 200}") for i, jpeg in enumerate(bench_pictures(settings, pictures))]
    with running_server({"PICTUREMATCH_INGEST__DEADLINE_MS": "60000"}) as server:
        asyncio.run(enrol_features(server.url, made_up_features(100, embedder.dimension or 0)))
        process = psutil.Process(server.pid)
        asyncio.run(run_load(server.port, calls, first, concurrency))
        before = process.memory_info().rss
        asyncio.run(run_load(server.port, calls, requests - first, concurrency))
        after = process.memory_info().rss
    click.echo(f"resident after {first} requests: {before / 2**20:.1f} MiB")
    click.echo(f"resident after {requests} requests: {after / 2**20:.1f} MiB")
    click.echo(f"ratio {after / before:.3f} (aim: at most 1.05)")


if __name__ == "__main__":
    main()
