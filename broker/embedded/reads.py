"""Threads that read the log's file, each with its own connection, so that the event loop never waits for the disk."""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from broker.embedded.store import broker_error, open_reading
from broker.port import BrokerError

T = TypeVar("T")


class Reads:
    """A pool of reading threads. A function that runs in them must be short and leave no statement open."""

    def __init__(self, folder: Path, threads: int) -> None:
        self._folder = folder
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="log-reader")
        self._own = threading.local()
        # All connections are opened by `open`, because another file may be at the path later.
        self._connections: list[sqlite3.Connection] = []
        self._spare: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self._threads = threads
        self._closed = False

    def open(self) -> None:
        """Open the file, once per thread.

        Raises:
            BrokerError: there is no log in the folder, or it cannot be read.
        """
        for _ in range(self._threads):
            self._connections.append(open_reading(self._folder))
            self._spare.put(self._connections[-1])

    async def run(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Run `read` in a reading thread and return its result.

        Raises:
            BrokerError: the file cannot be read, or the log is closed.
        """
        if self._closed:
            raise BrokerError("the log is closed: no record can be read any more")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._run, read)

    def _run(self, read: Callable[[sqlite3.Connection], T]) -> T:
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = self._spare.get_nowait()
        try:
            return read(connection)
        except sqlite3.Error as error:
            raise broker_error(error, self._folder) from error

    async def close(self) -> None:
        """Finish the reads under way and close the connections."""
        self._closed = True
        await asyncio.to_thread(self._pool.shutdown)
        for connection in self._connections:
            connection.close()
        self._connections.clear()
