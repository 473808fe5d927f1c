"""The headers of encoded pictures, read from untrusted bytes without decoding, and the estimated cost of decoding."""
