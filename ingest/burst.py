"""Reads the pictures of one passage, which a call sends in a list, within the limits of one picture.

The limits of a picture apply to all pictures together, so that a request with several costs the ingress and the
processor no more bytes, pixels and decoding than one picture may cost.
"""

import asyncio
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

from contract.calls.declaration import Values
from contract.calls.rules import param_error
from contract.errors import Code, PictureRefused, Refused
from contract.pictures.affordable import require_affordable_together
from contract.requests import MAX_PICTURES
from ingest.pictures import PictureField, PictureLimits, from_base64


@dataclass(frozen=True, slots=True)
class BurstField:
    """How a call sends several pictures of one passage.

    Attributes:
        first: how it sends a single one, which counts as the first.
        name: the field of the body with a list of pictures in base64.
        further: the field of the request (contract.requests) that contains all pictures but the first.
    """

    first: PictureField
    name: str
    further: str

    def is_in(self, values: Values) -> bool:
        """Return whether at least one picture was sent."""
        return values[self.name] is not None or self.first.is_in(values)

    def is_file_in(self, values: Values) -> bool:
        """Return whether a picture was sent as a path."""
        return self.first.is_file_in(values)

    def file_refused(self) -> Refused:
        """Return the refusal 40071 of the path of a caller who may not name files."""
        return self.first.file_refused()

    def require_few(self, values: Values) -> None:
        """Check the number of pictures as they were sent: equal ones count, as they do in the schema of the list.

        Raises:
            Refused: 40071: there are too many, or all faces of several pictures are asked for.
        """
        count = len(values[self.name] or ()) + self.first.is_in(values)
        if count > 1 and values.get("match_all_faces"):
            raise param_error("match_all_faces is for one picture; send the pictures in calls of their own")
        if count > MAX_PICTURES:
            raise param_error(
                f"{self.name} must have at most {MAX_PICTURES - 1} pictures, equal ones included, where"
                f" {self.first.name} or {self.first.path} is sent too"
            )

    async def fetch(
        self, values: Values, limits: PictureLimits, threads: Executor
    ) -> Mapping[str, bytes | tuple[bytes, ...]]:
        """Return the checked pictures, as fields of the request.

        Raises:
            Refused: a picture cannot be read, or is refused, or all together are.
        """
        sent = values[self.name]
        if sent is None:
            return await self.first.fetch(values, limits, threads)
        pictures: list[bytes] = []
        if self.first.is_in(values):
            pictures += (await self.first.fetch(values, limits, threads)).values()
        for number, text in enumerate(sent):
            pictures.append(_decoded(text, f"{self.name}[{number}]", limits))
            if sum(map(len, pictures)) > limits.max_bytes:
                words = f"the pictures are larger than {limits.max_bytes} bytes together"
                raise Refused(Code.PAYLOAD_TOO_LARGE, words).about(self.name)
            await asyncio.sleep(0)  # other calls go on between two pictures
        try:
            costs = [limits.check(picture) for picture in dict.fromkeys(pictures)]
            require_affordable_together(costs, limits.max_pixels)
        except Refused as refused:
            raise refused.about(self.name) from None
        first, *further = pictures
        return {self.first.attribute: first, self.further: tuple(further)}


def _decoded(text: str, field: str, limits: PictureLimits) -> bytes:
    try:
        return from_base64(text, field, limits)
    except PictureRefused as refusal:
        raise refusal.about(field) from None
