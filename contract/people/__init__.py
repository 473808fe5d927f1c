"""The records of the people topic: their keys, their decoding, and the fold that lists who is enrolled."""
