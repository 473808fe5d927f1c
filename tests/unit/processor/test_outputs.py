"""What a processor writes about one request, and what it does not even compute."""

import pytest

from broker.port import Record
from contract.events import decode_event
from contract.messages import CompareRequest, FiqaRequest
from contract.topics import Topics
from engine.comparing import decide_compare
from engine.fiqa import decide_fiqa
from engine.policy import Policy
from engine.report import common
from processor.envelope import Envelope, ReplyAddress
from processor.examine import ExaminedComparison, ExaminedFiqa, Failure
from processor.outputs import Emission, Emitter
from tests.support.faces import MAX_PIXELS, MODELS, photo

TOPICS = Topics()
PICTURES = photo(1), photo(1, size=200)
LETTER = Failure("compare", "KeyError")


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The pictures of which a sha256 was made."""
    made: list[bytes] = []
    original = common.sha256

    def counting(picture: bytes) -> object:
        made.append(picture)
        return original(picture)

    monkeypatch.setattr(common, "sha256", counting)
    return made


def envelope(retry_of: str | None) -> Envelope:
    return Envelope("r1", ReplyAddress(TOPICS.replies, 0, b"i"), None, 0, retry_of)


def emitted(
    kind: str, *, need_save: bool = False, failure: Failure | None = None, retry_of: str | None = None
) -> Emission:
    emitter = Emitter(TOPICS, Policy(), {}, "/test", lambda: 2.0)
    record, came_in = Record(TOPICS.requests, 0, 0, 0, b"k", b""), envelope(retry_of)
    if kind == "fiqa":
        fiqa = FiqaRequest(request_id="r1", image=PICTURES[0], received_time_s=1.0)
        measured = decide_fiqa(fiqa, MODELS, Policy(), MAX_PIXELS, lambda: 0.0)
        return emitter.of_fiqa(ExaminedFiqa(record, came_in, fiqa, measured, failure), 5)
    face, card = PICTURES
    compare = CompareRequest(
        request_id="r1",
        face_image=face,
        card_image=card,
        compare_time_s=1.0,
        received_time_s=1.0,
        need_save=need_save,
    )
    compared = decide_compare(compare, MODELS, Policy(), MAX_PIXELS, lambda: 0.0)
    return emitter.of_comparison(ExaminedComparison(record, came_in, compare, compared, failure), 5)


@pytest.mark.parametrize(("kind", "outcome"), [("compare", "same"), ("fiqa", "measured")])
def test_of_what_leaves_no_event_no_picture_is_hashed(hashed: list[bytes], kind: str, outcome: str) -> None:
    emission = emitted(kind)

    assert hashed == []
    assert [record.topic for record in emission.records] == [TOPICS.replies]
    assert (emission.kind, emission.outcome, emission.kept) == (kind, outcome, False)
    assert {"decode", "detect", "embed"} <= emission.timings_ms.keys()


def test_a_saved_comparison_tells_the_hash_of_both_pictures(hashed: list[bytes]) -> None:
    emission = emitted("compare", need_save=True)

    assert hashed == [*PICTURES]
    assert [record.topic for record in emission.records] == [TOPICS.events, TOPICS.replies]
    event = decode_event(emission.records[0].value or b"")
    assert (event.kind, event.outcome, event.timings_ms) == (emission.kind, emission.outcome, emission.timings_ms)
    assert emission.kept


@pytest.mark.parametrize("kind", ["compare", "fiqa"])
def test_what_would_be_lost_leaves_an_event_whoever_asked_for_none(kind: str) -> None:
    failed, again = emitted(kind, failure=LETTER), emitted(kind, retry_of="r0")

    assert [record.topic for record in failed.records] == [TOPICS.events, TOPICS.replies, TOPICS.dead_letters]
    assert [record.topic for record in again.records] == [TOPICS.events, TOPICS.replies]
    assert failed.kept
    assert again.kept
