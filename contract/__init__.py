"""What travels between the rooms: messages, events, findings, terms, topics, errors, captures and picture headers.

This room imports no other room.
"""
