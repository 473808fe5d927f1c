import pytest

from contract.errors import PictureTooLarge, PictureUnreadable
from contract.pictures.headers import Kind, picture_header, require_pixels
from tests.support import pictures


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (pictures.jpeg(pictures.colours(97, 65)), Kind.JPEG),
        (pictures.progressive_jpeg(pictures.colours(97, 65)), Kind.JPEG),
        (pictures.encoded(pictures.colours(97, 65), ".png"), Kind.PNG),
        (pictures.encoded(pictures.colours(97, 65), ".webp", 64, 80), Kind.WEBP),
        (pictures.encoded(pictures.colours(97, 65), ".webp", 64, 101), Kind.WEBP),
        (pictures.webp_extended(pictures.encoded(pictures.colours(97, 65), ".webp", 64, 80), 97, 65), Kind.WEBP),
        (pictures.encoded(pictures.colours(97, 65), ".bmp"), Kind.BMP),
        (pictures.bmp(97, -65, bytes(292 * 65)), Kind.BMP),
    ],
    ids=["jpeg", "progressive", "png", "webp", "webp-lossless", "webp-extended", "bmp", "bmp-top-down"],
)
def test_kind_and_size_are_read_from_the_header(data: bytes, kind: Kind):
    header = picture_header(data)

    assert (header.kind, header.width, header.height) == (kind, 97, 65)


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"GIF89a" + bytes(100), b"%PDF-1.7", b"<svg/>", b"RIFF\x10\x00\x00\x00WAVEfmt ", b"BM", bytes(64)],
)
def test_what_is_no_picture_is_unreadable(data: bytes):
    with pytest.raises(PictureUnreadable):
        picture_header(data)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
def test_a_header_cut_off_is_unreadable(suffix: str):
    whole = pictures.encoded(pictures.colours(), suffix)
    for length in range(min(24, len(whole))):
        with pytest.raises(PictureUnreadable):
            picture_header(whole[:length])


def test_a_picture_at_the_limit_passes_and_one_pixel_more_does_not():
    data = pictures.jpeg(pictures.colours(100, 50))

    assert require_pixels(data, 5000).pixels == 5000
    with pytest.raises(PictureTooLarge, match="4999 pixels"):
        require_pixels(data, 4999)


def test_a_side_that_no_jpeg_could_keep_is_too_large_however_few_pixels_it_makes():
    for suffix in (".png", ".bmp"):
        assert require_pixels(pictures.encoded(pictures.colours(65_500, 2), suffix), 32_000_000).pixels == 131_000
        with pytest.raises(PictureTooLarge, match="65500 pixels on a side"):
            require_pixels(pictures.encoded(pictures.colours(65_501, 2), suffix), 32_000_000)


def test_a_png_bomb_is_too_large_without_being_decoded():
    with pytest.raises(PictureTooLarge):
        require_pixels(pictures.png_bomb(), 32_000_000)


def test_the_thumbnail_in_a_jpeg_does_not_speak_for_the_picture():
    thumbnail = pictures.jpeg(pictures.colours(16, 16))
    payload = b"Exif\x00\x00" + thumbnail
    whole = pictures.jpeg(pictures.colours(200, 100))
    data = whole[:2] + b"\xff\xe1" + (len(payload) + 2).to_bytes(2, "big") + payload + whole[2:]

    assert picture_header(data).pixels == 20_000


def test_a_second_frame_header_is_refused_whichever_is_larger():
    data = pictures.jpeg(pictures.colours())
    place, frame = pictures.frame_of(data)
    large = pictures.resized_frame(frame, 20_000, 20_000)
    for both in (frame + large, large + frame):
        with pytest.raises(PictureUnreadable):
            picture_header(data[:place] + both + data[place + len(frame) :])


def test_stray_and_fill_bytes_between_jpeg_segments_are_stepped_over():
    data = pictures.jpeg(pictures.colours(80, 60))
    place, _ = pictures.frame_of(data)

    header = picture_header(data[:place] + b"stray\xff\x00\xff\xff\xff" + data[place:])

    assert (header.width, header.height) == (80, 60)


def test_a_jpeg_of_endless_empty_segments_is_refused():
    with pytest.raises(PictureUnreadable):
        picture_header(b"\xff\xd8" + b"\xff\xe2\x00\x02" * 2_000_000)


def test_a_webp_whose_frame_is_not_the_size_of_its_canvas_is_refused():
    simple = pictures.encoded(pictures.colours(64, 64), ".webp", 64, 80)
    for width, height in ((8, 8), (16_000, 16_000)):
        with pytest.raises(PictureUnreadable):
            picture_header(pictures.webp_extended(simple, width, height))


@pytest.mark.parametrize(("width", "height"), [(0, 10), (10, 0)])
def test_a_picture_without_pixels_is_unreadable(width: int, height: int):
    for data in (pictures.png(width, height, b""), pictures.bmp(width, height, b"")):
        with pytest.raises(PictureUnreadable):
            picture_header(data)


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "filler", [b"\xff", b"\xff\x00", b"\xff\x01"], ids=["fill bytes", "stuffed bytes", "bare markers"]
)
def test_a_long_run_of_marker_bytes_is_refused_in_one_pass(filler: bytes):
    # Looked at again from each of its bytes, eight megabytes of them would take days.
    data = b"\xff\xd8\xff" + filler * (8_000_000 // len(filler)) + b"\x00"
    with pytest.raises(PictureUnreadable):
        picture_header(data)
