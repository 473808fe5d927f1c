"""What comes in: the HTTP app, request parsing, safe image paths, admission, the correlator, replay."""
