"""The commands: one module each, which defines a click command named `command`."""
