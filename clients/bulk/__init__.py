"""Imports people in bulk into a running server: sources, chunks, and a journal by which an import goes on."""
