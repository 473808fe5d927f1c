"""A real Chromium without a window, driven through its DevTools protocol."""

import asyncio
import itertools
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import pytest

REQUIRED = "TESTS_REQUIRE_CHROMIUM"
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_START_S = 100.0
_STEP_S = 200.0

missing: list[str] = []
"""Why there was no browser, for one loud line at the end of the test run."""


def chromium() -> str:
    """The browser's program; without any, the test is skipped, or fails where one is required."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is not None:
        return found
    sentence = "there is no Chromium; install it (on Debian: apt-get install chromium)"
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(sentence)
    missing.append(sentence)
    pytest.skip(sentence)


class Page:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> Self:
        await self._ask("Page.enable")
        await self._ask("Runtime.enable")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._socket.close()

    async def open(self, url: str) -> None:
        """Go to that address and wait until the page is there."""
        answer = await self._ask("Page.navigate", url=url)
        assert "errorText" not in answer, f"{url}: {answer}"
        async with asyncio.timeout(_STEP_S):
            while await self.evaluate("document.readyState") != "complete":  # noqa: ASYNC110 - another process's doing
                await asyncio.sleep(0.05)

    async def evaluate(self, script: str) -> Any:
        """The value of an expression, or what its promise comes to."""
        answer = await self._ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(_STEP_S):
            while True:
                told = await self._socket.receive_json()
                if told.get("id") == number:
                    assert "error" not in told, told
                    return dict(told["result"])


@asynccontextmanager
async def browsing(folder: Path, rules: Sequence[str]) -> AsyncIterator[Page]:
    """A tab of a fresh browser, its profile in `folder`; `rules` say where names lead ("MAP evil.test 127.0.0.1")."""
    profile = folder / "profile"
    process = await asyncio.create_subprocess_exec(
        chromium(),
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-first-run",
        # This browser's own guard of the local network is not what is tested: others have none.
        "--disable-features=LocalNetworkAccessChecks,PrivateNetworkAccessSendPreflights",
        f"--user-data-dir={profile}",
        f"--host-resolver-rules={', '.join(rules)}",
        "--remote-debugging-port=0",
        "about:blank",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        port = await _debugging_port(profile / "DevToolsActivePort", process)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                tabs = [tab for tab in await answer.json() if tab["type"] == "page"]
            async with (
                session.ws_connect(tabs[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket,
                Page(socket) as page,
            ):
                yield page
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 20)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _debugging_port(file: Path, process: asyncio.subprocess.Process) -> int:
    async with asyncio.timeout(_START_S):
        while True:
            assert process.returncode is None, f"Chromium ended with status {process.returncode}"
            with suppress(OSError, ValueError, IndexError):  # it is not there yet, or not whole
                return int((await asyncio.to_thread(file.read_text)).split()[0])
            await asyncio.sleep(0.05)
