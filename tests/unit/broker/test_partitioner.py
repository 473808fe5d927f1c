import pytest

from broker.partitioner import murmur2, partition_of


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_digest_is_the_one_kafkas_clients_compute(key: bytes, signed: int) -> None:
    assert murmur2(key) == signed % 2**32


def test_every_partition_is_within_the_topic() -> None:
    chosen = {partition_of(b"%d" % number, 7) for number in range(500)}
    assert chosen == set(range(7))


def test_the_empty_key_has_a_partition() -> None:
    assert 0 <= partition_of(b"", 3) < 3
