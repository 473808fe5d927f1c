"""The errors about networks; every message is one sentence for the operator, which includes what to do.

::

    ModelError
    ├── BadManifest         a manifest cannot be read, or contradicts itself
    ├── FetchFailed         a package could not be fetched (no network, no client, wrong contents)
    ├── NotInstalled        a network is needed that is not in the cache
    ├── RuntimeUnavailable  a runtime is not installed, or the processor lacks what it needs
    └── DamagedModel        a file has another sha256 than expected, or is not a usable network
"""

from contract.operator_error import OperatorError


class ModelError(OperatorError):
    """An error about networks that the operator can correct."""


class BadManifest(ModelError):
    """A manifest cannot be used."""


class FetchFailed(ModelError):
    """A package could not be fetched."""


class NotInstalled(ModelError):
    """A network is not in the cache."""


class DamagedModel(ModelError):
    """A file of a network is damaged or not usable."""


class RuntimeUnavailable(ModelError):
    """The runtime of a network is not installed, or the processor lacks what it needs."""
