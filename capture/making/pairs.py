"""A gallery and requests from a list of pairs in the format of LFW's pairs.txt.

Each pair is one verification (1:1): its first picture is enrolled as a person of its own, alone in a group of its own,
and its second picture becomes a request that names this group. So the scope of the search is that one person. The
request of a matched pair expects that person, and the request of a mismatched pair a stranger: the false non-match
rate and the false match rate of a replay are then those of the pairs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as shown

from capture.making.values import LeftOut, MadeRequest, Photo, picture_at
from contract.captures.values import CapturedRequest, CaptureError, CaptureLine
from contract.pictures.digest import picture_digest

_MOST_NUMBER = 9999
_MOST_PAIRS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Pair:
    """A pair of pictures, each a name and a number; `fold` and `number` count from 1. `line`: its line in the list."""

    line: int
    fold: int
    number: int
    first: tuple[str, int]
    second: tuple[str, int]

    @property
    def identity_id(self) -> str:
        """The identity of the first picture, which is also the name of its group: the picture's name without .jpg."""
        return _stem(self.first)

    @property
    def matched(self) -> bool:
        """Whether both pictures are of one person."""
        return self.first[0] == self.second[0]


@dataclass(frozen=True, slots=True)
class PairsList:
    """A list of pairs, and the folder of the pictures NAME/NAME_0001.jpg."""

    file: Path
    pictures: Path

    def pairs(self) -> Iterator[Pair]:
        """Yield the pairs in the order of the list.

        Raises:
            CaptureError: the list cannot be read, has another format, or has fewer pairs than its first line says.
        """
        try:
            with self.file.open(encoding="utf-8-sig") as lines:
                yield from self._parsed(lines)
        except UnicodeDecodeError as error:
            raise CaptureError(f"{self.file} is not a list of pairs in UTF-8: {error}") from error
        except OSError as error:
            raise CaptureError(f"{self.file} cannot be read: {error.strerror or error}") from error

    def gallery(self) -> Iterator[Photo | LeftOut]:
        """Yield the first picture of every pair, each picture once. Raises as `pairs`."""
        known: set[str] = set()
        for pair in self.pairs():
            if pair.identity_id not in known:
                known.add(pair.identity_id)
                name, who = _name(pair.first), pair.identity_id
                yield Photo(who, name, self.pictures / name, info={"name": who}, group_name=who)

    def requests(self) -> Iterator[MadeRequest | LeftOut]:
        """Yield a request for every pair; its id names fold and pair.

        Raises:
            CaptureError: as `pairs`; a picture is missing or cannot be read.
        """
        for pair in self.pairs():
            try:
                picture_at(self.pictures / _name(pair.first))
                picture = picture_at(self.pictures / _name(pair.second))
            except ValueError as error:
                raise CaptureError(f"line {pair.line} of {self.file}: {error}") from error
            request = CapturedRequest(picture=picture_digest(picture), group_name=pair.identity_id)
            expected = pair.identity_id if pair.matched else ""
            name = f"fold-{pair.fold}-pair-{pair.number}"
            yield MadeRequest(CaptureLine(request_id=name, request=request, expected_identity_id=expected), (picture,))

    def _parsed(self, lines: Iterator[str]) -> Iterator[Pair]:
        folds, of_each_kind = self._sizes(next(lines, ""))
        count = 0
        for number, line in enumerate(lines, start=2):
            if line.strip():
                count += 1
                fold, place = divmod(count - 1, 2 * of_each_kind)
                yield self._pair(number, line, fold + 1, place + 1, matched=place < of_each_kind)
        if count != 2 * folds * of_each_kind:
            raise CaptureError(f"{self.file} has {count} pairs, and its first line names {2 * folds * of_each_kind}")

    def _sizes(self, line: str) -> tuple[int, int]:
        """Return the number of folds, and of the pairs of each kind in a fold; a list of one fold names only these."""
        match [_number(word, _MOST_PAIRS) for word in line.split()]:
            case [int(pairs)] if pairs > 0:
                return 1, pairs
            case [int(folds), int(pairs)] if folds > 0 and pairs > 0:
                return folds, pairs
        raise CaptureError(
            f"{self.file} is not a list of pairs: its first line must have the number of folds and of the matched "
            "pairs of a fold"
        )

    def _pair(self, number: int, line: str, fold: int, place: int, *, matched: bool) -> Pair:
        words = line.rstrip("\r\n").split("\t")
        if len(words) != (3 if matched else 4):
            what = "a name and two numbers" if matched else "two names, each with a number"
            raise CaptureError(f"line {number} of {self.file} must have {what}, with tabs between")
        first, second = (words[0], words[1]), ((words[0], words[2]) if matched else (words[2], words[3]))
        pair = Pair(number, fold, place, self._picture(number, *first), self._picture(number, *second))
        if pair.matched != matched:
            raise CaptureError(f"line {number} of {self.file} must name two people: it is a mismatched pair")
        return pair

    def _picture(self, line: int, name: str, number: str) -> tuple[str, int]:
        usable = name not in ("", ".", "..") and "/" not in name and "\0" not in name
        place = _number(number, _MOST_NUMBER)
        if not usable or place is None:
            raise CaptureError(f"line {line} of {self.file} names no picture: {shown(name)} {shown(number)}")
        return name, place


def _number(text: str, most: int) -> int | None:
    """Return the number, from 0 to `most`, that a text is; None: it is none."""
    # A number of very many digits cannot be converted.
    usable = text.isascii() and text.isdigit() and len(text.lstrip("0")) <= len(str(most))
    return int(text) if usable and int(text) <= most else None


def _stem(picture: tuple[str, int]) -> str:
    return f"{picture[0]}_{picture[1]:04d}"


def _name(picture: tuple[str, int]) -> str:
    return f"{picture[0]}/{_stem(picture)}.jpg"
