"""Compare: do two pictures show the same person? One face of each picture is compared, by the rule of Policy.face.

The quality level applies to the face picture, which a camera took. The quality of the card picture is measured and
reported but refuses nothing, because the photo on a card cannot be taken again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, get_args

from msgspec import structs

from contract.answers import CompareAnswer, CompareDebug
from contract.errors import Refusal
from contract.events import Event
from contract.findings import CardFindings
from contract.kinds import kind_of
from contract.requests import CompareRequest
from contract.terms import CompareLevel
from engine.calls.call import Query
from engine.calls.reporting import (
    PICTURE_OUTCOMES,
    Circumstances,
    check_results,
    debug_info,
    face_box,
    outcome_of,
    text_or_empty,
    wire_threshold,
)
from engine.context import Context
from engine.gallery.people import Snapshot
from engine.look import NOTHING_FOUND, Findings, Wanted, look, total_ms
from engine.threshold import AppliedThreshold, comparison_threshold

Compared = Literal["same", "different"]


@dataclass(frozen=True, slots=True, eq=False)
class CompareDecision:
    """The decision about two pictures, and the findings that it is based on.

    `cosine` is None and `refusal` is set where the answer is an error.
    """

    outcome: str
    threshold: AppliedThreshold
    cosine: float | None = None
    refusal: Refusal | None = None
    face: Findings = NOTHING_FOUND
    card: Findings = NOTHING_FOUND
    timings_ms: dict[str, float] = field(default_factory=dict)


def conclude_comparison(level: CompareLevel, cosine: float, context: Context) -> CompareDecision:
    """Return the decision that follows from the cosine of two faces; an explanation calls this without a look."""
    threshold = comparison_threshold(level, context.models.embedder)
    outcome: Compared = "same" if cosine >= threshold.cosine else "different"
    return CompareDecision(outcome, threshold, cosine)


class CompareCall(Query[CompareRequest, CompareDecision]):
    """The kind of call that compares two pictures."""

    kind = kind_of(CompareRequest)
    event_type = "picturematch.compare.v1"
    outcomes = (*get_args(Compared), *PICTURE_OUTCOMES)
    request_type = CompareRequest

    def decide(self, request: CompareRequest, snapshot: Snapshot, context: Context) -> CompareDecision:
        """Compare two pictures; no request that a client can send raises an error."""
        level = request.quality_level or context.policy.match_quality
        wanted = Wanted(request.fields[0], face=context.policy.face, quality_levels=(level,))
        face = look(request.face_picture, wanted, context)
        if isinstance(face.embedding, Refusal):
            refused = self.refuse(request, face.embedding, snapshot, context)
            return replace(refused, face=face.findings, timings_ms=face.timings_ms)
        wanted = replace(wanted, field=request.fields[1], refuse_low_quality=False)
        card = look(request.card_picture, wanted, context)
        found = partial(replace, face=face.findings, card=card.findings, timings_ms=total_ms(face, card))
        if isinstance(card.embedding, Refusal):
            return found(self.refuse(request, card.embedding, snapshot, context))
        return found(conclude_comparison(request.level, float(face.embedding.vector @ card.embedding.vector), context))

    def refuse(
        self, request: CompareRequest, refusal: Refusal, snapshot: Snapshot, context: Context
    ) -> CompareDecision:
        """Return the decision that answers a request with that refusal."""
        threshold = comparison_threshold(request.level, context.models.embedder)
        return CompareDecision(outcome_of(refusal), threshold, refusal=refusal)

    def leaves_event(self, request: CompareRequest) -> bool:
        """Return whether the request asks for an event (need_save)."""
        return request.need_save

    def pictures(self, request: CompareRequest) -> Sequence[bytes]:
        """Return the face picture and the card picture."""
        return request.face_picture, request.card_picture

    def answer(
        self, request: CompareRequest, decision: CompareDecision, context: Context, photo: bytes | None
    ) -> CompareAnswer:
        """Return the answer to a request that succeeded."""
        debug = None
        if request.with_debug_info:
            face, card = (debug_info(found, decision.timings_ms) for found in (decision.face, decision.card))
            debug = CompareDebug(face=face, card=card)
        cosine, threshold, policy = decision.cosine or 0.0, decision.threshold, context.policy
        return CompareAnswer(
            retcode="1" if decision.outcome == "same" else "0",
            score=threshold.score(cosine, policy),
            debug=debug,
            percent=threshold.percent(cosine, policy),
        )

    def event(self, request: CompareRequest, decision: CompareDecision, context: Context, at: Circumstances) -> Event:
        """Return the event that records the decision."""
        answer = None if decision.refusal is not None else self.answer(request, decision, context, None)
        found, card, info = decision.face, decision.card, request.identity_info
        return structs.replace(
            at.event(self.kind, request, decision.outcome, decision.refusal),
            compare_time=request.compare_time_s,
            compare_time_raw=request.compare_time_raw,
            retcode=answer.retcode if answer else None,
            identity_id=text_or_empty((info or {}).get("identity_id")),
            name=text_or_empty((info or {}).get("name")),
            identity_info=info,
            score=answer.score if answer else None,
            threshold=wire_threshold(decision.threshold, context.policy),
            faces=found.faces,
            face=face_box(found.face),
            quality=check_results(found.quality),
            quality_score=found.quality_score,
            card=CardFindings(
                sha256=at.digests[1],
                faces=card.faces,
                face=face_box(card.face),
                quality=check_results(card.quality),
                quality_score=card.quality_score,
            ),
            timings_ms=decision.timings_ms,
        )
