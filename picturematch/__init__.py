"""The entry points: command line, settings, and wiring of the roles. Only this room may import all others."""

__version__ = "0.1.0"
