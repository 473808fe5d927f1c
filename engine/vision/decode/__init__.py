"""Decoding of pictures to images at full or reduced size, upright according to their EXIF orientation."""
