"""Bad values for every field of every declared call: what must be refused, and with which code of the error table.

The bounds come from the field's schema, so that a value just beyond each bound is tried. Everything else (the codes,
and what a name or an address may contain) is written down here, from the specification of the wire.
"""

import base64
import json
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from contract.calls.dialects import Dialect
from contract.errors import Cause, Code
from tests.support.faces import photo
from tests.wire.places import Place
from tests.wire.whole_site import MAX_PICTURE_BYTES, MOST_IN_A_LIST


class Raw(str):
    """A JSON text that no encoder writes."""

    __slots__ = ()


@dataclass(frozen=True)
class Bad:
    """A value that is refused. `cause`: what version 6 names instead of the code."""

    value: Any
    code: Code = Code.PARAM_ERROR
    cause: Cause | None = None


Kind = Callable[[Place], list[Bad]]

NOT_TEXT: tuple[Any, ...] = (0, 1.5, True, 10**30, [], ["x"], {}, {"a": "b"})
NOT_A_NUMBER: tuple[Any, ...] = ("x", "", True, [], [1], {}, {"a": 1})
NOT_A_FLAG: tuple[Any, ...] = (0, 1, 1.5, "true", "yes", "", [], [True], {})
NOT_AN_OBJECT: tuple[Any, ...] = (0, 1.5, True, "x", "", [], [{}])
NOT_A_LIST: tuple[Any, ...] = (0, 1.5, True, {}, {"0": "x"})
STEERING = ("a\nb", "a\x00b", "a\x7fb", "a\x9bb")
MISLEADING = (*STEERING, "a\u2028b", "a\u202eb", "a\u2066b")
NOT_JSON = tuple(map(Raw, ("NaN", "Infinity", "-Infinity", "1e999", "9" * 400, r'"\ud800"', "'x'", "x")))
"""What is no JSON, or what no value of JSON can be."""


def _all(values: Sequence[Any], code: Code = Code.PARAM_ERROR) -> list[Bad]:
    return [Bad(value, code) for value in values]


def _too_long(place: Place) -> list[Any]:
    return ["a" * (place.schema["maxLength"] + 1), *(["a" * 20_000] if place.in_body else [])]


def _malformed_name(place: Place) -> Code:
    """The code of a text that is no name of a group or permission."""
    return Code.PARAM_ERROR if place.declaration.dialect is Dialect.V6 else Code.GROUP_NAME_ERROR


def _deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


def flag(place: Place) -> list[Bad]:
    of_query = ["1", "0", "yes", "", " true", "true\n", "nonsense"]
    return _all(NOT_A_FLAG if place.in_body else of_query, Code.BOOLEAN_ARGUMENT_ERROR)


def whole(place: Place) -> list[Bad]:
    low, high = place.schema["minimum"], place.schema["maximum"]
    if place.in_body:
        beyond = [low - 1, high + 1, low + 0.5, 10**30, -(10**30)]
        return _all(["x", "80", *NOT_A_NUMBER[2:], *beyond])
    text = ["x", "-1", "1.5", "1e1", "0x10", "+1", " 1", "1_0", "\u0663", "\uff11", "9" * 400]
    return _all([*text, str(low - 1), str(high + 1)])


def line(place: Place) -> list[Bad]:
    return _all([*NOT_TEXT, *_too_long(place), *MISLEADING])


def nonempty_line(place: Place) -> list[Bad]:
    return [*line(place), *_all([" ", "\u3000"])]


def choice(place: Place) -> list[Bad]:
    first = next(iter(place.schema["enum"]))
    return _all([*NOT_TEXT, "nonsense", "best", f" {first}", f"{first}\x00", first.swapcase(), "x" * 20_000])


def comparison_level(place: Place) -> list[Bad]:
    return _all(["nonsense", "0.5", 0.5, 1, 0, True, [], ["high"], {}, "HIGH", "0.3", 0.28, -0.225, 10**30])


def name(place: Place) -> list[Bad]:
    """The name or id of one group or permission."""
    return [
        *_all(NOT_TEXT),
        *_all(["a,b", ",", " ", "\u3000", *_too_long(place), *MISLEADING], _malformed_name(place)),
    ]


