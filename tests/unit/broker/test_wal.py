"""What SQLite drops of a damaged WAL, told from its frames: against SQLite itself, which drops it."""

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from broker.embedded.wal import Frame, Lost, judge, what_is_lost

GOOD, COMMIT = Frame(True, False, True), Frame(True, True, True)
BAD, BAD_COMMIT = Frame(True, False, False), Frame(True, True, False)
OTHER = Frame(False, True, False)
ROWS = 30


@pytest.mark.parametrize(
    ("frames", "lost"),
    [
        ([], Lost()),
        ([GOOD, COMMIT, COMMIT], Lost()),
        ([COMMIT, GOOD], Lost()),  # under way when the process was killed
        ([COMMIT, BAD], Lost()),
        ([COMMIT, OTHER, OTHER], Lost()),  # of an earlier WAL in the same file
        ([COMMIT, BAD_COMMIT], Lost(1, 1, False)),
        ([COMMIT, BAD, BAD_COMMIT, OTHER], Lost(2, 1, False)),
        ([COMMIT, BAD_COMMIT, BAD_COMMIT, BAD], Lost(2, 2, True)),
        ([GOOD, BAD_COMMIT, BAD, BAD_COMMIT], Lost(4, 2, True)),
        ([COMMIT, OTHER, BAD_COMMIT], Lost(2, 2, False)),  # the other may have ended one, too
    ],
)
def test_frames_are_lost_from_the_last_whole_transaction_to_the_last_one(frames: list[Frame], lost: Lost) -> None:
    assert judge(iter(frames)) == lost


def written(folder: Path, page_bytes: int) -> Path:
    """A database whose rows, one per transaction, stand in its WAL only, behind an earlier WAL's remains."""
    path = folder / "live.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(f"PRAGMA page_size = {page_bytes}; PRAGMA journal_mode = WAL; CREATE TABLE t (x, y);")
        for _ in range(200):
            connection.execute("INSERT INTO t VALUES (-1, zeroblob(3000))")
        connection.execute("DELETE FROM t")
        connection.execute("PRAGMA wal_checkpoint(RESTART)")
        for number in range(ROWS):
            connection.execute("INSERT INTO t VALUES (?, zeroblob(?))", (number, 500 + number * 97 % 6000))
        for name in ("live.sqlite", "live.sqlite-wal"):
            shutil.copy(folder / name, folder / name.replace("live", "kept"))
    return folder / "kept.sqlite"


@pytest.mark.parametrize("page_bytes", [512, 4096, 65536])
def test_whatever_byte_is_flipped_at_most_what_is_told_is_lost(tmp_path: Path, page_bytes: int) -> None:
    chance = random.Random(page_bytes)
    database = written(tmp_path, page_bytes)
    wal = database.with_name(f"{database.name}-wal")
    whole, file = wal.read_bytes(), database.read_bytes()
    assert what_is_lost(database) == Lost()
    told = 0
    for _ in range(25):
        content = bytearray(whole)
        content[chance.randrange(min(len(content), ROWS * (page_bytes + 24)))] ^= 1 << chance.randrange(8)
        wal.write_bytes(content)
        database.write_bytes(file)
        lost = what_is_lost(database)
        with closing(sqlite3.connect(database)) as connection:
            (left,) = connection.execute("SELECT count(*) FROM t").fetchone()
        assert ROWS - left <= lost.transactions <= ROWS - left + 2
        assert not (lost.certain and left == ROWS)
        told += lost.transactions > 0
    assert told > 10


def test_where_there_is_no_wal_nothing_is_lost(tmp_path: Path) -> None:
    assert what_is_lost(tmp_path / "log.sqlite") == Lost()
    (tmp_path / "log.sqlite-wal").write_bytes(b"short")
    assert what_is_lost(tmp_path / "log.sqlite") == Lost()
