"""Reads the groups, permissions, people and devices of another vendor box over HTTP, and enrols them at this server."""
