"""The summary for ten seconds: the winner, by how much, on which frames, and whether that could be chance."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from records.tables import Evaluation, FrameScore, RetrainInterim, Trial, in_epochs
from reports.comparisons import KINDS, Comparison, best_classical, find
from reports.leaderboard import LEARNED, Row
from reports.markup import escape, known, number, percent, significant

NAMED = 4
"""So many winners at most are named while they are trained again."""


class Duel(NamedTuple):
    """The best network (or ensemble) against the best classical method, on one kind of gap."""

    kind: str
    """horizontal or vertical"""
    network: str
    network_l1: float
    classical: str
    classical_l1: float
    frames_won: int
    """Test frames on which the network's L1 is the lower one."""
    frames: int
    test: Comparison | None

    @property
    def change(self) -> float:
        """Relative change of L1: -0.25 when the network's is a quarter lower."""
        return self.network_l1 / self.classical_l1 - 1 if self.classical_l1 > 0 else 0.0

    @property
    def outcome(self) -> str:
        """won, lost, tie, untested or unclear."""
        verdict = self.test.verdict if self.test else "untested"
        return {"better": "won", "worse": "lost"}.get(verdict, verdict)


def duels(
    rows: Sequence[Row], frame_scores: Sequence[FrameScore], comparisons: Sequence[Comparison] = ()
) -> list[Duel]:
    """Pair the network that ranks first with the classical method that is best on each kind of gap."""
    network = next((row.score for row in rows if row.score.kind in LEARNED), None)
    pairs = []
    for kind in KINDS:
        field = f"{kind}_l1"
        rival = best_classical([row.score for row in rows], kind)
        if network is None or rival is None or not known(getattr(network, field)):
            continue
        won, frames = _frames_won(frame_scores, network.method, rival.method, field)
        values = getattr(network, field), rival.method, getattr(rival, field)
        test = find(comparisons, kind, network.method, rival.method)
        pairs.append(Duel(kind, network.method, *values, won, frames, test))
    return pairs


def _frames_won(scores: Sequence[FrameScore], network: str, rival: str, field: str) -> tuple[int, int]:
    by_method: dict[str, dict[str, float]] = {network: {}, rival: {}}
    for score in scores:
        if score.method in by_method and known(value := getattr(score, field)):
            by_method[score.method][score.frame] = value
    shared = by_method[network].keys() & by_method[rival].keys()
    return sum(by_method[network][frame] < by_method[rival][frame] for frame in shared), len(shared)


def headline(rows: Sequence[Row], found: Sequence[Duel]) -> str:
    """Say in one plain sentence (no HTML) who won, also when that is not the network, or nobody.

    By how much is one number: the mean over both kinds of gap, by which methods are ranked.
    """
    if not any(row.rank for row in rows):
        return "No method has been measured on the test frames yet."
    if not found:
        return f"{rows[0].score.method} ranks first; networks and classical methods cannot be compared yet."
    network = found[0].network
    kinds = " and ".join(duel.kind for duel in found)
    rivals = " and ".join(f"“{name}”" for name in dict.fromkeys(duel.classical for duel in found))
    size = _size(math.prod(1 + duel.change for duel in found) ** (1 / len(found)) - 1)
    outcomes = {duel.outcome for duel in found}
    if outcomes == {"won"}:
        which = f"classical method{'s' * (' and ' in rivals)}, {rivals}"
        return f"{network} fills the gaps best: its error is {size} than that of the best {which}."
    if outcomes == {"lost"}:
        return f"The network did not win: the error of {network} is {size} than that of {rivals}."
    if outcomes == {"tie"}:
        return f"{network} ties with {rivals} on {kinds} gaps: chance could bring about the difference."
    if outcomes == {"untested"}:
        return (
            f"The error of {network} is {size} than that of {rivals}, but there are too few samples or series to "
            "tell that from chance."
        )
    if outcomes == {"unclear"}:
        return f"{network} is neither clearly better nor clearly worse than {rivals}: over all, {size} in error."
    return f"A split result: {network} {', but '.join(map(_clause, found))}; over both its error is {size}."


def _clause(duel: Duel) -> str:
    says = {
        "won": "errs less than",
        "lost": "errs more than",
        "tie": "ties with",
        "unclear": "is neither clearly better nor clearly worse than",
        "untested": "cannot be told from",
    }
    return f"{says[duel.outcome]} “{duel.classical}” on {duel.kind} gaps"


def under_way(trials: Sequence[Trial], winners: Sequence[Trial], retraining: Sequence[RetrainInterim]) -> str:
    """Say in one plain sentence (no HTML) how far a run is that has measured nothing on the test frames yet."""
    if winners:
        begun = [winner for winner in winners if any(interim.trial == winner.trial for interim in retraining)]
        if len(winners) > NAMED:
            return (
                f"Not finished: the search is over, its {len(winners)} winners are trained again, "
                f"{len(begun)} of them so far."
            )
        names = [f"{winner.network} (trial {winner.trial}, {_progress(winner, retraining)})" for winner in winners]
        who = "winner is" if len(names) == 1 else "winners are"
        return f"Not finished: the search is over, its {who} trained again: {', '.join(names)}."
    running = sum(trial.state == "running" for trial in trials)
    if not any(trial.epochs for trial in trials):
        return "Not finished: the search has begun, and no trial has reported yet."
    ended = _counted(len(trials) - running, "trial has ended", "trials have ended")
    return f"Not finished: {ended}, {number(running)} not yet."


