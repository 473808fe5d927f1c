"""From bytes to faces: decode, detect, align, quality, liveness, embed."""
