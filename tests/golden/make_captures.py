"""Makes the golden captures: `python -m tests.golden.make_captures`.

A golden capture has what this program decided when the capture was made. The test replays it and fails where a decision
differs. All pictures are drawings, which `pictures_of` draws again, so that the repository has none of them; the folder
of a capture has its other files, and the decision file of its replay.

One capture needs an embedder with curves for covered faces, which the stand-in of the command line has not: it is
replayed in the process of the test, with such an embedder.

After a change that is meant to alter decisions: `python -m tests.golden.make_captures --accept NAME` replaces the
decisions that differ, by `picturematch replay --accept`. With names, these captures are made anew, without arguments
all.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
from click.testing import CliRunner, Result
from msgspec import structs

from contract.captures.convert import LINE_FILES, MANIFEST_FILE, picture_file
from contract.codec import encode
from contract.people.keys import person_key
from contract.site_requests import DeviceChange, DevicesRequest
from engine.policy import Policy
from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.networks import standin
from engine.vision.networks.standin import draw_face, draw_scene
from engine.vision.ports import Image, ModelSet
from picturematch.commands.replay import command as replay
from tests.support.covered import COVERED_MODELS, covered_photo
from tests.support.faces import scene, several_faces
from tests.support.recorded_site import RECEIVED_S, RecordedSite

CAPTURES = Path(__file__).parent / "captures"
DECISIONS = "decisions.jsonl"
FILES = (MANIFEST_FILE, *LINE_FILES)
STAND_IN = {"PICTUREMATCH_MODELS__KIND": "stand-in"}
GATE, STRICT, CELLAR = "10.0.0.1", "10.0.0.2", "10.0.0.3"
_STRANGERS = 1000


def face(seed: int, **drawn: float | bool) -> bytes:
    """A small picture of the face of a seed."""
    return scene(draw_face(seed, 96, **drawn), width=160, height=150)  # type: ignore[arg-type]


def mixed(seed: int, other: int, share: float) -> bytes:
    """A face that is that share of one seed's face, and the rest of another's."""
    image: Image = np.asarray(cv2.addWeighted(draw_face(seed, 96), share, draw_face(other, 96), 1 - share, 0))
    return scene(image, width=160, height=150)


def doors() -> RecordedSite:
    """Every outcome that needs a picture or people: scopes, validity, schedules, quality, liveness, thresholds."""
    site = RecordedSite(policy=Policy(unknown_device="reject"))
    site.group("create", "staff", description="")
    site.group("create", "nobody", description="")
    site.permission("create", "night", description="", info=_never_on(_weekday(RECEIVED_S)))
    site.enrol("anna", 1, info={"name": "Anna"}, group_names=("default_group", "staff"))
    site.enrol("bert", 2, info={"name": "Bert", "type": 3})
    site.enrol("cleo", 3, info={"name": "Cleo", "valid_until": RECEIVED_S - 1})
    site.enrol("dora", 4, info={"name": "Dora", "permission_ids": ["0", _id_of(site, "night")]})
    _register(site, GATE)
    _register(site, STRICT, quality_level="high")
    _register(site, CELLAR, group_id=site.people.site.group_named("nobody").group_id)  # type: ignore[union-attr]
    _pass_everywhere(site)
    site.policy = Policy(unknown_device="reject", threshold=0.62)
    site.enrol("anna", 11, update=True)
    site.members("remove", "staff", "anna")
    site.delete("bert")
    _pass_everywhere(site)
    return site


def thresholds() -> RecordedSite:
    """Faces of a crowd, whose cosines lie close to the threshold, on the percent scale."""
    site = RecordedSite(policy=Policy(score_scale="percent", accepted_score=84.0, allow_keep_info=True))
    for number in range(12):
        site.enrol(f"p{number:02}", 100 + number, info={"name": f"Person {number}"})
    for step in range(40):
        person = 100 + step % 12
        site.match(mixed(person, _STRANGERS + step, 0.34 + 0.004 * step), need_keep_info=step % 2 == 0)
    for step in range(8):
        site.match(mixed(100 + step, 101 + step, 0.5))
    return site


def crowd() -> RecordedSite:
    """Pictures of several faces: who is chosen, answered instead, behind somebody, and recognised once."""
    site = RecordedSite()
    for identity_id, seed in (("anna", 1), ("bert", 2), ("cleo", 3)):
        site.enrol(identity_id, seed, info={"name": identity_id.title()})
    site.policy = Policy(face="largest")
    site.match(two(1, _STRANGERS, 100))
    site.policy = Policy()
    for size in (80, 92, 100, 106, 112, 130):
        site.match(two(1, _STRANGERS, size))
        site.match(two(_STRANGERS, 1, size))
        site.match(two(1, 2, size))
    site.match(two(_STRANGERS, 1, 100, live=False), liveness_mode="liveness_rgb")
    site.match(two(_STRANGERS, 1, 100, yaw=60), min_face_size=90)
    many = scene(
        draw_face(1, 100), draw_face(2, 80), draw_face(1, 64), draw_face(_STRANGERS, 60), width=400, height=150
    )
    for fields in ({}, {"match_all_faces": True}, {"match_all_faces": True, "min_face_size": 70}):
        site.match(many, **fields)
    site.match(face(3), match_all_faces=True)
    return site


def templates() -> RecordedSite:
    """Decisions by the mean of several faces and by templates of covered faces, and what is decided without these."""
    site = RecordedSite(models=MODELS_OF["templates"])
    site.write(several_faces("anna", 1, 3))
    site.enrol("bert", 2)
    site.enrol("cleo", 3)
    site.enrol("cleo", 13, update=True)
    for policy in (Policy(), Policy(mean_templates=False), Policy(covered_templates=False)):
        site.policy = policy
        _pass_mixed_and_covered(site)
    site.policy = Policy()
    site.match(two(2, 13, 110), match_all_faces=True)
    site.match(mixed(3, 13, 0.5), match_all_faces=True)
    site.match(covered_photo(3, "mouth"), match_all_faces=True)
    site.enrol("cleo", 3, update=True, support_single_face=True)
    site.delete("bert")
    _pass_mixed_and_covered(site)
    return site


def strangers() -> RecordedSite:
    """People of type 4, whom calls and matches have enrolled: alone, beside others, and near the threshold."""
    site = RecordedSite(policy=Policy(enrol_strangers=True, stranger_margin=0.05))
    site.enrol("anna", 1, info={"name": "Anna"})
    site.enrol("walker", 2, info={"name": "Walker", "type": 4})
    site.enrol("passer-by", 3, info={"name": "stranger", "type": 4})
    passer_by = site.people.person("passer-by")
    assert passer_by is not None
    site.write([(person_key("passer-by"), encode(structs.replace(passer_by, enrolled_time=RECEIVED_S)))])
    for seed in (1, 2, 3, _STRANGERS):
        site.match(face(seed), support_stranger=True)
        site.match(two(seed, 1, 100), support_stranger=True)
        site.match(two(seed, 3, 100), support_stranger=True, match_all_faces=True)
    for share in (0.2, 0.28, 0.32, 0.36, 0.42):
        site.match(mixed(3, _STRANGERS, share), support_stranger=True, need_keep_info=True)
    site.delete("passer-by")
    site.match(face(3), support_stranger=True)
    return site


def two(middle: int, side: int, size: int, **at_side: float | bool) -> bytes:
    """A picture of two seeds' faces: one of 96 pixels in the middle, and one of that size in the corner."""
    placed = [(draw_face(middle, 96), 152, 72), (draw_face(side, size, **at_side), 4, 4)]  # type: ignore[arg-type]
    return encode_jpeg(draw_scene(400, 240, placed), quality=95)


