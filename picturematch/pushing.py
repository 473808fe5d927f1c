"""Runs the push sinks: one for each URL that the site names, started and stopped as the site's setting changes."""

import asyncio
import logging
from dataclasses import dataclass

from contract.hosts import Hosts
from picturematch.keeping_up import keep_up
from sinks.context import SinkContext
from sinks.push import PushTarget, SiteUploads, run_push
from sinks.settings import PushSettings

_log = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.25
"""How often the setting of the site is looked at, which costs microseconds."""


@dataclass(frozen=True, slots=True)
class _Running:
    target: PushTarget
    stop: asyncio.Event
    task: "asyncio.Task[None]"


class Pushing:
    """The push sinks of a process.

    Args:
        settings: The operator's rules of uploads.
        hosts: The hosts that may be receivers.
        context: What the sinks get; its `stop` ends all of them.
    """

    def __init__(self, settings: PushSettings, hosts: Hosts, context: SinkContext) -> None:
        self._settings, self._hosts, self._context = settings, hosts, context
        self._uploads = SiteUploads(context.people)
        self._running: dict[str, _Running] = {}
        self._ending: dict[str, _Running] = {}
        self._delivered = 0

    async def run(self) -> int:
        """Run the sinks until the context's `stop` is set; return the number of uploaded events.

        With `idle_exit_s` in the context, also until all sinks have ended because no event has come.
        """
        stop = self._context.stop
        try:
            while not stop.is_set():
                self._follow()
                if self._context.idle_exit_s is not None and all(one.task.done() for one in self._running.values()):
                    break
                try:
                    async with asyncio.timeout(_LOOK_EVERY_S):
                        await stop.wait()
                except TimeoutError:
                    continue
        finally:
            for url in list(self._running):
                self._end(url)
            if self._ending:
                await asyncio.wait({one.task for one in self._ending.values()})
        return self._delivered

    def _follow(self) -> None:
        """Start the sinks of new URLs, and stop those of URLs that the site does not name any more."""
        for url in [url for url, one in self._ending.items() if one.task.done()]:
            self._context.metrics.forget(self._ending.pop(url).target.name)
        wanted = self._uploads.now.urls
        for url in [url for url in self._running if url not in wanted]:
            target = self._end(url)
            _log.warning("the receiver of events at %s was removed: sink %s ends", target.shown, target.name)
        for url in wanted:
            if url not in self._running and url not in self._ending:
                self._begin(PushTarget(url, self._settings, self._hosts))

    def _begin(self, target: PushTarget) -> None:
        _log.info("events are uploaded to the receiver at %s by sink %s", target.shown, target.name)
        stop = asyncio.Event()
        context = self._context.with_stop(stop)

        async def once() -> int:
            count = await run_push(target, context)
            self._delivered += count
            return count

        task = asyncio.create_task(keep_up(target.name, once, stop), name=target.name)
        self._running[target.url] = _Running(target, stop, task)

    def _end(self, url: str) -> PushTarget:
        """Let the sink of a URL end after the upload that is under way."""
        ended = self._ending[url] = self._running.pop(url)
        ended.stop.set()
        return ended.target
