"""The identity of a network, as events, enrolled faces and curves name it. Pure.

Two embeddings may be compared only if their embedders have the same identity. So the identity of an embedder says which
file it is, how the file is prepared, and how the manifest feeds it: with another order of colours or another mean, the
same file computes other embeddings.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from models.manifest import NetworkEntry, Triple
from models.recipe import identity_of, sha256_of

_DIGITS = 8


class _Feeding(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a manifest says about an embedder that changes its embeddings (models.manifest.NetworkEntry).

    The order of the fields is part of the identities. A field that is added later must leave the digest as it is where
    the field has its default.
    """

    colour: Literal["rgb", "bgr", "grey"]
    layout: Literal["nchw", "nhwc"] = "nchw"
    width: int | None = 112
    height: int | None = 112
    mean: Triple
    divisor: Triple
    outputs: tuple[str, ...] = ()
    mirrored: bool = False


_USUAL = _Feeding(colour="rgb", mean=(127.5, 127.5, 127.5), divisor=(127.5, 127.5, 127.5))
"""The feeding of ArcFace's networks, which an identity does not name."""

_OWN: Mapping[str, _Feeding] = {
    # fr_feature, the embedder of the release
    "87aacdfe57510db2af90c0251df680e8eec88f122ee94712121d09bcaaaf3581": _Feeding(
        colour="bgr", mean=(127.0, 127.0, 127.0), divisor=(128.0, 128.0, 128.0), outputs=("output",), mirrored=True
    ),
    # sface
    "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79": _Feeding(
        colour="rgb", mean=(0.0, 0.0, 0.0), divisor=(1.0, 1.0, 1.0)
    ),
}
"""By the sha256 of a file, the feeding that its identity does not name, where that is not the usual one. An entry that
is added or changed would make embeddings of different feedings comparable, so this table stays as it is."""


def identity_of_network(entry: NetworkEntry, source_sha256: str) -> str:
    """Return the identity of a network: the hash of its source, the version of the preparation, and its feeding.

    Only an embedder's feeding is named, by a digest, and only where it is not the one that the file has without a name.
    """
    identity = identity_of(source_sha256)
    if entry.role != "embedder":
        return identity
    feeding = _Feeding(
        colour=entry.input.colour,
        layout=entry.input.layout,
        width=entry.input.width,
        height=entry.input.height,
        mean=entry.input.mean,
        divisor=entry.input.divisor,
        outputs=entry.outputs,
        mirrored=entry.mirrored,
    )
    if feeding == _OWN.get(source_sha256, _USUAL):
        return identity
    return f"{identity}-i{sha256_of(msgspec.json.encode(feeding))[:_DIGITS]}"
