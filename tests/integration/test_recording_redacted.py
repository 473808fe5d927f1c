"""A redacted capture names nobody, and its decisions come out as they were."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from capture.reader import CaptureReader
from capture.recording.redaction import Redaction
from capture.recording.values import Wanted
from contract.captures.values import CaptureError, PhotoChoice
from contract.site_requests import (
    DeviceChange,
    DevicesRequest,
    GroupRequest,
    KeyRequest,
    PermissionRequest,
    SettingsRequest,
)
from tests.integration.test_processor import Running, enrol, match, running
from tests.integration.test_recording import decide
from tests.support.faces import photo
from tests.support.recorded import assert_same_decisions, lines_of, recorded

REDACTION = Redaction(b"k" * 32)
NAMES = (
    "anna-4711",
    "ben-0815",
    "Anna Example",
    "Ben Example",
    "Room 42",
    "night shift",
    "back gate",
    "pid-9090",
    "west door",
)
"""Every id and name that the requests of the test contain."""


async def fill(system: Running) -> None:
    await decide(
        system,
        GroupRequest(request_id="g1", action="create", name="night shift", description="Room 42", received_time_s=6.0),
        PermissionRequest(
            request_id="p1",
            action="create",
            name="back gate",
            permission_id="pid-9090",
            info={"pass_times": [{"days": [5], "from": "00:00", "to": "24:00"}], "by": "Anna Example"},
            received_time_s=6.0,
        ),
        enrol(
            "e1",
            "anna-4711",
            1,
            group_names=("night shift", "default_group"),
            info={
                "name": "Anna Example",
                "desk": "Room 42",
                "permission_ids": ["0", "pid-9090"],
                "valid_from": 1.0,
                "valid_until": 60.0,
            },
        ),
        enrol("e2", "ben-0815", 2, info={"name": "Ben Example", "type": 3}),
        match(1, seed=1),
        match(2, seed=1, group_name="night shift", grab_fiqa_info={"by": "Anna Example"}, compare_time_raw="Room 42"),
        match(3, seed=2),
        match(4, seed=1, received_time_s=61.0),
        match(5, seed=9, group_name="back gate"),
        match(6, seed=1, permission_name="back gate", group_name="night shift"),
    )
    device = DeviceChange(name="west door", address="10.0.0.2", device_type="photo", details={"by": "Ben Example"})
    await decide(
        system,
        DevicesRequest(request_id="v1", action="create", devices=(device,), received_time_s=6.0),
        KeyRequest(request_id="k1", action="create", name="Anna Example", role="operator", received_time_s=6.0),
        SettingsRequest(
            request_id="s1", values={"HISTORY_UPLOAD_EVENT_URL": ["http://ben-0815.example"]}, received_time_s=6.0
        ),
        match(7, seed=1),
    )


def bytes_of(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The name and the bytes of each file, and the records of people, which are in base64 there."""
    yield "people", b"".join(line.key + (line.value or b"") for _, line in CaptureReader(folder).people())
    for path in sorted(folder.rglob("*")):
        yield path.name, path.name.encode() + (path.read_bytes() if path.is_file() else b"")


async def test_no_name_occurs_in_a_redacted_capture_and_every_decision_comes_out_again(tmp_path: Path) -> None:
    out, plain = tmp_path / "out", tmp_path / "plain"
    async with running(tmp_path / "data") as system:
        await fill(system)
        events: list[dict[str, Any]] = await system.wait_for(system.sent)
        assert {event["outcome"] for event in events if event["id"] in ("g1", "p1", "v1", "k1", "s1")} == {
            "created",
            "changed",
        }
        await recorded(system.broker, plain)
        await recorded(system.broker, out, redaction=REDACTION)
    everything = b"".join(data for _, data in bytes_of(plain))
    assert [name for name in NAMES if name.encode() not in everything] == [], "the search would find every name"
    found = [(file, name) for file, data in bytes_of(out) for name in NAMES if name.encode() in data]
    assert found == []

    assert assert_same_decisions(out) == assert_same_decisions(plain) == 7
    outcomes = [[line.decision.outcome for line in lines_of(each).values() if line.decision] for each in (out, plain)]
    assert outcomes[0] == outcomes[1]
    assert set(outcomes[0]) == {"matched", "blacklisted", "not_valid", "error", "not_in_pass_time"}
    assert CaptureReader(out).manifest.redacted


