"""The contract: the values that travel between the rooms (messages, events, findings, topics, errors, captures), and
readers of picture headers.

This room imports no other room.
"""
