"""A `picturematch` command as a process, for the benchmarks that kill it."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_LISTENS = re.compile(rb"listens on http://127.0.0.1:(\d+)")


class CommandFailed(RuntimeError):
    """It did not listen; the message ends with what it wrote to standard error."""


class Command:
    """One command, which may be started again after its end.

    Args:
        arguments: Of `picturematch`.
        environment: PICTUREMATCH_... variables; those of this process are not handed on.
        errors: File to which standard error is appended.
        code: Folder whose sources run; None: these.
    """

    def __init__(
        self, arguments: Sequence[object], environment: Mapping[str, str], errors: Path, code: Path | None = None
    ) -> None:
        self._arguments, self._environment, self._errors, self._code = arguments, environment, errors, code
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait for nothing."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PICTUREMATCH_")}
        with self._errors.open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "picturematch", *map(str, self._arguments)),
                env={**kept, **self._environment},
                cwd=self._code,  # python -m looks there first
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
            )

    @property
    def pid(self) -> int:
        """The id of its process.

        Raises:
            CommandFailed: it was not started.
        """
        if self._process is None:
            raise self._failure("was not started")
        return self._process.pid

    async def listening(self, within_s: float) -> int:
        """The port on which it listens, once it does.

        Raises:
            CommandFailed: it ended before, or took longer.
        """
        out = self._process.stdout if self._process is not None else None
        try:
            async with asyncio.timeout(within_s):
                while out is not None and (line := await out.readline()):
                    if found := _LISTENS.search(line):
                        return int(found.group(1))
        except TimeoutError:
            raise self._failure(f"was not ready within {within_s:g} s") from None
        raise self._failure("ended while it was starting")

    def _failure(self, how: str) -> CommandFailed:
        return CommandFailed(f"{self._arguments[0]} {how}: {self._errors.read_text(errors='replace')[-2000:]}")

    def send(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def end(self, number: int | None = signal.SIGKILL, within_s: float = 20.0) -> int:
        """Send the signal, if one is given, and wait for the end; killed if that takes longer. The exit status."""
        if self._process is None:
            return 0
        if number is not None:
            self.send(number)
        try:
            await asyncio.wait_for(self._process.communicate(), within_s)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        return self._process.returncode or 0
