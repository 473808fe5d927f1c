"""Requests, events and pictures for tests of what reads the log."""

import cv2
import numpy as np

from broker.port import Broker, NewRecord, Position, TopicSpec
from contract.codec import encode
from contract.errors import Code
from contract.events import ErrorInfo, Event, RequestPlace, Threshold, encode_event
from contract.requests import EnrolRequest, MatchRequest
from contract.topics import Topics

TOPICS = Topics()
RECEIVED_S = 1_700_000_000.0


def jpeg(seed: int) -> bytes:
    """A small picture of nothing; another for every seed."""
    pixels = np.random.default_rng(seed).integers(0, 255, (32, 32, 3), np.uint8)
    return bytes(cv2.imencode(".jpg", pixels)[1])


def match_request(number: int, device_ip: str = "10.0.0.1") -> MatchRequest:
    return MatchRequest(
        request_id=f"r{number}",
        device_ip=device_ip,
        picture=jpeg(number),
        compare_time_s=RECEIVED_S + number + 0.25,
        received_time_s=RECEIVED_S + number,
    )


def enrol_request(number: int) -> EnrolRequest:
    return EnrolRequest(request_id=f"e{number}", identity_id=str(number), received_time_s=RECEIVED_S, photo=b"jpeg")


def event_of(request: MatchRequest | EnrolRequest, place: Position, **changes: object) -> Event:
    """The event of a request at that place: a match of identity 7, or an enrolment."""
    match = isinstance(request, MatchRequest)
    fields: dict[str, object] = {
        "id": request.request_id,
        "kind": "match" if match else "enrol",
        "outcome": "matched" if match else "enrolled",
        "compare_time": request.received_time_s,
        "received_time": request.received_time_s,
        "processed_time": request.received_time_s,
        "request": RequestPlace(topic=place.topic, partition=place.partition, offset=place.offset),
        "gallery_version": 3,
        "models": {"embedder": "sha"},
        "device_ip": request.device_ip if match else None,
        "retcode": "1" if match else None,
        "identity_id": "7",
        "score": 0.75 if match else None,
        "threshold": Threshold(value=0.48, rule="setting") if match else None,
    }
    return Event(**(fields | changes))  # type: ignore[arg-type]


def no_face() -> dict[str, object]:
    """What `event_of` changes for a picture without a face."""
    error = ErrorInfo(code=Code.NO_FACE, status="NO_FACE", message="no face found in the picture")
    return {"outcome": "no_face", "retcode": None, "identity_id": "", "score": None, "threshold": None, "error": error}


async def make_topics(log: Broker, partitions: int = 2) -> None:
    await log.ensure_topics(
        [TopicSpec(TOPICS.requests, partitions), TopicSpec(TOPICS.admin, 1), TopicSpec(TOPICS.events, partitions)]
    )


async def append_request(log: Broker, request: MatchRequest | EnrolRequest) -> Position:
    topic = TOPICS.of_requests(administrative=request.administrative)
    (place,) = await log.append([NewRecord(topic, request.key, encode(request))])
    return place


async def append_event(log: Broker, event: Event) -> Position:
    key = (event.device_ip or event.identity_id).encode()
    (place,) = await log.append([NewRecord(TOPICS.events, key, encode_event(event))])
    return place


async def append_decided(log: Broker, request: MatchRequest | EnrolRequest, **changes: object) -> None:
    """A request and its event."""
    await append_event(log, event_of(request, await append_request(log, request), **changes))
