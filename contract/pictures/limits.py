"""Limits of pictures that settings may lower and nobody may raise."""

MAX_UNDECIMATED_PIXELS = 8_300_000
"""Of a PNG, WebP or BMP, which cannot be decoded smaller than they are: a screen of 3840 x 2160."""
