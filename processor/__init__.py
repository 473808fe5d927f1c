"""The processor role: lanes that process requests, a pool of matching threads, transactions and dead letters."""
