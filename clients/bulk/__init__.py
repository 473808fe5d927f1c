"""Imports people in bulk into a running server: sources, chunks, and a journal by which an import goes on."""

CHUNK = 500
"""The people of a chunk: fewer cost more each, and a larger chunk holds up matches for longer."""
AT_ONCE = 2
"""The chunks that are sent at the same time."""