SITES: Mapping[str, Callable[[], RecordedSite]] = {
    "doors": doors,
    "thresholds": thresholds,
    "crowd": crowd,
    "templates": templates,
    "strangers": strangers,
}
MODELS_OF: Mapping[str, ModelSet] = {"templates": COVERED_MODELS}
"""The networks of the captures that need others than the stand-ins of the command line."""


def _pass_mixed_and_covered(site: RecordedSite) -> None:
    for share in (0.5, 0.6, 0.62, 0.7, 1.0):
        site.match(mixed(1, _STRANGERS, share))
    for share in (0.4, 0.5, 0.6):
        site.match(mixed(3, 13, share))
    for seed in (1, 2, 3, 13, _STRANGERS):
        site.match(covered_photo(seed, "mouth"))
        site.match(covered_photo(seed, "eyes"))


def _pass_everywhere(site: RecordedSite) -> None:
    for seed in (1, 2, 3, 4, _STRANGERS):
        site.match(face(seed), device_ip=GATE)
    for share in (0.32, 0.36, 0.37, 0.42, 0.46):
        site.match(mixed(1, _STRANGERS, share), device_ip=GATE)
    site.match(face(1, live=False), device_ip=GATE, liveness_mode="liveness_rgb")
    site.match(face(1), device_ip=GATE, ir_picture=face(1, infrared=True))
    site.match(face(1, yaw=60), device_ip=STRICT)
    site.match(scene(width=160, height=150), device_ip=GATE)
    site.match(face(1)[:2000], device_ip=GATE)
    site.match(face(1), device_ip=CELLAR)
    site.match(face(4), device_ip=GATE, group_name="default_group", permission_name="night")
    site.match(face(1), device_ip=GATE, group_name="staff")
    site.match(face(1), device_ip="10.0.0.99")
    site.match(face(1), device_ip=GATE, group_name="none")
    site.match(face(1), device_ip=GATE, min_face_size=200)
    site.match(face(1), device_ip=GATE, by_permission=True)


