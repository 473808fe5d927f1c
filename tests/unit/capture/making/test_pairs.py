"""LFW's pairs.txt becomes one verification per pair."""

from pathlib import Path

import pytest

from capture.making.pairs import PairsList
from capture.making.values import MadeRequest, Photo
from contract.captures.values import CaptureError
from tests.support.albums import album

TWO_FOLDS = """2\t2
anna\t1\t2
anna\t1\t3
anna\t1\tbert\t1
bert\t1\tanna\t2
anna\t2\t3
bert\t1\t1
bert\t1\tanna\t1
anna\t3\tbert\t1
"""


def pairs_list(folder: Path, text: str) -> PairsList:
    file = folder / "pairs.txt"
    file.write_text(text)
    return PairsList(file, album(folder / "album", {"anna": 3, "bert": 1}))


def test_every_pair_is_a_request_against_the_group_of_its_first_picture(tmp_path: Path) -> None:
    pairs = pairs_list(tmp_path, TWO_FOLDS)
    requests = [found for found in pairs.requests() if isinstance(found, MadeRequest)]
    assert [
        (r.line.request_id, r.line.request.group_name, r.line.expected_identity_id, r.line.request.device_ip)
        for r in requests
    ] == [
        ("fold-1-pair-1", "anna_0001", "anna_0001", None),
        ("fold-1-pair-2", "anna_0001", "anna_0001", None),
        ("fold-1-pair-3", "anna_0001", "", None),
        ("fold-1-pair-4", "bert_0001", "", None),
        ("fold-2-pair-1", "anna_0002", "anna_0002", None),
        ("fold-2-pair-2", "bert_0001", "bert_0001", None),
        ("fold-2-pair-3", "bert_0001", "", None),
        ("fold-2-pair-4", "anna_0003", "", None),
    ]
    assert requests[0].pictures == ((tmp_path / "album/anna/anna_0002.jpg").read_bytes(),)


def test_every_first_picture_is_enrolled_once_alone_in_its_group(tmp_path: Path) -> None:
    photos = [photo for photo in pairs_list(tmp_path, TWO_FOLDS).gallery() if isinstance(photo, Photo)]
    names = ["anna_0001", "bert_0001", "anna_0002", "anna_0003"]
    assert [(photo.identity_id, photo.group_name) for photo in photos] == [(name, name) for name in names]
    assert photos[1].path == tmp_path / "album/bert/bert_0001.jpg"


def test_a_list_of_one_fold_names_only_the_number_of_its_pairs(tmp_path: Path) -> None:
    pairs = pairs_list(tmp_path, "1\nanna\t1\t2\nanna\t1\tbert\t1\n")
    assert [(pair.fold, pair.number, pair.matched) for pair in pairs.pairs()] == [(1, 1, True), (1, 2, False)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not a list of pairs"),
        ("anna\t1\t2\n", "is not a list of pairs"),
        ("0\t2\n", "is not a list of pairs"),
        ("1\t1\nanna\t1\t2\n", "has 1 pairs, and its first line names 2"),
        ("1\t1\nanna\t1\t2\nanna\t1\tbert\t1\nanna\t1\tbert\t1\n", "line 4 of .* with tabs between"),
        ("1\t1\nanna 1 2\n", "line 2 of .* a name and two numbers, with tabs between"),
        ("1\t1\nanna\t1\t2\nanna\t1\t2\n", "line 3 of .* two names, each with a number"),
        ("1\t1\nanna\t1\t2\nanna\t1\tanna\t2\n", "line 3 of .* must name two people"),
        ("1\t1\n..\t1\t2\n", "line 2 of .* names no picture"),
        ("1\t1\na/b\t1\t2\n", "line 2 of .* names no picture"),
        ("1\t1\nanna\t1\t-2\n", "line 2 of .* names no picture"),
        ("1\t1\nanna\t1\t10000\n", "line 2 of .* names no picture"),
        (f"1\t{'9' * 5000}\n", "is not a list of pairs"),
        (f"1\t1\nanna\t1\t{'9' * 5000}\n", "line 2 of .{1,200} names no picture: 'anna' '999.{1,40}$"),
        (f"1\t1\n{'a' * 300}\t1\t2\n", "line 2 of .*: it cannot be read: File name too long"),
        ("1\t1\nanna\t1\t4\n", "line 2 of .* does not exist"),
        ("1\t1\nanna\t1\t2\ncleo\t1\tanna\t1\n", "line 3 of .* does not exist"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_with_the_line(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(CaptureError, match=reason):
        list(pairs_list(tmp_path, text).requests())


def test_a_number_may_have_zeros_before_it(tmp_path: Path) -> None:
    first, *_ = pairs_list(tmp_path, TWO_FOLDS.replace("anna\t1\t2\n", "anna\t00001\t000002\n", 1)).pairs()
    assert (first.first, first.second) == (("anna", 1), ("anna", 2))


def test_a_list_in_another_encoding_or_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"1\t1\n\xff\t1\t2\n")
    with pytest.raises(CaptureError, match="not a list of pairs in UTF-8"):
        list(PairsList(tmp_path / "latin.txt", tmp_path).pairs())
    with pytest.raises(CaptureError, match="cannot be read: No such file"):
        list(PairsList(tmp_path / "none", tmp_path).pairs())
