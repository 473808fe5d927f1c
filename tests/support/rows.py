"""Made-up rows of a replay: whole ones of one line, and a week at some doors with faces."""

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from msgspec import structs

from capture.reporting.people import Enrolled
from capture.reporting.report import Report
from capture.reporting.values import Findings, Rate
from capture.rows import Difference, Row
from contract.captures.values import CapturedDecision, CapturedRequest, CaptureLine, PeopleLine
from contract.events import Threshold
from contract.evidence import EvidenceCandidate
from contract.findings import FaceBox
from contract.people.keys import face_key
from tests.support.pictures import jpeg

THRESHOLD = 0.45
PICTURE = "0" * 64
MOST_PAGE_BYTES = 20_000_000
"""The most bytes of the HTML file (docs/replay.md)."""


def candidates(*nearest: tuple[str, float]) -> tuple[EvidenceCandidate, ...]:
    return tuple(EvidenceCandidate(identity_id=who, number=0, cosine=cosine) for who, cosine in nearest)


def search(
    *nearest: tuple[str, float], threshold: float = THRESHOLD, fill: int = 5, **changes: Any
) -> CapturedDecision:
    """A decision from the cosines of candidates, filled up with far ones to `fill`."""
    far = tuple((f"far{i}", nearest[-1][1] - 0.01 * (i + 1)) for i in range(fill - len(nearest)))
    who, cosine = nearest[0]
    matched = cosine >= threshold
    decision = CapturedDecision(
        outcome="matched" if matched else "stranger",
        gallery_version=10,
        models={},
        retcode="1" if matched else "0",
        identity_id=who if matched else "",
        score=round(cosine, 6),
        threshold=round(threshold, 6),
        applied=Threshold(value=round(threshold, 6), cosine=threshold, rule="setting"),
        candidates=candidates(*nearest, *far),
    )
    return structs.replace(decision, **changes)


def refusal(outcome: str, code: int | None = None, **changes: Any) -> CapturedDecision:
    codes = {
        "no_face": 40004,
        "low_quality": 40006,
        "spoof": 40080,
        "image_error": 40003,
        "empty_group": 40008,
        "expired": 50480,
        "error": 40480,
    }
    decision = CapturedDecision(outcome=outcome, gallery_version=10, models={}, error_code=code or codes.get(outcome))
    return structs.replace(decision, **changes)


def row(
    then: CapturedDecision | None = None,
    now: CapturedDecision | None = None,
    *,
    number: int = 1,
    device: str | None = "10.0.0.1",
    received: float | None = 1_700_000_000.0,
    picture: str = PICTURE,
    **changes: Any,
) -> Row:
    """A row whose differences are computed as simply as can be, unless `differences` gives them."""
    line = CaptureLine(
        request_id=f"r{number}",
        request=CapturedRequest(picture=picture, device_ip=device),
        received_time=received,
        decision=then,
        expected_identity_id=changes.pop("expected_identity_id", None),
    )
    fields = {"tier": "decide", "expected": line.expected_identity_id, "differences": differing(then, now), **changes}
    return Row(number=number, line=line, now=now, **fields)


def differing(then: CapturedDecision | None, now: CapturedDecision | None) -> tuple[Difference, ...] | None:
    if then is None or now is None:
        return None
    names = ("outcome", "identity_id", "error_code", "score")
    return tuple(
        Difference(name, getattr(then, name), getattr(now, name))
        for name in names
        if getattr(then, name) != getattr(now, name)
    )


def findings(*rows: Row, **options: Any) -> Findings:
    """The findings of a report of these rows."""
    report = Report(**options)
    for one in rows:
        report.add(one)
    return report.findings()


def of(rate: Rate) -> tuple[int, int]:
    """The errors and the trials of a rate."""
    return rate.errors, rate.trials


def enrolled(*people: str, offset: int = 0) -> Enrolled:
    """People who have a face from the gallery version behind an offset on."""
    return Enrolled(PeopleLine(offset=offset, time=0.0, key=face_key(who, 0, "e"), value=b"face") for who in people)


def face_picture(seed: int, width: int = 640, height: int = 480) -> tuple[bytes, FaceBox]:
    """A drawn face, and where it is."""
    chance = np.random.default_rng(seed)
    image = np.full((height, width, 3), chance.integers(90, 230, 3), np.uint8)
    x, y = int(chance.integers(width // 3, 2 * width // 3)), int(chance.integers(height // 3, 2 * height // 3))
    size = height // 6
    skin = tuple(int(v) for v in (chance.integers(60, 190), chance.integers(110, 210), chance.integers(150, 250)))
    cv2.ellipse(image, (x, y), (size, int(size * 1.3)), 0, 0, 360, skin, -1)
    for side in (-1, 1):
        cv2.circle(image, (x + side * size // 3, y - size // 4), size // 8, (40, 30, 30), -1)
    cv2.ellipse(image, (x, y + size // 2), (size // 3, size // 7), 0, 0, 180, (60, 50, 150), 3)
    box = FaceBox(x=x - size, y=y - 1.3 * size, width=2.0 * size, height=2.6 * size, confidence=0.9)
    return jpeg(image), box


def week(count: int, pictures: Sequence[tuple[str, FaceBox]] = (), *, moved: float = 0.01) -> Iterator[Row]:
    """Rows of people and strangers at four doors, decided again at a threshold `moved` lower, with other outcomes."""
    chance = np.random.default_rng(11)
    for number in range(1, count + 1):
        person, mated = f"p{chance.integers(1, 40)}", chance.random() < 0.8
        cosine = float(np.clip(chance.normal(0.62, 0.09) if mated else chance.normal(0.32, 0.05), -1, 1))
        other = float(np.clip(chance.normal(0.30, 0.05), -1, 1))
        nearest = sorted(((person if mated else "p99", cosine), ("p77", other)), key=lambda one: -one[1])
        then, now = search(*nearest), search(*nearest, threshold=THRESHOLD - moved)
        if number % 50 == 0:
            then = now = refusal(("no_face", "low_quality", "spoof", "image_error")[number // 50 % 4])
        elif number % 97 == 0:
            now = refusal("spoof")
        elif number % 101 == 0:
            now = search(("p5", cosine + 0.1), (person, cosine))
        elif number % 103 == 0:
            then = refusal("expired")
        received = 1_700_000_000.0 + 7 * number
        sha256, box = pictures[number % len(pictures)] if pictures else (PICTURE, None)
        then = structs.replace(
            then,
            decided_time=received + float(chance.lognormal(-2.6, 0.5)),
            timings_ms={"decode": float(chance.lognormal(0.5, 0.3)), "embed": float(chance.lognormal(2, 0.3))},
            face=box,
        )
        yield row(
            then,
            now,
            number=number,
            device=f"10.0.0.{number % 4}",
            received=received,
            picture=sha256,
            expected=person if mated else "",
            differences=None if then.outcome == "expired" else differing(then, now),
        )
