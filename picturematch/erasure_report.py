"""The report of an erasure: what was erased, what waits for its retention until when, and what lies outside. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import msgspec

from contract.topics import Topics
from picturematch.shell import counted
from picturematch.traces import Traces

OUTSIDE = (
    "backups of the log (`picturematch log backup`), and copies of its disk or data folder",
    "captures (`picturematch record`), which contain pictures",
    "files and receivers of sinks, which have copies of the events, and receivers of uploads also of pictures",
    "the photos, lists and programs from which the person was enrolled",
)
"""Where data about a person may be that no command of this program can find."""


_PIECES = (
    "unused parts of pages of the log's file may contain pieces of the erased values, because the file is too large to"
    " be written anew beside a running server: stop the server, run `picturematch log rewrite`, and start the server"
)


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the report. `until`: when the records are removed at the latest (epoch seconds). `biometric`: whether
    records with a picture or an embedding of the person, or a piece of one, are left."""

    what: Literal["deleted", "erased", "pieces", "waits", "outside"]
    sentence: str
    topic: str | None = None
    records: int | None = None
    until: float | None = None
    biometric: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """How long the log keeps records that are not erased.

    `single`: whether this log can erase single records. `rewritten`: whether its file is written anew after that, so
    that no unused part of a page contains a piece of an erased value. `until_s`: the name of a topic -> when its
    records about the person are removed at the latest (epoch seconds).
    """

    single: bool
    until_s: Mapping[str, float]
    rewritten: bool = True


def report(traces: Traces, topics: Topics, kept: Kept, deleted: bool, replaced: Sequence[str]) -> Iterator[Line]:
    """Yield the lines of the report.

    Args:
        traces: the records about the person.
        topics: the names of the topics.
        kept: how long the log keeps them.
        deleted: whether the person was deleted now; False: nobody was enrolled under the id.
        replaced: the paths of former logs that a restore has moved aside.
    """
    gone = "the server deleted the person, with all faces and photos"
    yield Line("deleted", gone if deleted else "nobody was enrolled under this id any more")
    contents = _contents(topics)
    for topic, words in contents.items():
        found = traces.by_topic.get(topic)
        if found is None:
            continue
        count, until_s = len(found.places), kept.until_s[topic]
        if topic in topics_that_stay(topics):
            yield _waiting(topic, count, words, until_s)
        elif kept.single:
            yield Line("erased", f"{topic}: {counted(count, 'record')} ({words})", topic, count)
        else:
            yield _waiting(topic, count, words, until_s, biometric=True)
    if kept.single and not kept.rewritten:
        yield Line("pieces", _PIECES, biometric=True)
    for topic, words in _naming(topics).items():
        if topic in traces.naming:
            yield _waiting(topic, len(traces.naming[topic].places), words, kept.until_s[topic])
    unrecognised = "pictures in which the server did not recognise the person, if there are any"
    until_s = kept.until_s[topics.requests]
    yield Line("waits", f"{topics.requests}: {unrecognised}, until {_date(until_s)}", topics.requests, until=until_s)
    for place in (*(f"the former log {path}, which a restore moved aside" for path in replaced), *OUTSIDE):
        yield Line("outside", place)


def waits_with_faces(lines: Sequence[Line]) -> bool:
    """Return whether a picture or an embedding of the person, or a piece of one, is known to be left in the log."""
    return any(line.biometric for line in lines)


def topics_that_stay(topics: Topics) -> tuple[str, ...]:
    """Return the topics whose records are not erased, because they contain no picture and no embedding."""
    return (topics.events, topics.audit)


def _contents(topics: Topics) -> Mapping[str, str]:
    """Return the topics in the order of the report, and what their records contain about a person."""
    return {
        topics.people: "embeddings, name and info",
        topics.photos: "photos",
        topics.admin: "requests that enrolled or changed the person, with photos",
        topics.requests: "requests in which the person was recognised, with pictures",
        topics.evidence: "evidence of these matches, with embeddings",
        topics.replies: "answers with the person's name, info or photo",
        topics.dead_letters: "dead letters of requests about the person",
        topics.events: "events that name the person, without pictures",
        topics.audit: "records of the calls that changed the person, without the name and without pictures",
    }


def _naming(topics: Topics) -> Mapping[str, str]:
    """Return the topics with records that only name the person, in the order of the report, and what these are."""
    return {
        topics.admin: "requests that deleted the person or changed the members of a group, without pictures",
        topics.evidence: "evidence about other faces, which names the person as a less similar candidate",
        topics.replies: "answers about other people, which name the person as a look-alike",
        topics.dead_letters: "dead letters of requests and of events that only name the person, without pictures",
    }


def _waiting(topic: str, count: int, words: str, until_s: float, *, biometric: bool = False) -> Line:
    sentence = f"{topic}: {counted(count, 'record')} ({words}), until {_date(until_s)}"
    return Line("waits", sentence, topic, count, until_s, biometric)


def _date(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
