"""The log on one machine: a SQLite file in the data folder, crash-safe, without a server. It is not Kafka.

One process owns the folder and writes (`owner`). Other commands on the same folder read beside it (`guest`) and keep
their own groups' offsets in small files of their own; nothing they do, or fail to do, holds the owner up. A group has
one member. The folder holds::

    log.sqlite     the records, topics and the owner's group offsets (WAL mode, synchronous FULL)
    log.lock       locked by the owner for as long as it runs, as is the database file itself
    groups/        per group and topic a lock and, for guests, the offsets

The layers, each importing only those above it::

    store       the file's shape and how it is opened       rows, records   reading it; checksums, damage
    folder, locks, place    whose folder it is, and whether it is still there
    clocks      whether the clock may be believed           upkeep      retention, compaction, giving space back
    wal         what SQLite will drop of a damaged WAL      check, backup   looking a log over, copying and restoring it
    logfile     a log in a file of its own: backups of any adapter
    writer      the one writing thread, group commit        tail        what the event loop knows of the log's end
    reads       threads that read                           cursor      a place in a topic: readers and members
    owner, guest    the two brokers
"""

from broker.embedded.backup import backup_log, restore_log, verify_backup
from broker.embedded.check import Progress, check_log, record_count
from broker.embedded.housekeeper import accept_clock
from broker.embedded.locks import in_use
from broker.embedded.logfile import LogFileReader, LogFileWriter
from broker.embedded.opening import Condition, EmbeddedBroker, Role, open_embedded
from broker.embedded.store import LOG_FILE

__all__ = [
    "LOG_FILE",
    "Condition",
    "EmbeddedBroker",
    "LogFileReader",
    "LogFileWriter",
    "Progress",
    "Role",
    "accept_clock",
    "backup_log",
    "check_log",
    "in_use",
    "open_embedded",
    "record_count",
    "restore_log",
    "verify_backup",
]
