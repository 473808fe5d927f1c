"""From the bytes of a picture to an image: decoding at full or reduced size, and EXIF orientation."""
