"""The ingress: the HTTP server, parsing of requests, reading of picture files, admission, and the correlator."""
