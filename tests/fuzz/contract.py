"""What untrusted bytes must come to, whatever they are: the picture that their header promises, or a refusal of the
table. The corpus test, the property tests and the fuzz target all hold the code to this."""

import numpy as np
import pybase64

from contract.errors import Code, PictureRefused, Refused
from contract.pictures.affordable import require_affordable
from contract.pictures.headers import PictureHeader, picture_header
from engine.vision.decode.versions import REDUCTIONS, Versions, as_jpeg, decode
from engine.vision.ports import Image
from ingest.pictures import PictureLimits, decode_base64, from_base64

_REFUSALS = {Code.IMAGE_ERROR, Code.IMAGE_SIZE_TOO_LARGE_ERROR}
_JPEG_MAGIC = b"\xff\xd8"


class ContractBroken(Exception):
    """The bytes came to something else."""


def require(holds: bool, otherwise: str) -> None:
    """Raise `ContractBroken` unless it holds."""
    if not holds:
        raise ContractBroken(otherwise)


def answer_to(data: bytes, max_pixels: int) -> Image | PictureRefused:
    """What the system makes of the bytes: at the edge, where it matches, and where it keeps an enrolment photo.

    Raises:
        ContractBroken: it is neither a picture as promised nor a refusal of the table, or the rooms disagree.
        Exception: whatever else came out, which breaks the contract as well.
    """
    edge = _at_the_edge(data, max_pixels)
    try:
        image = decode(data, max_pixels)
    except PictureRefused as refusal:
        _require_table(refusal)
        if isinstance(edge, PictureRefused):
            require(refusal.code == edge.code, "the edge and the decoder refuse for different reasons")
        _require_not_kept(data, max_pixels)
        return refusal
    if isinstance(edge, PictureRefused):
        raise ContractBroken("the edge refuses what the decoder accepts")
    _require_promised(image, edge, max_pixels)
    _require_reduced(data, image, max_pixels)
    _require_kept(data, image, max_pixels)
    return image


def text_is_answered(text: str, max_bytes: int) -> None:
    """Hold the reading of base64 to its contract: bytes within the limit, or a refusal of the table."""
    try:
        data = decode_base64(text, "rgb_image_base64", max_bytes)
    except Refused as refusal:
        require(refusal.code in {Code.IMAGE_ERROR, Code.PAYLOAD_TOO_LARGE}, "a base64 refusal outside the table")
        return
    require(0 < len(data) <= max_bytes, "base64 of no bytes, or of more than the limit")


def _at_the_edge(data: bytes, max_pixels: int) -> PictureHeader | PictureRefused:
    answer: PictureHeader | PictureRefused
    try:
        answer = require_affordable(data, max_pixels).header
    except PictureRefused as refusal:
        answer = refusal
    if data:
        limits = PictureLimits(max_bytes=len(data), max_pixels=max_pixels, roots=())
        try:
            arrived = from_base64(pybase64.b64encode(data).decode(), "rgb_image_base64", limits)
            require(arrived == data, "base64 changed the picture")
            require(isinstance(answer, PictureHeader), "a field lets in what the header check refuses")
        except Refused as refused:
            require(isinstance(answer, PictureRefused) and answer.code == refused.code, "a field refuses otherwise")
    return answer


def _require_table(refusal: PictureRefused) -> None:
    require(refusal.code in _REFUSALS, f"a picture refused with {refusal.code.name}")
    require(refusal.message.isprintable() and 10 < len(refusal.message) < 200, "a refusal that is not a sentence")


def _require_promised(image: Image, header: PictureHeader, max_pixels: int) -> None:
    require(isinstance(image, np.ndarray) and image.dtype == np.uint8, "not an array of bytes")
    require(image.flags.c_contiguous, "an array with gaps")
    upright, turned = (header.height, header.width, 3), (header.width, header.height, 3)
    require(image.shape in (upright, turned), f"{image.shape} where the header promised {upright}")
    require(0 < image.shape[0] * image.shape[1] <= max_pixels, "more pixels than the limit")


def _require_reduced(data: bytes, image: Image, max_pixels: int) -> None:
    require(
        Versions(data, max_pixels).fitting_reduction(max(image.shape)) == 1,
        "a reduction below the side that was asked for",
    )
    if not data.startswith(_JPEG_MAGIC):
        return
    for reduction in REDUCTIONS:
        rows, columns = -(-image.shape[0] // reduction), -(-image.shape[1] // reduction)
        small = decode(data, max_pixels, reduction)
        require(small.shape == (rows, columns, 3) and small.flags.c_contiguous, "a reduced picture of another size")


def _require_kept(data: bytes, image: Image, max_pixels: int) -> None:
    photo = as_jpeg(data, max_pixels)
    if data.startswith(_JPEG_MAGIC):
        require(photo == data, "a JPEG that is not kept as it came")
        return
    require(photo.startswith(_JPEG_MAGIC), "a photo kept as something else than a JPEG")
    header = picture_header(photo)
    require((header.height, header.width, 3) == image.shape, "a photo kept in another size")


def _require_not_kept(data: bytes, max_pixels: int) -> None:
    try:
        as_jpeg(data, max_pixels)
    except PictureRefused:
        return
    raise ContractBroken("a photo is kept that cannot be decoded")
