"""What evidence costs: `python -m bench.evidence`.

Decides one match with the real networks against a gallery of strangers, then makes the records of that decision many
times, with evidence and without, in turn. Prints the bytes and the processor milliseconds that evidence adds to a
match: for making the record, and for appending it to an embedded log beside the event.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from bench.overhead import DirectEngine
from bench.pictures import bench_pictures
from broker.embedded import open_embedded
from broker.port import NewRecord, Record, TopicSpec
from contract.messages import MatchRequest
from engine.calls.match import MatchCall
from engine.context import Context, Contexts
from engine.policy import Policy
from picturematch.networks import install_missing
from picturematch.options import settings_of
from picturematch.wiring import open_models
from processor.configs import policy_config
from processor.envelope import Envelope
from processor.outputs import Emitter, Ids
from processor.processing import Processed


@click.command(epilog="Example: python -m bench.evidence --rounds 30")
@click.option("--pictures", type=click.Path(exists=True, path_type=Path), help="JPEGs; else the sample portrait.")
@click.option("--rounds", default=30, show_default=True, help="Rounds of a hundred records of each kind.")
@click.pass_context
def main(ctx: click.Context, pictures: Path | None, rounds: int) -> None:
    """Bytes and processor time that evidence adds to a match."""
    settings = settings_of(ctx)
    install_missing(settings)
    models = open_models(settings)
    context = Context(models, Policy(), settings.pictures.max_pixels, time.perf_counter)
    snapshot = DirectEngine(models, [], 1000).snapshot
    picture = bench_pictures(settings, pictures)[0]
    request = MatchRequest(request_id="0" * 32, device_ip="d", picture=picture, compare_time_s=0.0, received_time_s=0.0)
    decision = MatchCall().decide(request, snapshot, context)
    if decision.probe is None:
        raise click.ClickException("the first picture has no face; give --pictures a folder of faces")
    record = Record(settings.topics.requests, 0, 0, 0, b"d", b"")
    envelope = Envelope(request.request_id, None, None, 0)
    done = Processed(record, envelope, MatchCall(), request, context, decision, digests=("",))
    ids, written = Ids(dict(models.identities), "0" * 16), {policy_config(context.policy).key}
    on = Emitter(settings.topics, Contexts(context), ids, "/bench", time.time, written=written)
    off = replace(on, evidence=False)

    made = {"with": on.of(done, decision, 1).records, "without": off.of(done, decision, 1).records}
    added = sum(_size(r) for r in made["with"]) - sum(_size(r) for r in made["without"])
    making = [_ms(on, done) - _ms(off, done) for _ in range(rounds)]
    click.echo(f"bytes of evidence per match: {added}")
    click.echo(f"making it: {statistics.median(making):.3f} ms of processor time per match")
    appending = asyncio.run(_append_ms(made, rounds, settings.topic_specs))
    click.echo(f"appending it to the embedded log: {appending:.3f} ms of processor time per match, 64 in a transaction")


def _size(record: NewRecord) -> int:
    return len(record.key or b"") + len(record.value or b"")


def _ms(emitter: Emitter, done: Processed) -> float:
    decision = done.decision
    if decision is None:
        raise ValueError("the match is decided")
    began = time.process_time()
    for _ in range(100):
        emitter.of(done, decision, 1)
    return (time.process_time() - began) * 10.0


async def _append_ms(made: dict[str, tuple[NewRecord, ...]], rounds: int, specs: Sequence[TopicSpec]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        async with open_embedded(Path(folder), role="owner", clock_ms=lambda: int(time.time() * 1000)) as log:
            await log.ensure_topics(specs)
            took: dict[str, list[float]] = {"with": [], "without": []}
            for _ in range(rounds):
                for kind, records in made.items():
                    began = time.process_time()
                    await log.append(records * 64)
                    took[kind].append((time.process_time() - began) * 1000.0 / 64)
    return statistics.median(took["with"]) - statistics.median(took["without"])


if __name__ == "__main__":
    main()
