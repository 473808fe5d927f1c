"""Consume, match, emit: the worker loop, its thread pool, its transactions and its dead letters."""
