"""Stores the pictures again that a crash of the machine has damaged, when a recording is continued."""

import asyncio
from collections.abc import Sequence

from broker.port import Broker, Position
from capture.folder import CaptureFolder, NamedPicture
from capture.recording.requests import match_call_of
from contract.pictures.digest import picture_digest


async def repair_pictures(broker: Broker, folder: CaptureFolder) -> Sequence[int]:
    """Store the damaged pictures of a capture again, from the log; return the numbers of the lines that stay without.

    A picture that the log does not have any more is removed, so that a reader reports it as missing.

    Raises:
        BrokerError: the log cannot be read.
        CaptureError: the capture cannot be written.
    """
    lost: dict[int, None] = {}
    for named in await asyncio.to_thread(list, folder.damaged()):
        picture = await _in_log(broker, named)
        if picture is None:
            await asyncio.to_thread(folder.drop_picture, named.sha256)
            lost[named.number] = None
        else:
            await asyncio.to_thread(folder.keep_pictures, [picture])
    return list(lost)


async def _in_log(broker: Broker, named: NamedPicture) -> bytes | None:
    """Return the picture from the request in the log; None: the log does not have it any more."""
    place = named.place
    record = None if place is None else await broker.read_at(Position(place.topic, place.partition, place.offset))
    request = None if record is None else match_call_of(record)
    pictures = () if request is None else (*request.pictures, request.ir_picture)
    found = (picture for picture in pictures if picture is not None and picture_digest(picture) == named.sha256)
    return next(found, None)
