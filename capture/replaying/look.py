"""Decides lines of a capture again by a look at their pictures, in several threads and in the order of the lines."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from capture.differences import decision_differences, expectation_differences, is_undecided
from capture.replaying.covered import limits_now
from capture.replaying.decide import FOREIGN_PEOPLE, PRESENT_SETTINGS, LookNeeded, Result, embedder_of
from capture.replaying.galleries import Galleries
from capture.replaying.given import Given
from capture.replaying.policies import Policies, PolicyPair
from capture.replaying.several import faces_differences
from capture.rows import Difference, Row, S, SameRows
from contract.captures.convert import REQUESTS_FILE, decision_of, request_with_pictures
from contract.captures.values import CapturedDecision, CaptureError, CaptureLine
from contract.configs import model_set_record
from contract.events import RequestPlace
from contract.requests import MatchRequest
from contract.vectors import Vector
from engine.calls.match import MatchCall, search_several, search_within
from engine.calls.matching import MatchDecision, about_only_face
from engine.calls.reporting import Circumstances
from engine.context import Context
from engine.gallery.people import Snapshot
from engine.gallery.scope import resolve_scope
from engine.vision.ports import ModelSet

_AHEAD = 4
"""The number of lines for each thread whose pictures may be in memory at once."""
MOST_WAITING = 1024
"""The most rows that wait for the look at an earlier line."""
_ROWS_FOR_SUMS = 64
"""Rows that were added up take about as much memory as so many single rows."""

_NOWHERE = RequestPlace(topic="", partition=0, offset=0)
"""The place of a request that no log contains."""


@dataclass(frozen=True, slots=True)
class Networks:
    """Opened networks, the most pixels of a picture that is decoded, and the clock that times the stages."""

    models: ModelSet
    max_pixels: int
    clock: Callable[[], float]


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """One look: everything that the thread needs besides the pictures."""

    number: int
    line: CaptureLine
    snapshot: Snapshot
    policies: PolicyPair
    version: int


@dataclass(frozen=True, slots=True, eq=False)
class _Looked:
    """The row of a look, and the embedding that was computed (unit vector); None: none was."""

    row: Row
    embedding: Vector | None = None


class Looker:
    """Looks at the pictures of lines again.

    `picture` returns the bytes of a picture by its sha256. `keep` is called with the row and the embedding (unit
    vector) of each line whose embedding is worth keeping. With `keep_going` a line whose picture is missing or damaged
    is a row with trouble.
    """

    def __init__(
        self,
        given: Given,
        networks: Networks,
        picture: Callable[[str], bytes],
        *,
        keep: Callable[[Row, Vector], None] = lambda row, embedding: None,
        keep_going: bool = False,
    ) -> None:
        self._keep = keep
        self._given, self._networks, self._picture, self._keep_going = given, networks, picture, keep_going
        self._policies = Policies(given.policies, given.present, given.pinned, given.what_if)
        self._galleries = Galleries(given.choice, given.installed)
        self._embedder = networks.models.embedder_identity
        self._model_set = model_set_record(dict(networks.models.identities)).id

    def rows(self, results: Iterable[Result | SameRows[S]], threads: int) -> Iterator[Row | SameRows[S]]:
        """Yield a row for every result, in their order; those that need a look are looked at.

        Raises:
            CaptureError: a picture is missing or damaged; the rows before it were yielded.
        """
        with ThreadPoolExecutor(threads, "look") as pool:
            waiting: deque[tuple[Row | SameRows[S] | Future[_Looked], bool]] = deque()
            looking = held = 0
            try:
                for result in results:
                    row = self._begin(result, pool)
                    waiting.append((row, isinstance(result, LookNeeded) and result.keeps))
                    looking += isinstance(row, Future)
                    held += _weight(row)
                    while waiting and (looking > threads * _AHEAD or held >= MOST_WAITING or _is_done(waiting[0][0])):
                        first, keeps = waiting.popleft()
                        looking -= isinstance(first, Future)
                        held -= _weight(first)
                        yield self._finished(first, keeps)
                yield from (self._finished(*each) for each in waiting)
            finally:
                pool.shutdown(cancel_futures=True)

    def _finished(self, row: Row | SameRows[S] | Future[_Looked], keeps: bool) -> Row | SameRows[S]:
        """Wait for a row, and keep its embedding where that is worth it."""
        if not isinstance(row, Future):
            return row
        done = row.result()
        if keeps and done.embedding is not None:
            self._keep(done.row, done.embedding)
        return done.row

    def _begin(self, result: Result | SameRows[S], pool: ThreadPoolExecutor) -> Row | SameRows[S] | Future[_Looked]:
        if not isinstance(result, LookNeeded):
            return result
        line, then, galleries = result.line, result.line.decision, self._galleries
        trouble = self._trouble(line)
        if trouble is not None:
            return result.otherwise or Row(result.number, line, trouble=trouble, expected=line.expected_identity_id)
        version = galleries.version_of(line)
        snapshot = galleries.now(version, self._embedder)
        if self._is_foreign(line, version, snapshot):
            return Row(result.number, line, trouble=FOREIGN_PEOPLE, expected=line.expected_identity_id)
        task = _Task(result.number, line, snapshot, self._policies.of(then, snapshot.site), version)
        return pool.submit(self._try_to_look, task)

    def _trouble(self, line: CaptureLine) -> str | None:
        """Return in a sentence why a line cannot be looked at; None: it can."""
        then, unknown = line.decision, self._galleries.unknown(line)
        if unknown is not None:
            return unknown
        role = None if then is None or self._given.what_if.looks_always else self._other_network(then)
        if role is not None:
            return (
                f"it needs a look at its picture, and the installed {role} is not the one of then; use --look, which "
                "decides with the installed networks, or --models, which names those of then"
            )
        return None

    def _is_foreign(self, line: CaptureLine, version: int, snapshot: Snapshot) -> bool:
        """Return whether other people than those of then are searched, and none of their faces is by the installed
        embedder. Where every picture is looked at, their photos were embedded again."""
        if self._given.what_if.looks_always or not self._galleries.is_foreign(version, self._embedder):
            return False
        then = line.decision
        return then is None or self._galleries.then(then.gallery_version, self._embedder) is not snapshot

    def _other_network(self, then: CapturedDecision) -> str | None:
        """Return the role of a network that is not the one of then; None: all are, or those of then are not known."""
        installed = dict(self._networks.models.identities)
        recorded = dict(then.models)
        if embedder_of(then):
            recorded["embedder"] = embedder_of(then)
        if not then.models:
            installed = {role: installed.get(role, "") for role in recorded}
        return next((r for r in sorted({*installed, *recorded}) if installed.get(r) != recorded.get(r)), None)

    def _try_to_look(self, task: _Task) -> _Looked:
        try:
            return self._look(task)
        except CaptureError as error:
            trouble = f"line {task.number} of {REQUESTS_FILE} cannot be looked at: {error}"
            if not self._keep_going:
                raise CaptureError(trouble) from error
            return _Looked(Row(task.number, task.line, trouble=trouble, expected=task.line.expected_identity_id))

    def _look(self, task: _Task) -> _Looked:
        request = request_with_pictures(task.line, self._picture)
        networks, policy = self._networks, task.policies.policy
        context = Context(networks.models, policy, networks.max_pixels, networks.clock)
        decision = self._under_threshold_of_then(task, request, MatchCall().decide(request, task.snapshot, context))
        now = self._captured(task, request, decision, context)
        line = task.line
        row = Row(
            task.number,
            line,
            "look",
            now,
            self._differences(line, now),
            expected=line.expected_identity_id,
            remark=None if task.policies.recorded or line.decision is None else PRESENT_SETTINGS,
        )
        return _Looked(row, decision.probe)

    def _under_threshold_of_then(self, task: _Task, request: MatchRequest, decision: MatchDecision) -> MatchDecision:
        """Return the decision under the threshold of then, where nothing that moves it has changed.

        The embedding of the look is searched for again, because another threshold may make a search among the templates
        of covered faces necessary, or needless.
        """
        then, site, policy = task.line.decision, task.snapshot.site, task.policies.policy
        if then is None or embedder_of(then) != self._embedder:
            return decision
        several = len(decision.searched) > 1
        if not several and (decision.probe is None or decision.refusal is not None):
            return decision
        resolved = resolve_scope(request, site, policy)
        embedder, before = self._networks.models.embedder, task.policies.before
        limits = limits_now(then, before, policy, decision.probe, resolved.scope, task.snapshot.gallery, embedder)
        if several:
            again = search_several(limits, decision.searched, request, resolved, task.snapshot, policy)
            return replace(again, timings_ms=decision.timings_ms)
        if decision.probe is None:
            return decision
        again = search_within(limits, decision.probe, request, resolved, task.snapshot, policy)
        if decision.searched:
            again = about_only_face(again, decision.searched[0])
        return replace(
            again,
            findings=decision.findings,
            pictures=decision.pictures,
            probe=decision.probe,
            timings_ms=decision.timings_ms,
        )

    def _captured(
        self, task: _Task, request: MatchRequest, decision: MatchDecision, context: Context
    ) -> CapturedDecision:
        place = task.line.place or _NOWHERE
        at = Circumstances(
            place.topic,
            place.partition,
            place.offset,
            request.received_time_s,
            task.version,
            dict(self._networks.models.identities),
            (task.line.request.picture, *task.line.request.further_pictures),
            policy=task.policies.name,
            model_set=self._model_set,
        )
        call = MatchCall()
        return decision_of(call.event(request, decision, context, at), call.evidence(request, decision, context, at))

    def _differences(self, line: CaptureLine, now: CapturedDecision) -> tuple[Difference, ...] | None:
        """Return the differences from the decision of then, and without one from the expected identity."""
        then = line.decision
        if then is not None and not is_undecided(then):
            others = faces_differences(then, now) if line.request.match_all_faces else ()
            return (*decision_differences(then, now, self._given.score_tolerance), *others)
        if line.expected_identity_id is not None:
            return expectation_differences(line.expected_identity_id, now)
        return None


def _weight(row: Row | SameRows[S] | Future[_Looked]) -> int:
    """Return about how many rows take as much memory."""
    return _ROWS_FOR_SUMS if isinstance(row, SameRows) else 1


def _is_done(row: Row | SameRows[S] | Future[_Looked]) -> bool:
    return not isinstance(row, Future) or row.done()


def without_networks(results: Iterable[Result | SameRows[S]], reason: str) -> Iterator[Row | SameRows[S]]:
    """Yield a row for every result; lines that need a look have `reason`, why no look is possible, as their trouble."""
    for result in results:
        if not isinstance(result, LookNeeded):
            yield result
        elif result.otherwise is not None:
            yield result.otherwise
        else:
            trouble = f"{result.reason}, so that its picture must be looked at; {reason}"
            yield Row(result.number, result.line, trouble=trouble, expected=result.line.expected_identity_id)
