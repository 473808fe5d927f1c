"""Captures: folders of recorded requests, which can be sent to a server again and compared with its answers."""
