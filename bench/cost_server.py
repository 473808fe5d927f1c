"""`picturematch serve`, `ingest` or `process` with a meter, for bench.cost: `python -m bench.cost_server serve`.

For each line on standard input the process prints its totals (bench.cost_parts.Totals) as a line of JSON. With
`--decided-once` as first argument, the first match is decided and every later one gets the same decision, so that a
decision costs nothing and event, reply and evidence have their real sizes.
"""

import sys
import threading
from typing import Any

from bench.cost_meter import Meter, answer_questions, replace
from bench.cost_parts import METER_THREAD
from picturematch.__main__ import main

DECIDED_ONCE = "--decided-once"

_ROOMS = {
    "serve": frozenset({"asyncio", "broker", "engine", "ingest", "processor"}),
    "ingest": frozenset({"asyncio", "broker", "ingest"}),
    "process": frozenset({"asyncio", "broker", "engine", "processor"}),
}
"""The rooms whose functions are metered; a role does not import the others."""


def decided_once(decide: Any) -> Any:
    """Return a `MatchCall.decide` that returns the first decision for ever."""
    lock = threading.Lock()
    decisions: list[Any] = []

    def deciding(*args: Any) -> Any:
        if not decisions:
            with lock:
                if not decisions:
                    decisions.append(decide(*args))
        return decisions[0]

    return deciding


def run(arguments: list[str]) -> None:
    """Meter this process, and run the command."""
    if arguments[:1] == [DECIDED_ONCE]:
        del arguments[0]
        if "engine" in _ROOMS[arguments[0]]:
            replace("engine.calls.match:MatchCall.decide", decided_once)
    meter = Meter()
    meter.install(_ROOMS[arguments[0]])
    threading.Thread(target=answer_questions, args=(meter,), name=METER_THREAD, daemon=True).start()
    sys.argv[1:] = arguments
    main()


if __name__ == "__main__":
    run(sys.argv[1:])
