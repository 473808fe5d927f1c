"""The limits of pictures: the settings that ingresses and processors share, and limits that no setting can raise."""

from typing import Annotated

import msgspec

MAX_UNDECIMATED_PIXELS = 8_300_000
"""The most pixels of a PNG, WebP or BMP, which cannot be decoded at a smaller size: a screen of 3840 x 2160."""

_Count = Annotated[int, msgspec.Meta(ge=1)]


class PictureSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The limits of every picture, which are compared with its header before anything is decoded.

    An ingress refuses pictures over these limits. A processor applies `max_pixels` again, since other ingresses may
    have other limits.
    """

    max_bytes: _Count = 8 * 1024 * 1024
    """Largest picture, in bytes of its file (not of base64)."""
    max_pixels: _Count = 32_000_000
    """Largest picture, width x height."""
    max_pixels_undecimated: Annotated[int, msgspec.Meta(ge=1, le=MAX_UNDECIMATED_PIXELS)] = MAX_UNDECIMATED_PIXELS
    """Largest PNG, WebP or BMP, which cannot be decoded smaller than it is."""
