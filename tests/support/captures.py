"""Small whole captures for tests."""

from pathlib import Path

from capture.folder import CaptureFolder
from capture.looks import LooksFile
from contract.captures.convert import line_of
from contract.captures.values import CapturedDecision, CaptureLine, ConfigLine, LookLine, PeopleLine
from contract.events import RequestPlace
from contract.people.keys import person_key
from contract.requests import MatchRequest
from tests.support.records import match_request

MODEL_SET = "0123456789abcdef"
DECISION = CapturedDecision(
    outcome="matched",
    gallery_version=2,
    models={"embedder": "e"},
    retcode="1",
    identity_id="7",
    embedding=b"\0\x3c" * 8,
)


def captured(folder: CaptureFolder, request: MatchRequest, offset: int) -> CaptureLine:
    """Keep the pictures of a request and return its line."""
    sha256, *_ = [folder.keep_picture(picture) for picture in request.pictures]
    if request.ir_picture is not None:
        folder.keep_picture(request.ir_picture)
    return line_of(request, RequestPlace(topic="requests", partition=0, offset=offset, sha256=sha256), DECISION)


def whole_capture(out: Path, requests: int = 4) -> Path:
    """A complete capture with that many requests, and with people, configs and looks."""
    with CaptureFolder(out) as folder:
        folder.describe(people_from=0)
        folder.append_people(
            [PeopleLine(offset=n, time=1.0, key=person_key(f"p{n}"), value=b"value" * n or None) for n in range(3)]
        )
        folder.append_configs([ConfigLine(key=f"policy/{n}", value={"threshold": n}) for n in range(2)])
        folder.append([captured(folder, match_request(n), n) for n in range(requests)])
    with LooksFile(out, MODEL_SET) as looks:
        looks.append(
            [LookLine(request_id=f"r{n}", embedder="e", precision="single", embedding=bytes(16)) for n in range(3)]
        )
    return out