def _register(site: RecordedSite, address: str, **fields: object) -> None:
    device = {"device_id": address, "name": address, "address": address, "device_type": "photo", **fields}
    site.ask(DevicesRequest, action="create", devices=(DeviceChange(**device),))  # type: ignore[arg-type]


def _weekday(time_s: float) -> int:
    return (int(time_s // 86_400) + 3) % 7 + 1  # 1 January 1970 was a Thursday


def _never_on(weekday: int) -> dict[str, object]:
    days = [day for day in range(1, 8) if day not in (weekday, weekday % 7 + 1)]
    return {"pass_times": [{"days": days, "from": "00:00", "to": "23:59"}]}


def _id_of(site: RecordedSite, permission: str) -> str:
    found = site.people.site.permission_named(permission)
    assert found is not None
    return found.permission_id


def put_together(name: str, folder: Path) -> Path:
    """Write a golden capture as it is in the repository, and its pictures, which are drawn again, into a folder.

    Raises:
        AssertionError: this machine draws other pictures than those of the capture.
    """
    pictures = pictures_of(name)
    shutil.copytree(CAPTURES / name, folder)
    (folder / "pictures").mkdir(mode=0o700)
    text = (folder / "requests.jsonl").read_text()
    missing = [line for line in text.split('"picture":"')[1:] if line[:64] not in pictures]
    assert not missing, (
        f"{len(missing)} pictures of {name} are drawn or encoded otherwise than when the capture was made; if the"
        " program still decides as before, make the captures anew: python -m tests.golden.make_captures"
    )
    for sha256, picture in pictures.items():
        (folder / picture_file(sha256)).write_bytes(picture)
    return folder


def pictures_of(name: str) -> Mapping[str, bytes]:
    """The pictures of a golden capture by their sha256."""
    site = SITES[name]()
    return {**site.pictures, **site.photos}


def make(name: str) -> None:
    """Make a golden capture anew, with what the program decides now."""
    with tempfile.TemporaryDirectory() as temporary:
        whole = SITES[name]().capture(Path(temporary) / name)
        _keep(name, whole)


def accept(name: str) -> None:
    """Replace the decisions of a golden capture that differ, and show them."""
    with tempfile.TemporaryDirectory() as temporary:
        whole = put_together(name, Path(temporary) / name)
        _run(name, str(whole), "--look", "--accept")
        _keep(name, whole)


def _keep(name: str, whole: Path) -> None:
    """Put the files of a capture, without its pictures, and the decision file of its replay into the repository."""
    folder = CAPTURES / name
    folder.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        shutil.copyfile(whole / file, folder / file)
    _run(name, str(whole), "--decisions", str(folder / DECISIONS))


def replayed(name: str, *arguments: object) -> Result:
    """Run `picturematch replay` in this process, with the networks of a golden capture."""
    with ExitStack() as patched:
        if name in MODELS_OF:
            patched.enter_context(patch.object(standin, "stand_in_models", lambda _release: MODELS_OF[name]))
        return CliRunner().invoke(replay, list(map(str, arguments)), env=STAND_IN, catch_exceptions=False)


def _run(name: str, *arguments: str) -> None:
    done = replayed(name, *arguments)
    print(done.output)  # noqa: T201 - the report is what a user of this script looks at
    if done.exit_code:
        raise SystemExit(done.exit_code)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--accept"]:
        accept(sys.argv[2])
    else:
        for each in sys.argv[1:] or SITES:
            make(each)
