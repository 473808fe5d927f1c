"""Trace context (W3C Trace Context, Recommendation of 23 November 2021): the headers by which tracing systems join what
several programs do for one call. PictureMatch passes the context of a call on, unchanged, and adds no span of its own.

- `traceparent` names the trace, the caller's span and the caller's flags.
- `tracestate` contains what tracing systems add; it is passed on only beside a valid `traceparent`.

A header that is not valid is left out, as if the caller had sent none, and no message repeats it. Pure.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

TRACEPARENT = "traceparent"
"""The name of the first header, in HTTP and in the records of the log."""
TRACESTATE = "tracestate"
"""The name of the second header, in HTTP and in the records of the log."""

LONGEST_STATE = 512
"""The most characters of a `tracestate`: as many as the specification wants every program to pass on. A longer one is
left out whole, because a program that does not change `traceparent` must not change `tracestate` either."""
_MOST_MEMBERS = 32

# What every version has in common: version, trace-id, parent-id and flags, each in lower-case hexadecimal digits.
_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_FORBIDDEN_VERSION = "ff"
_SAMPLED = 1

# The key begins with a letter or a digit and has at most 256 characters; the value is visible ASCII without "," and
# "=", has at most 256 characters and does not end with a space.
_VISIBLE = r"\x21-\x2b\x2d-\x3c\x3e-\x7e"
_MEMBER = re.compile(rf"([a-z0-9][a-z0-9_*/@-]{{0,255}})=[ {_VISIBLE}]{{0,255}}[{_VISIBLE}]")


@dataclass(frozen=True, slots=True)
class Trace:
    """A valid trace context. `parent`: the `traceparent`; `state`: the `tracestate`, None: there is none."""

    parent: str
    state: str | None = None

    @classmethod
    def read(cls, parents: Sequence[str], states: Sequence[str]) -> Self | None:
        """Return the trace context of a call; None: it has none that is valid.

        Args:
            parents: the values of all headers `traceparent` of the call; several contradict each other.
            states: the values of all headers `tracestate`, which are parts of one list.
        """
        parent = _parent(parents[0]) if len(parents) == 1 else None
        return None if parent is None else cls(parent, _state(",".join(states)))

    @property
    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """The headers of a record, or of a call of a receiver, that passes this context on."""
        state = () if self.state is None else ((TRACESTATE, self.state.encode("ascii")),)
        return ((TRACEPARENT, self.parent.encode("ascii")), *state)


def trace_of(headers: Iterable[tuple[str, bytes]]) -> Trace | None:
    """Return the trace context in the headers of a record; None: they contain none that is valid."""
    parents, states = [], []
    for name, value in headers:
        if name == TRACEPARENT:
            parents.append(value.decode("latin-1"))
        elif name == TRACESTATE:
            states.append(value.decode("latin-1"))
    return Trace.read(parents, states)


def _parent(text: str) -> str | None:
    """Return a valid `traceparent` as this version of the specification writes it; None: the text is not valid."""
    found = _PARENT.fullmatch(text.strip(" \t"))
    if found is None:
        return None
    version, trace_id, parent_id, flags, rest = found.groups()
    if version == _FORBIDDEN_VERSION or not (trace_id.strip("0") and parent_id.strip("0")):
        return None
    if version == "00":
        return None if rest else found[0]
    # A later version may add fields behind the flags, and flags; the specification says to pass on what it knows.
    return f"00-{trace_id}-{parent_id}-{int(flags, 16) & _SAMPLED:02x}"


def _state(text: str) -> str | None:
    """Return a valid `tracestate` unchanged; None: the text is empty, too long or not valid."""
    text = text.strip(" \t,")
    members = [member.strip(" \t") for member in text.split(",")]
    found = [_MEMBER.fullmatch(member) for member in members if member]
    keys = {match[1] for match in found if match}
    valid = 0 < len(found) <= _MOST_MEMBERS and len(keys) == len(found)
    return text if valid and len(text) <= LONGEST_STATE else None
