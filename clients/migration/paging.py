"""Reads a list of a box page by page, whatever its version makes of limit and skip_num. Pure.

The vendor's books do not say whether skip_num counts entries or pages, and older boxes ignore limit and skip_num. The
second call asks for skip_num 1, and its answer decides: most of the first page again means that skip_num counts
entries, anything else that it counts pages. The same page means that skip_num is ignored, if a third call repeats it.
"""

from collections.abc import Sequence

MIN_LIMIT = 4
"""The smallest page whose overlap with the next one tells entries from pages although the list changes meanwhile."""


class Pages:
    """The state of reading one list; ask for `skip` until `done`.

    Args:
        limit: the entries of a page, at least `MIN_LIMIT`.
        skip, step: where an earlier run was, and the step that it had found; both as this class had them.
    """

    def __init__(self, limit: int, skip: int = 0, step: int | None = None) -> None:
        if limit < MIN_LIMIT:
            raise ValueError(f"a page must have at least {MIN_LIMIT} entries")
        self.limit = limit
        self.skip = skip
        self.step = step
        self.done = False
        self.repeats = False
        """Whether the last page was full and contained nothing new, so that the list may be incomplete."""
        self._first: Sequence[str] = ()
        self._seen: set[str] = set()

    def take(self, ids: Sequence[str], unreadable: int = 0) -> None:
        """Note the answer to `skip`, its ids and the number of its unreadable entries, and decide what to ask next."""
        count, is_new = len(ids) + unreadable, not self._seen.issuperset(ids)
        self._seen.update(ids)
        if self.step is not None:
            self.done = count < self.limit or not is_new
            self.repeats = self.done and count >= self.limit
            self.skip += self.step
        elif self.skip == 0:
            self.done = count != self.limit
            self._first, self.skip = ids, 1
        else:
            self._decide(ids, count)

    def _decide(self, ids: Sequence[str], count: int) -> None:
        if list(ids) == list(self._first):
            # Somebody who was added in front of the list shifts it by one entry, so skip_num 1 alone proves nothing.
            self.done, self.skip = self.skip > 1, self.limit
            return
        counts_entries = self.skip > 1 or 2 * len(set(self._first) & set(ids)) >= self.limit
        self.done = count < self.limit
        self.step = self.limit if counts_entries else 1
        self.skip += self.step