def _progress(winner: Trial, retraining: Sequence[RetrainInterim]) -> str:
    own = [interim for interim in retraining if interim.trial == winner.trial]
    if not own:
        return "not begun"
    seeds = len({interim.seed for interim in own})
    which = f"training {seeds}, " if seeds > 1 else ""
    return f"{which}{in_epochs(own[-1].epoch)} epoch{'s' * (own[-1].epoch != 1)} done"


def unfinished(
    trials: Sequence[Trial],
    winners: Sequence[Trial],
    retraining: Sequence[RetrainInterim],
    written: datetime,
    simulated: bool,
) -> str:
    """Draw the summary of a run that has measured nothing on the test frames yet."""
    basis = [
        f"As it stood on {written:%Y-%m-%d at %H:%M} UTC. All figures so far are of validation frames, by which "
        "trials are compared: the test frames are measured once, at the end."
    ]
    tiles = [*_best_tile(trials), *_trials_tile(trials)]
    return _draw(under_way(trials, winners, retraining), basis, tiles, simulated)


def html(
    rows: Sequence[Row],
    found: Sequence[Duel],
    test: Evaluation | None,
    trials: Sequence[Trial],
    simulated: bool,
    size: str = "",
    notes: Sequence[str] = (),
) -> str:
    """Draw the summary: the sentence, what it rests on, notes (plain text), and a tile for each number.

    Args:
        size: Rows x columns in which frames were filled.
    """
    tiles = [*map(_tile, found), *_recovered_tile(rows), *_trials_tile(trials)]
    basis = [_neighbours(rows)] if any(row.ties for row in rows[:1]) else []
    if test and rows:
        groups = _counted(test.groups, "sample or series", "samples or series")
        frames = _counted(test.frames, "test frame")
        pixels = f" of {escape(size.replace('x', ' × '))} pixels" if size else ""
        basis.append(f"Measured on {frames}{pixels} from {groups} that the search never saw.")
    basis += [escape(note) for note in notes if note]
    return _draw(headline(rows, found), basis, tiles, simulated)


def _neighbours(rows: Sequence[Row]) -> str:
    first = rows[0]
    return f"{escape(first.score.method)} ranks first and ties with {escape(' and '.join(first.ties))}."


def _draw(sentence: str, basis: list[str], tiles: list[str], simulated: bool) -> str:
    if simulated:
        basis = [*basis, "All frames are simulated; on measured frames the figures will differ."]
    grid = f'<div class="tiles">{"".join(tiles)}</div>' if tiles else ""
    sentence = sentence[:1].upper() + sentence[1:]
    return f'<p class="headline">{escape(sentence)}</p>\n<p class="basis">{" ".join(basis)}</p>\n{grid}'


def _size(change: float) -> str:
    percent = abs(change) * 100
    amount = f"{percent:.0f}" if percent >= 1 else f"{percent:.1g}"
    return "the same" if change == 0 else f"{amount} % {'lower' if change < 0 else 'higher'}"


def _counted(count: int, noun: str, plural: str = "") -> str:
    return f"{number(count)} {noun if count == 1 else plural or noun + 's'}"


def _tile(duel: Duel) -> str:
    share = abs(duel.change)
    change = f"{'−' if duel.change < 0 else '+'}{percent(share, 0 if share >= 0.01 else 1)}"
    frames = f"Lower on {duel.frames_won} of {_counted(duel.frames, 'frame')}." if duel.frames else ""
    doubt = {"tie": "A tie.", "untested": "Not tested.", "unclear": "Not clear: higher on some, lower on others."}
    detail = (
        f"{doubt.get(duel.outcome, '')} "
        f"L1 {significant(duel.network_l1, scale=1e3)} against "
        f"{significant(duel.classical_l1, scale=1e3)} × 10<sup>−3</sup> "
        f"({escape(duel.classical)}, the best classical method). {frames}"
    )
    css = {"won": "good", "lost": "bad"}.get(duel.outcome, "")
    return _draw_tile(f"Error on {duel.kind} gaps", change, detail, css)


def _recovered_tile(rows: Sequence[Row]) -> list[str]:
    network = next((row.score for row in rows if row.score.kind in LEARNED), None)
    values = [network.horizontal_recovered, network.vertical_recovered] if network else []
    shares = [percent(value) for value in values if known(value)]
    if not shares:
        return []
    detail = "Of the step from the biharmonic fill down to the noise floor, horizontal then vertical gaps."
    return [_draw_tile("Recovered", " · ".join(shares), detail)]


def _best_tile(trials: Sequence[Trial]) -> list[str]:
    scored = [t for t in trials if t.state != "failed" and t.val_gap_l1 is not None and known(t.val_gap_l1)]
    if not scored:
        return []
    best = min(scored, key=lambda trial: (trial.val_gap_l1, trial.trial))
    which = ", ".join(filter(None, (f"trial {best.trial}", best.network, f"epoch {in_epochs(best.epochs)}")))
    detail = f"Validation gap L1 (10<sup>−3</sup>) of {escape(which)}."
    return [_draw_tile("Best so far", significant(best.val_gap_l1, scale=1e3), detail)]


def _trials_tile(trials: Sequence[Trial]) -> list[str]:
    if not trials:
        return []
    words = {"running": "not over yet", "stopped": "stopped early"}
    order = ("finished", "stopped", "interrupted", "infeasible", "failed")
    counts = Counter(trial.state for trial in trials)
    states = [*(state for state in order if counts[state]), *(state for state in counts if state not in order)]
    detail = ", ".join(f"{counts[state]} {escape(words.get(state, state))}" for state in states)
    return [_draw_tile("Trials", number(len(trials)), detail.capitalize() + ".")]


def _draw_tile(label: str, big: str, detail: str, css: str = "") -> str:
    return f'<div class="tile {css}"><h3>{label}</h3><p class="big">{big}</p><p>{detail}</p></div>'
