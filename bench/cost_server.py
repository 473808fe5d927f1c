"""A server whose engine may cost nothing, in a process of its own: `python -m bench.cost_server`, for bench.cost only.

Settings come from the environment. The server prints its URL, and ends with its standard input.
"""

import asyncio
import os
import sys
from dataclasses import replace

import click

from contract.requests import MatchRequest
from engine.calls.match import MatchCall
from engine.calls.matching import MatchDecision
from engine.context import Context
from engine.gallery.people import Snapshot
from picturematch.importing import collecting_later
from picturematch.settings import load_settings
from picturematch.wiring import open_models, run_system


@click.command(epilog="Example: python -m bench.cost_server --roles both --free")
@click.option("--roles", type=click.Choice(["both", "ingest", "process"]), default="both", show_default=True)
@click.option("--free", is_flag=True, help="Decide once about each picture, and remember the decision.")
def main(roles: str, free: bool) -> None:
    """Run a server until the standard input ends."""
    if free:
        _decide_once()
    asyncio.run(_serve(roles))


async def _serve(roles: str) -> None:
    settings = load_settings(None, os.environ)
    with collecting_later():
        models = None if roles == "ingest" else open_models(settings)
    async with run_system(settings, models, ingest=roles != "process") as system:
        sys.stdout.write(f"{system.url}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


def _decide_once() -> None:
    """Have the engine decide about the bytes of each picture once, so that the system alone is measured."""
    decide, known = MatchCall.decide, dict[tuple[bytes, int], MatchDecision]()

    def remembered(call: MatchCall, request: MatchRequest, snapshot: Snapshot, context: Context) -> MatchDecision:
        key = request.picture, snapshot.version
        if key not in known:
            known[key] = decide(call, request, snapshot, context)
        return replace(known[key])

    setattr(MatchCall, "decide", remembered)  # noqa: B010 - a type checker knows that a method is replaced


if __name__ == "__main__":
    main()