async def test_a_redacted_capture_is_continued_with_the_same_key_only(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with running(tmp_path / "data") as system:
        await decide(system, enrol("e1", "anna-4711", 1), match(1, seed=1))
        await recorded(system.broker, out, redaction=REDACTION)
        await decide(system, match(2, seed=1))
        with pytest.raises(CaptureError, match="the capture is redacted"):
            await recorded(system.broker, out)
        with pytest.raises(CaptureError, match="another key"):
            await recorded(system.broker, out, redaction=Redaction(b"x" * 32))
        assert (await recorded(system.broker, out, redaction=REDACTION)).recorded == 1
        await recorded(system.broker, tmp_path / "plain")
        with pytest.raises(CaptureError, match="leave --redact out"):
            await recorded(system.broker, tmp_path / "plain", redaction=REDACTION)
    assert assert_same_decisions(out) == 2
    names = {line.decision.identity_id for line in lines_of(out).values() if line.decision}
    assert names == {REDACTION.identity("anna-4711")}


async def test_a_redacted_capture_of_one_device_names_it_nowhere_and_is_continued(tmp_path: Path) -> None:
    out, name = tmp_path / "out", "door-mueller-office"
    async with running(tmp_path / "data") as system:
        await decide(system, match(1, seed=1, device_ip=name), match(2, seed=1))
        await recorded(system.broker, out, redaction=REDACTION, wanted=Wanted(device_ip=name))
        await decide(system, match(3, seed=1, device_ip=name), match(4, seed=1))
        await recorded(system.broker, out, redaction=REDACTION)
        await decide(system, match(5, seed=1, device_ip=name))
        await recorded(system.broker, out, redaction=REDACTION, wanted=Wanted(device_ip=name))
        with pytest.raises(CaptureError, match="begun with --device"):
            await recorded(system.broker, out, redaction=REDACTION, wanted=Wanted(device_ip="door-other"))
    assert list(lines_of(out)) == ["m1", "m3", "m5"]
    assert [file for file, data in bytes_of(out) if b"mueller" in data] == []
    assert assert_same_decisions(out) == 3


@pytest.mark.parametrize("photos", ["none", "all"])
async def test_a_redacted_capture_names_only_photos_that_it_has(tmp_path: Path, photos: PhotoChoice) -> None:
    out = tmp_path / "out"
    async with running(tmp_path / "data") as system:
        await decide(system, enrol("e1", "anna-4711", 1), match(1, seed=1, picture=photo(1, size=150)))
        await recorded(
            system.broker, out, redaction=REDACTION, wanted=None if photos == "none" else Wanted(photos=photos)
        )
    digest = sha256(photo(1))
    named = any(digest.digest() in (line.value or b"") for _, line in CaptureReader(out).people())
    assert named is CaptureReader(out).has_picture(digest.hexdigest()) is (photos == "all")
    assert CaptureReader(out).manifest.photos == photos


async def test_a_redacted_capture_cannot_have_the_photos_of_candidates(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as system:
        with pytest.raises(CaptureError, match="photos of everybody or of nobody"):
            await recorded(system.broker, tmp_path / "out", redaction=REDACTION, wanted=Wanted(photos="candidates"))


async def test_a_redacted_capture_does_not_show_when_people_were_enrolled_before_its_first_decision(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    async with running(tmp_path / "data") as system:
        await decide(system, enrol("e1", "anna-4711", 1), enrol("e2", "ben-0815", 2), match(1, seed=1))
        await decide(system, enrol("e3", "carla-77", 3), match(2, seed=3))
        await recorded(system.broker, out, redaction=REDACTION)
        await recorded(system.broker, tmp_path / "plain")
    first_s = lines_of(out)["m1"].decision.decided_time  # type: ignore[union-attr]
    times = {line.offset: line.time for _, line in CaptureReader(out).people()}
    whole = {line.offset: line.time for _, line in CaptureReader(tmp_path / "plain").people()}
    assert first_s is not None
    assert times == {offset: max(time, first_s) for offset, time in whole.items()}
    assert times != whole
