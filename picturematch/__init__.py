"""The entry points: command line, settings, and wiring of the roles. Only this room may import all others."""

from importlib.metadata import version

__version__ = version("picturematch")
