"""The log on one machine: a SQLite file in the data folder, crash-safe, without a server. It is not Kafka.

One process owns the folder and writes (`owner`). Other commands on the same folder read beside it (`guest`) and keep
their own groups' offsets in small files of their own; nothing they do, or fail to do, holds the owner up. A group has
one member. The folder holds::

    log.sqlite     the records, topics and the owner's group offsets (WAL mode, synchronous FULL)
    log.lock       locked by the owner for as long as it runs
    groups/        per group and topic a lock and, for guests, the offsets

The layers, each importing only those above it::

    store       the file's shape and the SQL on it          upkeep      retention, compaction, giving space back
    writer      the one writing thread, group commit        tail        what the event loop knows of the log's end
    reads       threads that read                           cursor      a place in a topic: readers and members
    owner, guest    the two brokers
"""

from broker.embedded.opening import EmbeddedBroker, Role, open_embedded

__all__ = ["EmbeddedBroker", "Role", "open_embedded"]
