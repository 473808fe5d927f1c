"""Captures: recorded requests kept as a folder, sent again to a server and compared."""
