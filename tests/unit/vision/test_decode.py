import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
import simplejpeg

from contract.errors import PictureTooLarge, PictureUnreadable
from engine.vision.decode.versions import as_jpeg, decode
from engine.vision.ports import Image
from tests.support import pictures

LIMIT = 1_000_000


def close(one: Image, other: Image, within: float = 12.0) -> bool:
    return one.shape == other.shape and float(np.abs(one.astype(int) - other.astype(int)).mean()) < within


@pytest.mark.parametrize(
    "data",
    [
        pictures.jpeg(pictures.colours()),
        pictures.progressive_jpeg(pictures.colours()),
        pictures.encoded(pictures.colours(), ".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 3),
        pictures.encoded(pictures.colours(), ".png"),
        pictures.encoded(pictures.colours(), ".webp", cv2.IMWRITE_WEBP_QUALITY, 90),
        pictures.encoded(pictures.colours(), ".webp", cv2.IMWRITE_WEBP_QUALITY, 101),
        pictures.encoded(pictures.colours(), ".bmp"),
        pictures.encoded(np.dstack([pictures.colours(), np.full((64, 96), 9, np.uint8)]), ".png"),
        pictures.encoded(pictures.colours().astype(np.uint16) * 257, ".png"),
        pictures.bmp(96, -64, pictures.colours().tobytes()),
    ],
    ids=["jpeg", "progressive", "restarts", "png", "webp", "lossless", "bmp", "alpha", "16-bit", "bmp-top-down"],
)
def test_every_kind_becomes_the_same_bgr_picture(data: bytes):
    image = decode(data, LIMIT)

    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert close(image, pictures.colours())


def test_grey_pictures_become_three_equal_channels():
    grey = pictures.colours()[:, :, :1].copy()
    for data in (simplejpeg.encode_jpeg(grey, 95, "GRAY", "Gray"), pictures.encoded(grey, ".png")):
        image = decode(data, LIMIT)
        assert close(image, np.repeat(grey, 3, axis=2))


def test_a_palette_png_gets_its_colours():
    palette = pictures.png_chunk(b"PLTE", bytes([10, 20, 30, 200, 100, 50]))
    image = decode(pictures.png(4, 4, b"\x00\x00\x01\x00\x01" * 4, colour=3, extra=palette), LIMIT)

    assert image[0, 0].tolist() == [30, 20, 10]
    assert image[0, 1].tolist() == [50, 100, 200]


def test_a_cmyk_jpeg_as_print_shops_send_it_gets_its_colours():
    # Such files hold inverted ink: 255 is none. Cyan ink alone absorbs red.
    ink = np.zeros((32, 32, 4), np.uint8) + np.array([0, 255, 255, 255], np.uint8)
    blue, green, red = decode(simplejpeg.encode_jpeg(ink, 95, "CMYK", "444"), LIMIT)[16, 16].tolist()

    assert red < 30
    assert min(blue, green) > 200


@pytest.mark.parametrize("make", [pictures.jpeg, pictures.progressive_jpeg], ids=["baseline", "progressive"])
def test_a_jpeg_cut_anywhere_is_unreadable_unless_only_its_end_marker_is_gone(make):
    whole = make(pictures.busy())
    for length in [*range(2, len(whole) - 12, 61), len(whole) - 12]:
        with pytest.raises(PictureUnreadable):
            decode(whole[:length], LIMIT)
    for missing in (1, 2):
        assert np.array_equal(decode(whole[:-missing], LIMIT), decode(whole, LIMIT))


def test_a_progressive_jpeg_cut_exactly_between_two_scans_is_unreadable():
    whole = pictures.progressive_jpeg(pictures.busy())
    for place in _scan_starts(whole)[1:]:
        with pytest.raises(PictureUnreadable):
            decode(whole[:place], LIMIT)


def test_a_jpeg_with_a_piece_missing_in_the_middle_is_unreadable():
    for whole in (
        pictures.jpeg(pictures.busy()),
        pictures.encoded(pictures.busy(), ".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    ):
        middle = len(whole) // 2
        with pytest.raises(PictureUnreadable):
            decode(whole[:middle] + whole[middle + 300 :], LIMIT)


def test_padding_before_the_end_is_harmless_unless_it_stands_where_restart_markers_should():
    whole = pictures.encoded(pictures.busy(), ".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 2)
    padded = whole[:-2] + bytes(30) + whole[-2:]
    scan = whole.index(b"\xff\xda")
    unmarked = whole[:scan] + re.sub(rb"\xff[\xd0-\xd7]", b"", whole[scan:])

    assert np.array_equal(decode(padded, LIMIT), decode(whole, LIMIT))
    with pytest.raises(PictureUnreadable):
        decode(unmarked, LIMIT)


def test_what_real_cameras_do_wrong_without_harm_is_decoded():
    whole = pictures.jpeg(pictures.busy())
    expected = decode(whole, LIMIT)
    place, _ = pictures.frame_of(whole)
    for odd in (
        whole[:place] + b"stray" + whole[place:],
        whole[:11] + b"\x09\x09" + whole[13:],  # a JFIF revision that does not exist
        whole + bytes(500),
        whole + b"PK\x03\x04 and whatever else is appended",
    ):
        assert np.array_equal(decode(odd, LIMIT), expected)


def test_a_harmless_oddity_does_not_hide_that_the_rest_is_missing():
    whole = pictures.jpeg(pictures.busy())
    odd = whole[:11] + b"\x09\x09" + whole[13:]

    with pytest.raises(PictureUnreadable):
        decode(odd[: len(odd) // 2], LIMIT)
    with pytest.raises(PictureUnreadable):
        decode(odd[: len(odd) // 2] + b"\xff\xd9", LIMIT)


def test_a_header_that_says_more_rows_than_there_are_is_unreadable():
    data = pictures.jpeg(pictures.busy(160, 120))
    place, frame = pictures.frame_of(data)

    with pytest.raises(PictureUnreadable):
        decode(data[:place] + pictures.resized_frame(frame, 160, 600) + data[place + len(frame) :], LIMIT)


def test_a_jpeg_of_very_many_scans_is_refused():
    whole = pictures.progressive_jpeg(pictures.busy())
    last_scan = whole[_scan_starts(whole)[-1] : -2]

    with pytest.raises(PictureUnreadable, match="too many scans"):
        decode(whole[:-2] + last_scan * 100 + b"\xff\xd9", LIMIT)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp"])
def test_other_kinds_cut_anywhere_are_unreadable(suffix: str):
    whole = pictures.encoded(pictures.busy(), suffix)
    for length in range(2, len(whole) - 1, max(1, len(whole) // 150)):
        with pytest.raises(PictureUnreadable):
            decode(whole[:length], LIMIT)


def test_a_png_with_a_wrong_checksum_or_too_little_data_is_unreadable():
    whole = bytearray(pictures.encoded(pictures.busy(), ".png"))
    whole[len(whole) // 2] ^= 0xFF
    row = b"\x00" + bytes(96)
    for data in (
        bytes(whole),
        pictures.png(32, 32, row * 16),
        pictures.png(32, 32, b""),
        pictures.png(8, 8, row, depth=7),
    ):
        with pytest.raises(PictureUnreadable):
            decode(data, LIMIT)


def test_compressed_and_odd_bmps_are_decoded_or_unreadable():
    runs = pictures.bmp(
        32, 32, b"\x20\x05\x00\x00" * 32 + b"\x00\x01", bits=8, compression=1, palette=bytes(range(256)) * 4
    )
    assert decode(runs, LIMIT).shape == (32, 32, 3)
    for broken in (
        pictures.bmp(32, 32, b"\x20\x05\x00\x00", bits=8, compression=1, palette=bytes(1024)),
        pictures.bmp(32, 32, bytes(3072), bits=7),
        pictures.bmp(-32, 32, bytes(3072)),
        pictures.bmp(32, 32, bytes(3072), compression=4),
    ):
        with pytest.raises(PictureUnreadable):
            decode(broken, LIMIT)


def test_of_an_animation_the_first_frame_is_taken():
    animation = cv2.Animation()
    animation.frames = [pictures.colours(), 255 - pictures.colours()]
    animation.durations = [100, 100]
    done, data = cv2.imencodeanimation(".webp", animation)

    assert done
    assert close(decode(data.tobytes(), LIMIT), pictures.colours(), within=30)


def test_a_picture_over_the_limit_is_refused_whatever_its_kind():
    for suffix in (".jpg", ".png", ".webp", ".bmp"):
        with pytest.raises(PictureTooLarge):
            decode(pictures.encoded(pictures.colours(100, 100), suffix), 9_999)


def test_a_photo_stays_the_jpeg_it_was_and_others_become_one():
    photo = pictures.jpeg(pictures.colours())
    converted = as_jpeg(pictures.encoded(pictures.colours(), ".png"), LIMIT)

    assert as_jpeg(photo, LIMIT) == photo
    assert close(decode(converted, LIMIT), pictures.colours())
    with pytest.raises(PictureUnreadable):
        as_jpeg(photo[:200], LIMIT)


def test_native_libraries_print_nothing_about_a_truncated_picture():
    script = (
        "import sys\nfrom engine.vision.decode.versions import decode\nfrom contract.errors import PictureUnreadable\n"
        "data = sys.stdin.buffer.read()\n"
        "try:\n    decode(data, 10**6)\nexcept PictureUnreadable:\n    print('unreadable')\n"
    )
    for suffix in (".jpg", ".png", ".webp", ".bmp"):
        whole = pictures.encoded(pictures.busy(), suffix)
        done = subprocess.run([sys.executable, "-c", script], input=whole[:-40], capture_output=True, check=True)
        assert done.stdout.strip() == b"unreadable"
        assert done.stderr == b""


def _scan_starts(data: bytes) -> list[int]:
    return [place for place in range(len(data) - 1) if data[place : place + 2] == b"\xff\xda"]
