"""The partition of a key, as Kafka's own clients compute it, so that keyed order is the same on both adapters.

The partition is the MurmurHash2 of the key (32 bits, seed 0x9747B28C) without the sign bit, modulo the number of
partitions (Kafka protocol, default partitioner). It does not depend on the process, the machine or PYTHONHASHSEED.
"""

_SEED = 0x9747B28C
_MIX = 0x5BD1E995
_WORD = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Return the MurmurHash2 of `data` as an unsigned 32-bit number."""
    whole = len(data) & ~3
    digest = _SEED ^ len(data)
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little") * _MIX & _WORD
        word = (word ^ word >> 24) * _MIX & _WORD
        digest = (digest * _MIX & _WORD) ^ word
    if whole < len(data):
        digest = (digest ^ int.from_bytes(data[whole:], "little")) * _MIX & _WORD
    digest = (digest ^ digest >> 13) * _MIX & _WORD
    return digest ^ digest >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of `key` in a topic of so many partitions."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
