"""Runs the project's command line as a user does."""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that ended."""

    status: int
    out: str
    err: str


def environment() -> dict[str, str]:
    """The tests' own, without settings of the project."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PICTUREMATCH_")}


async def start(*arguments: object, **settings: str) -> asyncio.subprocess.Process:
    """Start `picturematch ARGUMENTS` with these variables in its environment."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "picturematch",
        *map(str, arguments),
        cwd=ROOT,
        env={**environment(), **settings},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def finish(process: asyncio.subprocess.Process, timeout_s: float = 30.0) -> Finished:
    """Wait for the end; one that does not come is an error, and the process is killed."""
    try:
        out, err = await asyncio.wait_for(process.communicate(), timeout_s)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return Finished(process.returncode, out.decode(), err.decode())


async def run(*arguments: object, **settings: str) -> Finished:
    """Run `picturematch ARGUMENTS` to its end."""
    return await finish(await start(*arguments, **settings))
