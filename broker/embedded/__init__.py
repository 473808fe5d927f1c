"""The embedded adapter: the log on one machine, a SQLite file in the data folder, crash-safe, without a server.

One process, the owner, writes (`owner`). Other commands on the same folder, the guests, only read (`guest`) and keep
their groups' offsets in small files of their own; a guest that stops or fails never delays the owner. A group has one
member. The folder contains::

    log.sqlite     the records, topics and the owner's group offsets (WAL mode, synchronous FULL)
    log.lock       locked by the owner for as long as it runs, as is the database file itself
    groups/        per group and topic a lock and, for guests, the offsets
    *.request      what guests have filed for the owner: erasures, and records to append

The layers, each importing only those above it::

    store       the tables of the file, and its opening     rows, records   reading the tables; checksums, damage
    folder, locks, place    rights on the folder, its owner, and whether its files are still at their paths
    clocks      whether the system's clock is trusted       upkeep      retention, compaction, shrinking the file
    erasures, eraser    erasing the contents of single records, until no file of the log contains them
    wal         what SQLite will drop of a damaged WAL      check, backup   checking, copying and restoring a log
    logfile     a log in a single file: backups of either adapter
    writer      the writing thread, group commit            tail        ends and newest records in memory
    reads       the reading threads                         cursor      the offsets of a reader or a member
    owner, guest    the log of the owner and of a guest
"""

from broker.embedded.backup import backup_log, restore_log, rewrite_log, verify_backup
from broker.embedded.check import Progress, check_log, record_count
from broker.embedded.erasures import Erasure, file_erasure, refused
from broker.embedded.housekeeper import accept_clock
from broker.embedded.locks import in_use
from broker.embedded.logfile import LogFileReader, LogFileWriter
from broker.embedded.opening import Condition, EmbeddedBroker, Role, open_embedded
from broker.embedded.store import LOG_FILE
from broker.embedded.upkeep import REWRITTEN_BYTES

__all__ = [
    "LOG_FILE",
    "REWRITTEN_BYTES",
    "Condition",
    "EmbeddedBroker",
    "Erasure",
    "LogFileReader",
    "LogFileWriter",
    "Progress",
    "Role",
    "accept_clock",
    "backup_log",
    "check_log",
    "file_erasure",
    "in_use",
    "open_embedded",
    "record_count",
    "refused",
    "restore_log",
    "rewrite_log",
    "verify_backup",
]