def names(place: Place) -> list[Bad]:
    """Names of groups with commas."""
    wrong = [
        ",",
        "a,",
        "a,,b",
        ",a",
        "a, ,b",
        "a,a",
        "a, a",
        " ",
        "a" * 65,
        f"a,{'b' * 65}",
        *(f"x,{one}" for one in MISLEADING),
    ]
    return [*_all(NOT_TEXT), *_all(wrong, Code.GROUP_NAME_ERROR)]


def device_address(place: Place) -> list[Bad]:
    wrong = ["a b", "a,b", "a/b", "http://10.0.0.1", "\u95e8", "-a", "a-", "10.0.0.1:80", "fe80::1%a\tb", *MISLEADING]
    return _all([*NOT_TEXT, *wrong, " ", *_too_long(place)])


def identity(place: Place) -> list[Bad]:
    return _all([*NOT_TEXT, "a/b", "/", *_too_long(place), *MISLEADING])


def enrolled(place: Place) -> list[Bad]:
    """The id of somebody who may have been enrolled by an earlier version."""
    return _all([*NOT_TEXT, "a/b", "/", *_too_long(place), *STEERING])


def several_enrolled(place: Place) -> list[Bad]:
    text = [*NOT_TEXT, None, "", "a/b", "x" * 65, *STEERING]
    too_many = [str(number) for number in range(MOST_IN_A_LIST + 1)]
    return _all([*NOT_A_LIST, "666666", [], *([one] for one in text), *(["1", one] for one in text), too_many])


def permission_ids(place: Place) -> list[Bad]:
    return [
        *_all([*NOT_A_LIST, "0", "", [None], *([one] for one in NOT_TEXT), ["0"] * (place.schema["maxItems"] + 1)]),
        *_all([[""], ["a,b"], ["x" * 65], *(["0", one] for one in MISLEADING)], _malformed_name(place)),
    ]


def feature(place: Place) -> list[Bad]:
    bad = [None, "1", True, [], {}]
    many = [0.5] * (place.schema["maxItems"] + 1)
    return _all(
        [*NOT_A_LIST, "", "1,2", [], *([one] for one in bad), *([0.5, one] for one in bad), many],
        Code.BAD_FEATURE_ERROR,
    )


def whole_object(place: Place) -> list[Bad]:
    return _all([*NOT_AN_OBJECT, _deep(17), _deep(200), {"a": [_deep(16)]}, {"a": "x" * 70_000}, {"x" * 70_000: 1}])


def small_object(place: Place) -> list[Bad]:
    return [*whole_object(place), Bad({"a": "x" * 4_100})]


def described_info(place: Place) -> list[Bad]:
    """The info of a group or permission: the fields beside it are not in it."""
    return [*whole_object(place), *_all([{"name": "x"}, {"description": "x"}, {"name": None}])]


def plain(place: Place) -> list[Bad]:
    return _all(MISLEADING)


