"""The calls that ask about a face: PictureMatch, compare and FIQA.

All go through the log: the body, its fields, its pictures, the request, the reply, the answer.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import TypeVar

import msgspec

from contract.errors import PictureRefused
from contract.messages import CompareAnswer, FiqaAnswer, MatchAnswer, Request
from ingest.call import Call
from ingest.exchange import ANSWER_MARGIN_S, Exchange, timed_out
from ingest.metrics import Metrics
from ingest.parse import MatchCall, Picture, parse_match
from ingest.parse_compare import CompareCall, parse_compare
from ingest.parse_fiqa import FiqaCall, parse_fiqa
from ingest.pictures import PictureLimits, fetch_picture, from_base64
from ingest.render import Rendered, compare_document, fiqa_document, match_document, success

P = TypeVar("P", MatchCall, CompareCall, FiqaCall)
A = TypeVar("A", MatchAnswer, CompareAnswer, FiqaAnswer)


class Faces:
    """The handlers of these calls; `threads` read picture files.

    Each lets go of a body, of its base64 and of the pictures as soon as the next form of them is made: a call waits for
    its answer much longer than it takes to make the request.
    """

    def __init__(self, exchange: Exchange, limits: PictureLimits, metrics: Metrics, threads: Executor) -> None:
        self._exchange, self._limits = exchange, limits
        self._metrics, self._threads = metrics, threads

    async def match(self, call: Call) -> Rendered:
        """Who is this?"""
        parsed = await self._parsed(call, parse_match)
        pictures = [parsed.rgb] if parsed.ir is None else [parsed.rgb, parsed.ir]
        image, *infrared = await self._fetch(call, pictures)
        request = msgspec.structs.replace(parsed.request, image=image, ir_image=infrared[0] if infrared else None)
        del parsed, pictures, image, infrared
        return success(match_document(await self._answer(call, request, MatchAnswer)))

    async def compare(self, call: Call) -> Rendered:
        """Are these two one person?"""
        parsed = await self._parsed(call, parse_compare)
        request = msgspec.structs.replace(
            parsed.request,
            face_image=self._of_two(parsed.face_base64, "face_image_base64"),
            card_image=self._of_two(parsed.card_base64, "card_image_base64"),
        )
        del parsed
        return success(compare_document(await self._answer(call, request, CompareAnswer)))

    async def fiqa(self, call: Call) -> Rendered:
        """How good is this picture?"""
        parsed = await self._parsed(call, parse_fiqa)
        (image,) = await self._fetch(call, [parsed.picture])
        request = msgspec.structs.replace(parsed.request, image=image)
        del parsed, image
        return success(fiqa_document(await self._answer(call, request, FiqaAnswer)))

    async def _parsed(self, call: Call, parse: Callable[..., P]) -> P:
        body = await call.body()
        parsed = parse(
            body,
            request_id=call.request_id,
            received_time_s=call.received_time_s,
            max_values=call.settings.max_json_values,
        )
        self._metrics.unknown_fields.inc(parsed.unknown_fields)
        return parsed

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
        except PictureRefused as error:
            raise error.about(field) from None

    async def _answer(self, call: Call, request: Request, kind: type[A]) -> A:
        reply = await self._exchange.ask(call, request)
        if not isinstance(reply.answer, kind):
            raise TypeError(f"a {type(request).__name__} was answered with {type(reply.answer).__name__}")
        return reply.answer
