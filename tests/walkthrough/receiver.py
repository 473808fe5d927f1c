"""A receiver of events as the vendor's sample has it: `python tests/walkthrough/receiver.py HOST PORT`.

It prints each upload as a line of JSON and answers {"message": "SUCCESS", "status": 0}. Only the standard library is
imported, as in the walk-throughs.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    """Takes one upload per request."""

    def do_POST(self) -> None:
        """Print the event, and answer as the sample does."""
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        print(json.dumps({"path": self.path, "event": event}), flush=True)  # noqa: T201
        answer = json.dumps({"message": "SUCCESS", "status": 0}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Print no access log."""


if __name__ == "__main__":
    host, port = sys.argv[1:]
    HTTPServer((host, int(port)), Handler).serve_forever()
