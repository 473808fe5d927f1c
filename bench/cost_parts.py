"""Which part of the system call stacks belong to, as `py-spy record --format raw --threads` writes them. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Part = Literal[
    "engine",
    "base64",
    "HTTP and JSON",
    "log append",
    "checkpointing",
    "Kafka client",
    "processing",
    "commit",
    "reply",
    "event store",
    "hand-overs",
    "native threads",
    "rest",
]

_PLACES: tuple[tuple[str, str, Part], ...] = (
    ("ingest.pictures", "", "base64"),
    ("broker.embedded.housekeeper", "", "checkpointing"),
    ("broker.embedded.upkeep", "", "checkpointing"),
    ("broker.embedded.wal", "", "checkpointing"),
    ("broker.embedded", "", "log append"),
    ("broker.kafka", "", "Kafka client"),
    ("aiokafka", "", "Kafka client"),
    ("sinks", "", "event store"),
    ("sqlalchemy", "", "event store"),
    ("engine.calls", "decide", "engine"),
    ("engine.calls", "prepare", "engine"),
    ("engine.look", "", "engine"),
    ("engine.vision", "", "engine"),
    ("engine.gallery", "", "engine"),
    ("models", "", "engine"),
    ("processor.commits", "", "commit"),
    ("processor.outputs", "", "commit"),
    ("processor.lane", "", "commit"),
    ("processor", "", "processing"),
    ("engine", "", "processing"),
    ("ingest.correlator", "", "reply"),
    ("ingest.answer", "", "reply"),
    ("ingest", "", "HTTP and JSON"),
    ("aiohttp", "", "HTTP and JSON"),
    ("picturematch", "", "rest"),
    ("concurrent.futures", "", "hand-overs"),
    ("threading", "", "hand-overs"),
    ("queue", "", "hand-overs"),
    ("asyncio", "", "hand-overs"),
    ("selectors", "", "hand-overs"),
)
"""Module (or the package that contains it), function (empty: any) and part; the first that fits counts."""

PARTS: tuple[Part, ...] = tuple(dict.fromkeys([*(part for _, _, part in _PLACES), "native threads", "rest"]))
"""Every part, in the order of the table."""


_THREAD = re.compile(r"^thread \((\d+)\): (.*)$")
_FRAME = re.compile(r"^(?P<function>.*) \((?P<path>[^()]*?)(?::\d+)?\)$")
_PACKAGES = re.compile(r"^.*(?:/site-packages/|/lib/python3\.\d+/)")


@dataclass(slots=True)
class ThreadSamples:
    """The samples of one thread: its name, and how many samples belong to each part."""

    name: str = ""
    parts: Counter[Part] = field(default_factory=Counter)


def samples_of(raw: str, root: str) -> Mapping[int, ThreadSamples]:
    """Return the samples of each thread by its native id. `root`: the folder of the project's modules.

    A line is the thread, the frames from the outermost on, and the number of samples. Threads of a pool count as one
    name.
    """
    found: dict[int, ThreadSamples] = {}
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        thread, *frames = stack.split(";")
        head = _THREAD.match(thread)
        if head is None:
            continue
        samples = found.setdefault(int(head[1]), ThreadSamples(head[2].rstrip("0123456789").rstrip("-_")))
        samples.parts[part_of(_frame_of(frame, root) for frame in reversed(frames))] += int(count)
    return found


def _frame_of(frame: str, root: str) -> tuple[str, str]:
    """Return module and function of a frame; the function without its class."""
    matched = _FRAME.match(frame)
    if matched is None:
        return "", frame
    path = _PACKAGES.sub("", matched["path"].removeprefix(root)).strip("/")
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", "."), matched["function"].rpartition(".")[2]


def part_of(stack: Iterable[tuple[str, str]]) -> Part:
    """Return the part to which a stack belongs, given as module and function of each frame, the innermost first.

    The innermost frame of a module that is listed decides; asyncio and threads count only where nothing else does,
    because they are beneath everything.
    """
    beneath: Part = "rest"
    for module, function in stack:
        part = _part_of_frame(module, function)
        if part == "hand-overs":
            beneath = part
        elif part is not None:
            return part
    return beneath


def _part_of_frame(module: str, function: str) -> Part | None:
    for name, wanted, part in _PLACES:
        if (module == name or module.startswith(f"{name}.")) and wanted in ("", function):
            return part
    return None
