"""Paired tests on the test frames: each method against the best classical one and the next in the ranking."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from records.tables import FrameScore, MethodScore
from reports.markup import DASH, Number, escape, known, number, table
from reports.statistics import LEVEL, MIN_GROUPS, Difference, compare, holm, smallest_p

KINDS = ("horizontal", "vertical")


class Comparison(NamedTuple):
    """Two methods on one kind of gap."""

    kind: str
    method: str
    rival: str
    difference: Difference
    p: float | None
    """Corrected for all comparisons of the ranking."""
    verdict: str
    """better, worse, tie, untested, or unclear where the pooled L1 and the test point to different sides."""
    pooled: float
    """Relative change of the L1 over all pixels: -0.25 when that of `method` is a quarter lower."""

    def of(self, method: str) -> Comparison:
        """Return it as seen from one of the two methods."""
        if method == self.method:
            return self
        change, interval = self.difference.change, self.difference.interval
        turned = self.difference._replace(
            change=None if change is None else 1 / (1 + change) - 1,
            interval=interval and type(interval)(1 / (1 + interval.high) - 1, 1 / (1 + interval.low) - 1),
        )
        verdict = {"better": "worse", "worse": "better"}.get(self.verdict, self.verdict)
        pooled = _change(1.0, 1 + self.pooled)
        return self._replace(method=method, rival=self.method, difference=turned, verdict=verdict, pooled=pooled)


def best_classical(ranked: Sequence[MethodScore], kind: str) -> MethodScore | None:
    """Return the classical method with the lowest pooled L1 on a kind of gap."""
    field = f"{kind}_l1"
    scored = [score for score in ranked if score.kind == "classical" and known(getattr(score, field))]
    return min(scored, key=lambda score: float(getattr(score, field)), default=None)


def rows(ranked: Sequence[MethodScore], frames: Sequence[FrameScore]) -> list[Comparison]:
    """Compare methods, which come best first, on the frames that both have.

    All tests of a ranking are corrected together. Where even the clearest difference could not come out of so
    many tests on so few groups, the verdict is untested, not tie.
    """
    found = []
    for kind in KINDS:
        l1 = {score.method: value for score in ranked if known(value := getattr(score, f"{kind}_l1"))}
        scored = list(l1)
        classical = best_classical(ranked, kind)
        pairs = [(method, classical.method) for method in scored if classical and method != classical.method]
        neighbours = list(pairwise(scored))
        pairs += [pair for pair in neighbours if pair not in pairs and pair[::-1] not in pairs]
        errors = _errors(frames, kind)
        for method, rival in pairs:
            own, other = errors.get(method, {}), errors.get(rival, {})
            shared = [key for key in own if key in other]
            difference = compare(
                [own[key] for key in shared], [other[key] for key in shared], [group for _, group in shared]
            )
            found.append((kind, method, rival, difference, _change(l1[method], l1[rival])))
    tested = [difference.p for *_, difference, _ in found if difference.p is not None]
    corrected = iter(holm(tested))
    return [_judged(*entry, next(corrected) if entry[3].p is not None else None, len(tested)) for entry in found]


def _change(own: float, other: float) -> float:
    return own / other - 1 if other > 0 else 0.0


def _errors(frames: Sequence[FrameScore], kind: str) -> dict[str, dict[tuple[str, str], float]]:
    """L1 of each method by frame and group."""
    errors: dict[str, dict[tuple[str, str], float]] = {}
    for frame in frames:
        if known(value := getattr(frame, f"{kind}_l1")):
            errors.setdefault(frame.method, {})[frame.frame, frame.group] = value
    return errors


def _judged(
    kind: str, method: str, rival: str, difference: Difference, pooled: float, p: float | None, tests: int
) -> Comparison:
    if p is None or difference.change is None or min(1.0, tests * smallest_p(difference.groups)) > LEVEL:
        verdict = "untested"
    elif p > LEVEL:
        verdict = "tie"
    elif difference.change * pooled < 0:
        verdict = "unclear"
    else:
        verdict = "better" if difference.change < 0 else "worse"
    return Comparison(kind, method, rival, difference, p, verdict, pooled)


def find(comparisons: Sequence[Comparison], kind: str, method: str, rival: str) -> Comparison | None:
    """Return the comparison of two methods, as seen from the first."""
    pair = {method, rival}
    return next((c.of(method) for c in comparisons if c.kind == kind and {c.method, c.rival} == pair), None)


def told_apart(comparisons: Sequence[Comparison], method: str, rival: str) -> bool | None:
    """Tell whether a test finds two methods different on any kind of gap; None without a test."""
    verdicts = {found.verdict for kind in KINDS if (found := find(comparisons, kind, method, rival))}
    if verdicts <= {"untested"}:
        return None
    return bool(verdicts & {"better", "worse"})


def html(ranked: Sequence[MethodScore], comparisons: Sequence[Comparison]) -> str:
    """Draw the tests, methods as rows; nothing where there is no pair with a frame in common."""
    if not any(comparison.difference.frames for comparison in comparisons):
        return ""
    kinds = [kind for kind in KINDS if any(comparison.kind == kind for comparison in comparisons)]
    classical = {kind: best_classical(ranked, kind) for kind in kinds}
    columns = ["method"]
    columns += [
        f"against {escape(rival.method)}<small>best classical method, {kind}</small>"
        for kind in kinds
        if (rival := classical[kind])
    ]
    columns += [f"against the next in the ranking<small>{kind}</small>" for kind in kinds]
    lines = []
    for score, below in zip(ranked, [*(other.method for other in ranked[1:]), ""], strict=True):
        cells = [
            _cell(find(comparisons, kind, score.method, rival.method)) for kind in kinds if (rival := classical[kind])
        ]
        cells += [_cell(find(comparisons, kind, score.method, below) if below else None) for kind in kinds]
        lines.append([escape(score.method), *cells])
    return table(_caption(comparisons), columns, [("", lines)], "tests")


def _caption(comparisons: Sequence[Comparison]) -> str:
    groups = max(comparison.difference.groups for comparison in comparisons)
    tests = sum(comparison.p is not None for comparison in comparisons)
    if all(comparison.verdict == "untested" for comparison in comparisons):
        verdicts = f"These samples or series are too few for {tests} tests: none could tell a difference."
    else:
        verdicts = (
            "“Better” and “worse” are differences that chance brings about in one page of 20 at most "
            f"(p, corrected for the {tests} tests, below {LEVEL}); all else is a tie."
        )
    interval = (
        " In brackets: the 95 % interval of that in a typical sample or series." if groups >= MIN_GROUPS else ""
    )
    unclear = any(comparison.verdict == "unclear" for comparison in comparisons)
    doubt = " “Unclear”: in a typical sample it is the other way round than over all pixels." if unclear else ""
    return (
        f"Method against method on the same frames of {groups} samples or series. By how much a method’s L1 over all "
        f"pixels is lower (−) or higher (+) than the other’s.{interval} {verdicts}{doubt}"
    )


def _cell(comparison: Comparison | None) -> Number:
    if comparison is None or comparison.difference.change is None:
        return Number(DASH, None)
    interval = comparison.difference.interval
    ends = f"sample [{_signed(interval.low)}, {_signed(interval.high)}]" if interval else ""
    p = f"p {_p(comparison.p)}" if comparison.p is not None and comparison.verdict != "untested" else ""
    word = {"untested": "too few to test"}.get(comparison.verdict, comparison.verdict)
    return Number(
        f'<span class="{comparison.verdict}">{word}</span> {_signed(comparison.pooled)} %'
        f"<small>{', '.join(part for part in (ends, p) if part)}</small>",
        100 * comparison.pooled,
        "%",
        low=100 * interval.low if interval else None,
        high=100 * interval.high if interval else None,
        p=comparison.p,
    )


def _signed(change: float) -> str:
    return ("+" if change > 0 else "") + number(change, 1, 100)


def _p(p: float) -> str:
    return "&lt; 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
