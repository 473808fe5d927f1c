"""Ids that the system makes. Pure."""

from uuid import NAMESPACE_OID, uuid5


def made_id(request_id: str, number: int = 0) -> str:
    """Return a UUID for the object `number` that a request creates.

    The same request always makes the same ids, so that a request that is decided again creates the same objects.
    """
    return str(uuid5(NAMESPACE_OID, f"picturematch/{request_id}/{number}"))


def device_id_at(address: str) -> str:
    """Return the device_id of an address without a registered device: a UUID, the same one always.

    `address`: in its one spelling (contract.addresses.canonical_address).
    """
    return str(uuid5(NAMESPACE_OID, f"picturematch/device/{address}"))
