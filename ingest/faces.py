"""The calls that ask about a face: PictureMatch, compare and FIQA.

All go through the log: the body, its fields, its pictures, the request, the reply, the answer.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor

import msgspec

from engine.errors import PictureRefused
from engine.messages import CompareAnswer, FiqaAnswer, MatchAnswer, Reply, Request
from ingest.call import Call
from ingest.exchange import ANSWER_MARGIN_S, Exchange, timed_out
from ingest.metrics import Metrics
from ingest.parse import Picture, parse_match
from ingest.parse_compare import parse_compare
from ingest.parse_fiqa import parse_fiqa
from ingest.pictures import PictureLimits, fetch_picture, from_base64
from ingest.render import Rendered, compare_document, fiqa_document, match_document, success


class Faces:
    """The handlers of these calls; `threads` read picture files."""

    def __init__(self, exchange: Exchange, limits: PictureLimits, metrics: Metrics, threads: Executor) -> None:
        self._exchange, self._limits = exchange, limits
        self._metrics, self._threads = metrics, threads

    async def match(self, call: Call) -> Rendered:
        """Who is this?"""
        body = await call.body()
        parsed = parse_match(
            body,
            request_id=call.request_id,
            received_time_s=call.received_time_s,
            max_values=call.settings.max_json_values,
        )
        del body
        self._metrics.unknown_fields.inc(parsed.unknown_fields)
        pictures = [parsed.rgb] if parsed.ir is None else [parsed.rgb, parsed.ir]
        image, *infrared = await self._fetch(call, pictures)
        request = msgspec.structs.replace(parsed.request, image=image, ir_image=infrared[0] if infrared else None)
        del parsed, pictures, image, infrared
        reply = await self._ask(call, request)
        if not isinstance(reply.answer, MatchAnswer):
            raise TypeError(f"a match was answered with {type(reply.answer).__name__}")
        return success(match_document(reply.answer))

    async def compare(self, call: Call) -> Rendered:
        """Are these two one person?"""
        body = await call.body()
        parsed = parse_compare(
            body,
            request_id=call.request_id,
            received_time_s=call.received_time_s,
            max_values=call.settings.max_json_values,
        )
        del body
        self._metrics.unknown_fields.inc(parsed.unknown_fields)
        request = msgspec.structs.replace(
            parsed.request,
            face_image=self._of_two(parsed.face_base64, "face_image_base64"),
            card_image=self._of_two(parsed.card_base64, "card_image_base64"),
        )
        del parsed
        reply = await self._ask(call, request)
        if not isinstance(reply.answer, CompareAnswer):
            raise TypeError(f"a comparison was answered with {type(reply.answer).__name__}")
        return success(compare_document(reply.answer))

    async def fiqa(self, call: Call) -> Rendered:
        """How good is this picture?"""
        body = await call.body()
        parsed = parse_fiqa(
            body,
            request_id=call.request_id,
            received_time_s=call.received_time_s,
            max_values=call.settings.max_json_values,
        )
        del body
        self._metrics.unknown_fields.inc(parsed.unknown_fields)
        (image,) = await self._fetch(call, [parsed.picture])
        request = msgspec.structs.replace(parsed.request, image=image)
        del parsed, image
        reply = await self._ask(call, request)
        if not isinstance(reply.answer, FiqaAnswer):
            raise TypeError(f"a quality assessment was answered with {type(reply.answer).__name__}")
        return success(fiqa_document(reply.answer))

    async def _fetch(self, call: Call, pictures: Sequence[Picture]) -> list[bytes]:
        try:
            async with asyncio.timeout_at(call.wait_until - ANSWER_MARGIN_S):
                return [await fetch_picture(picture, self._limits, self._threads) for picture in pictures]
        except TimeoutError:
            raise timed_out() from None

    def _of_two(self, text: str, field: str) -> bytes:
        """A picture of which there are two, so that a refusal has to say which."""
        try:
            return from_base64(text, field, self._limits)
        except PictureRefused as refusal:
            raise refusal.about(field) from None

    async def _ask(self, call: Call, request: Request) -> Reply:
        return await self._exchange.ask(request, call.received_time_s, call.settings.deadline_ms, call.wait_until)
