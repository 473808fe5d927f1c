"""What a picture may be: the settings that an ingress and a processor share, and the limits that nobody may raise."""

from typing import Annotated

import msgspec

MAX_UNDECIMATED_PIXELS = 8_300_000
"""Of a PNG, WebP or BMP, which cannot be decoded smaller than they are: a screen of 3840 x 2160."""

_Count = Annotated[int, msgspec.Meta(ge=1)]


class PictureSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Limits of every picture, told from its header before anything is decoded.

    An ingress refuses what is over them; a processor applies `max_pixels` again, since other ingresses may have others.
    """

    max_bytes: _Count = 8 * 1024 * 1024
    """Largest picture, in bytes of its file (not of base64)."""
    max_pixels: _Count = 32_000_000
    """Largest picture, width x height."""
    max_pixels_undecimated: Annotated[int, msgspec.Meta(ge=1, le=MAX_UNDECIMATED_PIXELS)] = MAX_UNDECIMATED_PIXELS
    """Largest PNG, WebP or BMP, which cannot be decoded smaller than it is."""
