"""What can go wrong with networks; every message is one sentence for the operator that says what to do.

::

    ModelError
    ├── BadManifest         a manifest cannot be read, or contradicts itself
    ├── FetchFailed         a package could not be fetched (no network, no client, wrong contents)
    ├── NotInstalled        a network is asked for that is not in the cache
    └── DamagedModel        a file is not what its sha256 says, or not a usable network
"""

from contract.operator_error import OperatorError


class ModelError(OperatorError):
    """Something about the networks that the operator can put right."""


class BadManifest(ModelError):
    """The manifest cannot be used."""


class FetchFailed(ModelError):
    """A package did not arrive."""


class NotInstalled(ModelError):
    """The network is not in the cache."""


class DamagedModel(ModelError):
    """A file that is not what it should be."""
