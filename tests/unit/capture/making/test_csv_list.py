from pathlib import Path

import pytest

from capture.making.csv_list import read_list
from contract.captures.values import CapturedRequest, CaptureError
from contract.pictures.digest import picture_digest
from tests.support.records import jpeg


def listed(folder: Path, *rows: str, header: str = "path,device_ip,compare_time,expected_identity_id") -> Path:
    path = folder / "list.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_a_list_becomes_requests_in_its_order(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for number, name in enumerate(("a.jpg", "sub/b.jpg")):
        (tmp_path / name).write_bytes(jpeg(number))
    path = listed(
        tmp_path, "a.jpg,10.0.0.1,1700000000.5,7", "sub/b.jpg,10.0.0.2,2023-11-14T22:13:20Z,-", "a.jpg,gate,,"
    )
    first, second, third = read_list(path, tmp_path)

    assert [r.pictures for r in (first, second, third)] == [(jpeg(0),), (jpeg(1),), (jpeg(0),)]
    assert [r.line.request_id for r in (first, second, third)] == ["handmade-1", "handmade-2", "handmade-3"]
    assert [r.line.request.device_ip for r in (first, second, third)] == ["10.0.0.1", "10.0.0.2", "gate"]
    assert [r.line.request.compare_time for r in (first, second, third)] == [1_700_000_000.5, 1_700_000_000.0, None]
    assert [r.line.expected_identity_id for r in (first, second, third)] == ["7", "", None]


def test_a_list_can_name_the_infrared_picture_the_scope_and_the_liveness_mode(tmp_path: Path) -> None:
    for number, name in enumerate(("a.jpg", "ir.jpg")):
        (tmp_path / name).write_bytes(jpeg(number))
    header = "device_ip,path,ir_path,group_name,permission_name,liveness_mode"
    path = listed(
        tmp_path, "gate,a.jpg,ir.jpg,staff,day,liveness_rgb_ir", "gate,a.jpg,,,,", "gate,a.jpg", header=header
    )
    first, second, third = read_list(path, tmp_path)

    assert first.pictures == (jpeg(0), jpeg(1))
    sent = first.line.request
    assert (sent.ir_picture, sent.group_name, sent.permission_name) == (picture_digest(jpeg(1)), "staff", "day")
    assert sent.liveness_mode == "liveness_rgb_ir"
    assert second.pictures == third.pictures == (jpeg(0),)
    assert (
        second.line.request == third.line.request == CapturedRequest(picture=picture_digest(jpeg(0)), device_ip="gate")
    )


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("gate,a.jpg,none.jpg,,,", "names no file inside"),
        ("gate,a.jpg,,,day,", "permission_name needs a group_name too"),
        ("gate,a.jpg,,,,on", "liveness_mode is none of"),
        ("gate,a.jpg,,,,,more", "has more cells than the first line"),
    ],
)
def test_a_row_that_asks_for_what_no_device_can_ask_is_named(tmp_path: Path, row: str, reason: str) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(0))
    path = listed(tmp_path, row, header="device_ip,path,ir_path,group_name,permission_name,liveness_mode")
    with pytest.raises(CaptureError, match=rf"line 2 of .*{reason}"):
        list(read_list(path, tmp_path))


def test_a_column_that_means_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="has the column expected_identity; its columns can be"):
        list(read_list(listed(tmp_path, header="path,device_ip,expected_identity"), tmp_path))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("../secret.jpg,10.0.0.1,,", "names no file inside"),
        ("out.jpg,10.0.0.1,,", "names no file inside"),
        ("none.jpg,10.0.0.1,,", "names no file inside"),
        (",10.0.0.1,,", "names no file inside"),
        ("sub,10.0.0.1,,", "names no file inside"),
        ("text.jpg,10.0.0.1,,", "not a JPEG, PNG, WebP or BMP"),
        ("a.jpg,,,", "device_ip is empty"),
        ("a.jpg,10.0.0.1,yesterday,", "compare_time is not a time"),
        ("a.jpg,10.0.0.1,10m,", "compare_time is not a time"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_with_its_reason(tmp_path: Path, row: str, reason: str) -> None:
    pictures = tmp_path / "pictures"
    (pictures / "sub").mkdir(parents=True)
    (tmp_path / "secret.jpg").write_bytes(jpeg(1))
    (pictures / "out.jpg").symlink_to(tmp_path / "secret.jpg")
    (pictures / "a.jpg").write_bytes(jpeg(1))
    (pictures / "text.jpg").write_bytes(b"hello")
    path = listed(tmp_path, "a.jpg,10.0.0.1,,", row)
    with pytest.raises(CaptureError, match=rf"line 3 of .*{reason}"):
        list(read_list(path, pictures))


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("x" * 300 + ".jpg", "the picture cannot be read: File name too long|the path names no file"),
        ("a\0.jpg", "the path names no file"),
        ("a.jpg/b.jpg", "the path names no file"),
    ],
)
def test_a_path_that_no_file_can_have_is_named_with_its_line(tmp_path: Path, cell: str, reason: str) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    with pytest.raises(CaptureError, match=rf"line 3 of .*: ({reason})"):
        list(read_list(listed(tmp_path, "a.jpg,gate", f"{cell},gate", header="path,device_ip"), tmp_path))


def test_a_picture_in_a_folder_that_nobody_may_read_is_named_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The administrator may read every folder, so the refusal of the system is made up."""
    (tmp_path / "a.jpg").write_bytes(jpeg(1))

    def refuse(path: Path, **_: object) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    path = listed(tmp_path, "a.jpg,gate", header="path,device_ip")
    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(CaptureError, match=r"line 2 of .*: the picture cannot be read: Permission denied"):
        list(read_list(path, tmp_path))


def test_a_file_that_is_no_such_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="needs a first line with the columns"):
        list(read_list(listed(tmp_path, header="photo,ip"), tmp_path))
    (tmp_path / "latin.csv").write_bytes(b"path,device_ip\n\xff,x\n")
    with pytest.raises(CaptureError, match="not a CSV file in UTF-8"):
        list(read_list(tmp_path / "latin.csv", tmp_path))
