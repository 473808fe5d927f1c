"""The doors: command line, settings, wiring of the roles. The only room that may open the others."""

from importlib.metadata import version

__version__ = version("picturematch")
