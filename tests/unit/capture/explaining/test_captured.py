"""What a capture has of a match, and what is explained from it."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from capture.explaining.captured import then_in
from capture.explaining.log import Engine
from capture.explaining.matches import explain_match
from capture.explaining.values import Explanation
from capture.folder import CaptureFolder
from capture.reader import CaptureReader
from contract.captures.convert import line_of
from contract.captures.values import CaptureError, ConfigLine, PeopleLine
from contract.configs import policy_record
from engine.policy import Policy
from tests.support.faces import MAX_PIXELS, MODELS, photo
from tests.support.then import Past

SETTINGS: dict[str, Any] = msgspec.to_builtins(Policy())
POLICY = policy_record(SETTINGS)


def explained(folder: Path, content: dict[str, Any]) -> Explanation:
    """The explanation of a match in a capture whose policy has this content under the id of then."""
    past = Past()
    past.enrol("anna", 1, info={"name": "Anna"})
    then = past.then(photo(1))
    assert then.request is not None
    assert then.event is not None
    decision = msgspec.structs.replace(then.decision, policy=POLICY.id)
    with CaptureFolder(folder) as captured:
        captured.keep_picture(then.request.picture)
        captured.append([line_of(then.request, then.event.request, decision)])
        captured.append_people(
            [PeopleLine(offset=e.offset, time=1.0, key=e.key or b"", value=e.value) for e in past.entries]
        )
        captured.append_configs([ConfigLine(key=POLICY.key.decode(), value=content)])
        captured.describe(people_from=0)
    found = then_in(CaptureReader(folder), "r1", Engine(MODELS, "", MAX_PIXELS))
    assert found is not None
    return explain_match(found)


def test_a_line_is_made_again_from_its_picture(tmp_path: Path) -> None:
    explanation = explained(tmp_path / "capture", SETTINGS)
    assert (explanation.way, explanation.alarms, explanation.gone) == ("look", (), ())
    assert [candidate.identity_id for candidate in explanation.candidates] == ["anna"]


def test_a_policy_whose_content_was_changed_is_an_alarm(tmp_path: Path) -> None:
    explanation = explained(tmp_path / "capture", {**SETTINGS, "max_people": 7})
    assert [alarm.what for alarm in explanation.alarms] == ["policy"]


def test_a_policy_that_this_release_cannot_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="cannot be used by this release"):
        explained(tmp_path / "capture", {"later": 1})