def picture(place: Place) -> list[Bad]:
    unreadable = [
        "not base64",
        "=",
        "A",
        "AAAA=",
        "====",
        "QUJDQ===",
        "QU=J",
        "QUI==",
        "QU JD",
        "data:image/jpeg;base64",
        "\u00c4",
        "data:,QUJD",
        "data:image/jpeg;base64,",
        "\n",
        "QUJD\x00",
        "QUJD",
    ]
    return [
        *_all(NOT_TEXT),
        *_all(
            [*unreadable, _base64(b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"), _base64(b"\xff\xd8\xff")], Code.IMAGE_ERROR
        ),
        Bad(_base64(_png_of(30_000, 30_000)), Code.IMAGE_SIZE_TOO_LARGE_ERROR),
        Bad("A" * (MAX_PICTURE_BYTES * 4 // 3 + 4), Code.PAYLOAD_TOO_LARGE),
    ]


def import_photo(place: Place) -> list[Bad]:
    """A photo of an import: what only the picture's contents show is an error of its person, not of the call."""
    unreadable = ["not base64", "=", "A", "AAAA=", "QU=J", "QUI==", "data:image/jpeg;base64", "\n", "\u00c4"]
    large = "A" * (MAX_PICTURE_BYTES * 4 // 3 + 4)
    return [*_all(NOT_TEXT), *_all(unreadable, Code.IMAGE_ERROR), Bad(large, Code.PAYLOAD_TOO_LARGE)]


def or_none(kind: Kind) -> Kind:
    """The bad values of a kind, without the empty ones, which count as absent or as a list of nothing."""
    return lambda place: [bad for bad in kind(place) if bad.value not in ("", [])]


def pictures(place: Place) -> list[Bad]:
    """A list of pictures of one passage."""
    good = _base64(photo(1))
    single = [Bad([bad.value], bad.code) for bad in picture(place)]
    behind = [Bad([good, bad.value], bad.code) for bad in picture(place)]
    too_many = [good] * (place.schema["maxItems"] + 1)
    return [*_all([*NOT_A_LIST, good, "", [], [None], too_many]), *single, *behind, Bad([""], Code.IMAGE_ERROR)]


def infrared_picture(place: Place) -> list[Bad]:
    return [*picture(place), Bad("", Code.IMAGE_ERROR)]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _png_of(width: int, height: int) -> bytes:
    """A PNG that claims these dimensions and has next to no content."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def picture_path(place: Place) -> list[Bad]:
    wrong = [
        "/etc/passwd",
        "x.jpg",
        "../x.jpg",
        "/",
        "/nobody/x.jpg",
        "a\x00b",
        "/x" * 10_000,
        "http://127.0.0.1/x.jpg",
        "\n",
    ]
    return [*_all(NOT_TEXT), *(Bad(one, Code.IMAGE_ERROR, "path") for one in wrong)]


def moment(place: Place) -> list[Bad]:
    return _all([True, -1, -0.5, 1e14, 10**30, "now", "nan", "inf", "1_000", "1e999", "0x10", "-1", " ", [], [1], {}])


def seconds(place: Place) -> list[Bad]:
    return _all([*NOT_A_NUMBER, -1, -0.5, 1e11, 1.7e12, 10**30])


def refused(place: Place) -> list[Bad]:
    """A field that no value is allowed in."""
    return _all([*NOT_TEXT, "http://127.0.0.1/x.jpg"])


def image_id(place: Place) -> list[Bad]:
    wrong = [
        "x",
        "666666",
        "666666-",
        "-0",
        "666666-x",
        "666666--1",
        "666666-00",
        "666666-99999999999999999999",
        "a\nb-0",
    ]
    return _all(wrong, Code.ID_NOT_FOUND)


def event_image_id(place: Place) -> list[Bad]:
    return _all(["a b", "ä", "x" * 129, "a/b", "-face", "-ir", " ", "a\nb"])


def percent(place: Place) -> list[Bad]:
    text = ["x", "-1", "100.1", "nan", "inf", "1e999", " ", "1_0", "0x10"]
    return _all([*text, True, -1, 100.5, 10**30, [], [82], {}] if place.in_body else text)


def texts(place: Place) -> list[Bad]:
    long = "x" * (place.schema["items"]["maxLength"] + 1)
    wrong = ["[]", "[1]", "[null]", '["a"', "[[]]", str([long]).replace("'", '"'), long, *MISLEADING]
    return _all([*wrong, json.dumps(["x"] * (place.schema["maxItems"] + 1))])


def text_list(place: Place) -> list[Bad]:
    long = "x" * (place.schema["items"]["maxLength"] + 1)
    return _all([*NOT_A_LIST, "x", [], [1], [None], [[]], [long], ["x"] * (place.schema["maxItems"] + 1)])


def groupings(place: Place) -> list[Bad]:
    return [*texts(place), *_all(["weather", '["day", "weather"]', "Day"])]


def objects(place: Place) -> list[Bad]:
    wrong = [*NOT_A_LIST, "x", "", [], [1], ["x"], [None], [[]], [{}, 1], [{}] * 2]
    return _all([*wrong, [{"device_id": str(number), "device_name": "x"} for number in range(MOST_IN_A_LIST + 1)]])


def key_name(place: Place) -> list[Bad]:
    return _all([*NOT_TEXT, "a b", "-a", ".a", "a/b", "a,b", " ", *_too_long(place), *MISLEADING])


def config_dict(place: Place) -> list[Bad]:
    named: list[Any] = [{"": 1}, {"x" * 65: 1}, *({one: 1} for one in MISLEADING)]
    return [*whole_object(place), *_all(named)]


def v6_config_dict(place: Place) -> list[Bad]:
    return [*whole_object(place), Bad({"NO_SUCH_SETTING": 1}, cause="setting"), Bad({"": 1}, cause="setting")]


def scores(place: Place) -> list[Bad]:
    wrong = [
        [0, 82],
        [0, 82, 100, 100],
        [82, 0, 100],
        [0, 0, 100],
        [0, 100, 100],
        [-1, 82, 100],
        [0, 82, 101],
        [0, None, 100],
    ]
    return _all(
        [*NOT_A_LIST, "", "x", [], *wrong, [0, True, 100], [0, "x", 100], [0, [], 100], "0,82", "0,x,100", "0,82,100,"]
    )


def score(place: Place) -> list[Bad]:
    return _all([0, -1, 100, 100.5, 10**30, True, "x", "0", "100", "nan", " ", [], [82], {}])


def event_urls(place: Place) -> list[Bad]:
    url = "http://127.0.0.1/x"
    wrong = [
        "x",
        "ftp://127.0.0.1/",
        "http://",
        "http://a@127.0.0.1/",
        "http://127.0.0.1:0/",
        f"{url}#a",
        "http://127.0.0.1/ x",
    ]
    return _all(
        [
            *(0, 1.5, True, {}, [1], [None], [[url]], [""]),
            *(
                [one]
                for one in (
                    *wrong,
                    f"http://127.0.0.1/{'x' * 2048}",
                    "http://a\\@127.0.0.1/",
                    "http://127.0.0.1/\u00e9",
                )
            ),
            *wrong,
            [f"{url}{number}" for number in range(place.schema["maxItems"] + 1)],
            ["http://elsewhere.example/"],
        ]
    )


def area(place: Place) -> list[Bad]:
    return _all(
        [
            *NOT_A_LIST,
            "",
            "1,2,3,4",
            [],
            [1, 2, 3],
            [1] * 5,
            [1, 2, 3, None],
            [1, 2, 3, "4"],
            [1, 2, 3, True],
            [1, 2, 3, []],
        ]
    )


def wipe_options(place: Place) -> list[Bad]:
    return [
        *whole_object(place),
        *_all([{}, {"users": False}, {"users": True, "events": True}, {"users": True, "all": True}, {"users": None}]),
    ]


def embedder(place: Place) -> list[Bad]:
    return _all([*NOT_TEXT, "", "a/b", "a\nb", "\xe9", *_too_long(place)])


def sha256(place: Place) -> list[Bad]:
    return _all([*NOT_TEXT, "", "0" * 63, "0" * 65, "A" * 64, "g" * 64, "0" * 64 + "\n"])


def templates(place: Place) -> list[Bad]:
    whole = base64.b64encode(bytes(8)).decode()
    odd = base64.b64encode(bytes(7)).decode()
    wrong = [{}, {"mask": whole}, {"whole": 1}, {"whole": ""}, {"whole": "%"}, {"whole": odd}, {"whole": [whole]}]
    many = {"whole": whole, **{f"kind{number}": whole for number in range(16)}}
    long = {"whole": base64.b64encode(bytes(4 * 8193)).decode()}
    return _all([*NOT_AN_OBJECT, *wrong, {"whole": whole, "A B": whole}, many, long], Code.BAD_FEATURE_ERROR)


def pass_times(place: Place) -> list[Bad]:
    span = {"days": [1], "from": "08:00", "to": "18:00"}
    same = {**span, "to": "08:00"}
    return _all([*NOT_A_LIST, "x", "", [], [None], ["x"], [1], [{}], [[]], [{**span, "more": 1}], [same], [span] * 101])


def days(place: Place) -> list[Bad]:
    return _all([*NOT_A_LIST, "mon", "", None, [], [0], [8], [1.5], ["1"], [True], [None], [[]], [1] * 8])


def time_of_day(place: Place) -> list[Bad]:
    return _all(
        [
            *NOT_TEXT,
            None,
            "",
            "8:00",
            "08:60",
            "25:00",
            "24:01",
            "08:00:00",
            " 08:00",
            "08:00\n",
            "\u0660\u0668:00",
            "noon",
        ]
    )


def begin_of_day(place: Place) -> list[Bad]:
    return [*time_of_day(place), Bad("24:00")]
