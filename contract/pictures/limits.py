"""Limits of pictures that settings may lower but not raise."""

MAX_UNDECIMATED_PIXELS = 8_300_000
"""The most pixels of a PNG, WebP or BMP, which cannot be decoded at a smaller size: a screen of 3840 x 2160."""
