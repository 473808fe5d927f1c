"""Decides lines of a capture again from their recorded embeddings and refusals; no picture and no network is needed."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from msgspec import structs

from capture.differences import decision_differences, is_undecided
from capture.replaying.candidates import contradiction, is_certain
from capture.replaying.captured import Limit, concluded, refused
from capture.replaying.covered import NOT_COMPARED, CoveredFound, find_covered, may_be_covered
from capture.replaying.embedder import EmbedderFacts
from capture.replaying.galleries import Galleries
from capture.replaying.given import Given
from capture.replaying.kept_looks import is_lost
from capture.replaying.plan import Case, Keep, Look, Plan, Search, plan, what_plan_reads
from capture.replaying.policies import Policies
from capture.replaying.searches import Found, find_all
from capture.replaying.thresholds import covered_thresholds_now, threshold_now
from capture.rows import Difference, Row
from contract.captures.convert import request_without_pictures
from contract.captures.values import CapturedDecision, CaptureLine, LookLine
from contract.errors import Code, Refusal
from engine.calls.matching import conclude_under, scope_names, scope_of_refusal, strangers_behind
from engine.calls.reporting import outcome_of
from engine.covered_search import CoveredMatch
from engine.gallery.port import Scope
from engine.gallery.scope import ResolvedScope

_VERSIONS_AT_ONCE = 32
"""The most versions of the people that are in memory for the lines of a chunk."""

TOO_NEAR = "its decision is within what the half precision of its embedding can move"
FOREIGN_PEOPLE = (
    "the people to search were embedded by other networks than its picture; use --look, which embeds their photos again"
)
PRESENT_SETTINGS = "the capture does not have the policy of this decision, so the present settings were used"


@dataclass(frozen=True, slots=True)
class LookNeeded:
    """A line that can be decided only by a look at its picture, and the reason.

    `keeps`: the embedding that is computed is worth keeping, because no record has one. `otherwise`: the row without a
    look, where there is one, which may be wrong.
    """

    number: int
    line: CaptureLine
    reason: str
    keeps: bool = False
    otherwise: Row | None = None


Result = Row | LookNeeded
"""What deciding a line gives."""


class Decider:
    """Decides lines again. Only one thread may use it; any number of processes may have one each."""

    def __init__(self, given: Given) -> None:
        self._given = given
        self._policies = Policies(given.policies, given.present, given.pinned, given.what_if)
        self._galleries = Galleries(given.choice, given.installed)

    def decide(
        self, lines: Sequence[tuple[int, CaptureLine]], looks: Mapping[str, LookLine] | None = None
    ) -> Sequence[Result]:
        """Return the result of every line, in the order of the lines; lines in results have no embedding.

        `looks`: by the id of the request, what earlier replays have computed for lines whose evidence is gone.
        """
        results: list[Result] = []
        for few_versions in _by_version(lines):
            chunk = _Chunk(self._given)
            taken = [chunk.take(self._begin(number, line, looks or {})) for number, line in few_versions]
            results += (result for result in taken if result is not None)
            results += chunk.search()
        return sorted(results, key=lambda result: result.number)

    def _begin(self, number: int, recorded: CaptureLine, looks: Mapping[str, LookLine]) -> Case | Result:
        # Results have no embedding, which is the largest part of a line and needed no more.
        line, then = without_embedding(recorded), recorded.decision
        if then is None:
            return LookNeeded(number, line, "the capture has no decision for it")
        if is_undecided(then):
            return Row(number, line, expected=line.expected_identity_id)
        unknown = self._galleries.unknown(line)
        if unknown is not None:
            return _trouble(number, line, unknown)
        embedder = embedder_of(then)
        if self._given.added_embedder not in (None, embedder):
            return LookNeeded(number, line, "the added people were embedded by another network than its face")
        version = self._galleries.version_of(line)
        now = self._galleries.now(version, embedder)
        before = self._galleries.then(then.gallery_version, embedder)
        embedding = then.embedding or _kept_embedding(line, looks.get(line.request_id))
        if now is not before and _needs_people(then, embedding) and self._galleries.is_foreign(version, embedder):
            return _trouble(number, line, FOREIGN_PEOPLE)
        return Case(
            number,
            line,
            then,
            request_without_pictures(line),
            embedding,
            before,
            now,
            self._policies.of(then, now.site),
            version,
        )


class _Chunk:
    """The cases that are decided together: searches of the same people and scope are made at once.

    All cases stay in memory, so that the ids of their people and policies are unique.
    """

    def __init__(self, given: Given) -> None:
        self._given = given
        self._cases: list[Case] = []
        self._plans: dict[Hashable, Plan] = {}
        self._searches: dict[Hashable, list[tuple[Case, ResolvedScope]]] = {}
        self._group_of: dict[Hashable, list[tuple[Case, ResolvedScope]]] = {}
        self._counts: dict[Hashable, tuple[int, Scope]] = {}
        self._thresholds: dict[Hashable, Limit | None] = {}

    def take(self, begun: Case | Result) -> Result | None:
        """Return the result of a line; None: it needs a search."""
        if not isinstance(begun, Case):
            return begun
        self._cases.append(begun)
        planned = self._plan(begun)
        match planned:
            case Look():
                keeps = begun.embedding is None and is_lost(begun.then)
                return LookNeeded(begun.number, begun.line, planned.reason, keeps)
            case Refusal():
                return self._refused(begun, planned)
            case Keep():
                return self._kept(begun, planned.resolved)
            case Search():
                self._group(begun, planned).append((begun, planned.resolved))
                return None

    def search(self) -> Iterator[Result]:
        """Make the searches and yield their results."""
        for group in self._searches.values():
            first, resolved = group[0]
            try:
                found = find_all([case for case, _ in group], first.now.gallery, resolved.scope)
            except ValueError:
                reason = "its recorded embedding has not the length of the enrolled faces"
                yield from (_trouble(case.number, case.line, reason) for case, _ in group)
                continue
            for (case, resolved_), each in zip(group, found, strict=True):
                if each is None:
                    yield _trouble(case.number, case.line, "its recorded embedding has numbers that are not finite")
                else:
                    yield self._concluded(case, resolved_, each)

    def _group(self, case: Case, planned: Search) -> list[tuple[Case, ResolvedScope]]:
        """Return the group of a search: all with the same people and scope, and with embeddings of the same length."""
        length, kept = len(case.embedding or b""), (case.then.embedding is None, case.cover is None)
        group = self._group_of.get((id(planned), length, kept))
        if group is None:
            key = id(case.now), case.same_people, planned.resolved.scope, length, kept
            group = self._group_of[id(planned), length, kept] = self._searches.setdefault(key, [])
        return group

    def _plan(self, case: Case) -> Plan:
        """Return the plan of a case; cases that are alike in everything that a plan depends on have the same."""
        key = id(case.before), id(case.now), id(case.policies), *what_plan_reads(case)
        planned = self._plans.get(key)
        if planned is None:
            planned = self._plans[key] = plan(case)
        return planned

    def _concluded(self, case: Case, resolved: ResolvedScope, found: Found) -> Result:
        threshold = self._threshold(case, resolved.scope)
        if threshold is None:
            reason = "its threshold must be computed anew, and the curve of its embedder is not known; use --threshold"
            return _trouble(case.number, case.line, reason)
        site, policy = case.now.site, case.policies.policy
        decision = conclude_under(threshold.applied, case.request, resolved, found.candidates, site, policy)
        covered = self._covered(case, resolved.scope) if may_be_covered(case, decision) else NOT_COMPARED
        if covered.match is not None:
            return self._concluded_covered(case, resolved, covered.match, certain=covered.is_certain)
        now = concluded(case, decision, threshold.shown, case.then.candidates if found.confirmed else None)
        row = self._row(case, now, self._alarm(case, resolved.scope, found) if case.same_people else None)
        certain = covered.is_certain and self._is_certain(case, found, threshold.applied.cosine)
        return row if certain else _uncertain(row)

    def _covered(self, case: Case, scope: Scope) -> CoveredFound:
        """Return the match by templates of covered faces, where there is one."""
        if not case.now.covered:
            return NOT_COMPARED
        embedder, policies = self._embedder(case), case.policies
        faces = self._faces(case, scope)
        thresholds = covered_thresholds_now(case.then, policies.before, policies.policy, faces, embedder)
        return find_covered(case, scope, thresholds, embedder)

    def _concluded_covered(self, case: Case, resolved: ResolvedScope, match: CoveredMatch, *, certain: bool) -> Result:
        limit = Limit.of(match.threshold, case.policies.policy)
        site, policy = case.now.site, case.policies.policy
        decision = conclude_under(match.threshold, case.request, resolved, match.candidates, site, policy)
        alarm = contradiction(case.then.candidates, decision.candidates) if case.cover and case.is_unchanged else None
        row = self._row(case, concluded(case, decision, limit.shown), alarm)
        return row if certain else _uncertain(row)

    def _is_certain(self, case: Case, found: Found, threshold: float) -> bool:
        """Return whether the precision of the embedding suffices for the decision."""
        if found.computed is None:
            return True
        keeps_info = case.request.need_keep_info
        return is_certain(found.recorded, found.computed, threshold, found.within, names_strangers=keeps_info)

    def _alarm(self, case: Case, scope: Scope, found: Found) -> str | None:
        """Return in a sentence why the people of then cannot have given the recorded decision; None: they can have."""
        faces = None if case.then.applied is None else case.then.applied.faces
        if faces is not None and faces != self._faces(case, scope):
            return (
                f"the evidence contradicts the people of then: {faces} templates were compared, and the scope has "
                f"{self._faces(case, scope)}"
            )
        if found.confirmed or case.then.embedding is None or case.cover is not None:
            return None
        limit = None if case.then.applied is None else case.then.applied.cosine
        found_then = found.candidates
        if limit is not None:
            found_then = strangers_behind(found_then, limit, case.policies.before)
        return contradiction(case.then.candidates, found_then)

    def _refused(self, case: Case, refusal: Refusal) -> Row:
        scope, names = scope_of_refusal(case.request, case.now.site, case.policies.policy)
        threshold = self._threshold(case, scope)
        shown = None if threshold is None else threshold.shown
        return self._row(case, refused(case, outcome_of(refusal), int(refusal.code), names, shown))

    def _kept(self, case: Case, resolved: ResolvedScope) -> Row:
        then, threshold = case.then, self._threshold(case, resolved.scope)
        shown = None if threshold is None else threshold.shown
        return self._row(case, refused(case, then.outcome, then.error_code, scope_names(resolved), shown))

    def _threshold(self, case: Case, scope: Scope) -> Limit | None:
        """Return the threshold of a search in that scope; None where it cannot be computed."""
        faces, policies, then = self._faces(case, scope), case.policies, case.then
        embedder = self._embedder(case)
        key = id(policies), faces, id(embedder), then.applied, then.embedding is None
        if key not in self._thresholds:
            applied = threshold_now(then, policies.before, policies.policy, faces, embedder)
            self._thresholds[key] = None if applied is None else Limit.of(applied, policies.policy)
        return self._thresholds[key]

    def _faces(self, case: Case, scope: Scope) -> int:
        """Return the number of templates in a scope."""
        key = id(case.now), id(scope)
        if key not in self._counts:
            # The scope stays in memory, so that its id is unique.
            self._counts[key] = case.now.gallery.count(scope), scope
        return self._counts[key][0]

    def _embedder(self, case: Case) -> EmbedderFacts | None:
        """Return the facts about the embedder of the line; None where they are not known."""
        installed = self._given.installed
        return installed if installed is not None and installed.identity == embedder_of(case.then) else None

    def _row(self, case: Case, now: CapturedDecision, alarm: str | None = None) -> Row:
        return Row(
            case.number,
            case.line,
            "decide",
            now,
            None if alarm else self._differences(case, now),
            alarm,
            case.line.expected_identity_id,
            remark=None if case.policies.recorded else PRESENT_SETTINGS,
        )

    def _differences(self, case: Case, now: CapturedDecision) -> tuple[Difference, ...]:
        if now is case.line.decision:
            return ()
        return decision_differences(case.then, now, self._given.score_tolerance)


def _by_version(lines: Sequence[tuple[int, CaptureLine]]) -> Iterator[Sequence[tuple[int, CaptureLine]]]:
    """Yield the lines in the order of the gallery versions of then, with few versions at once.

    Two processors interleave the versions of their decisions, and the people are folded forwards.
    """
    ordered = sorted(lines, key=lambda numbered: (_version_of_then(numbered[1]), numbered[0]))
    begin, versions = 0, set[int]()
    for place, (_, line) in enumerate(ordered):
        versions.add(_version_of_then(line))
        if len(versions) > _VERSIONS_AT_ONCE:
            yield ordered[begin:place]
            begin, versions = place, {_version_of_then(line)}
    yield ordered[begin:]


def _version_of_then(line: CaptureLine) -> int:
    return 0 if line.decision is None else line.decision.gallery_version


def without_embedding(line: CaptureLine) -> CaptureLine:
    """Return a line without the embedding of its decision."""
    then = line.decision
    if then is None or then.embedding is None:
        return line
    return structs.replace(line, decision=structs.replace(then, embedding=None))


def _needs_people(then: CapturedDecision, embedding: bytes | None) -> bool:
    """Return whether a decision depends on the faces of other people than then, as long as nobody looks again."""
    return embedding is not None or then.error_code == Code.EMPTY_GROUP_ERROR


def _kept_embedding(line: CaptureLine, look: LookLine | None) -> bytes | None:
    """Return the embedding that was kept for a line whose evidence is gone; None: there is none that can be used."""
    then = line.decision
    if then is None or look is None or not is_lost(then) or look.embedder != embedder_of(then):
        return None
    return look.embedding


def embedder_of(then: CapturedDecision) -> str:
    """Return the identity of the embedder of a decision; empty where it is not recorded."""
    return then.embedder or then.models.get("embedder", "")


def _uncertain(row: Row) -> LookNeeded:
    remark = TOO_NEAR if row.remark is None else f"{row.remark}; {TOO_NEAR}"
    return LookNeeded(row.number, row.line, TOO_NEAR, otherwise=structs.replace(row, remark=remark))


def _trouble(number: int, line: CaptureLine, reason: str) -> Row:
    return Row(number, line, trouble=reason, expected=line.expected_identity_id)
