"""What a reader learns in ten seconds: who won, by how much, on what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from reports.leaderboard import Row
from reports.markup import escape, known, number
from search.records import Epoch, Evaluation, FrameScore, Trial


class Duel(NamedTuple):
    """The best network against the best classical method, on one kind of gap."""

    kind: str
    """horizontal or vertical"""
    network: str
    network_l1: float
    classical: str
    classical_l1: float
    frames_won: int
    """Test frames on which the network's L1 is the lower one."""
    frames: int

    @property
    def change(self) -> float:
        """Relative change of L1: -0.25 when the network's is a quarter lower."""
        return self.network_l1 / self.classical_l1 - 1 if self.classical_l1 > 0 else 0.0

    @property
    def won(self) -> bool:
        """Whether the network's error is the lower one."""
        return self.network_l1 < self.classical_l1


def duels(rows: Sequence[Row], frame_scores: Sequence[FrameScore]) -> list[Duel]:
    """Pair the network that ranks first with the classical method that is best on each kind of gap."""
    network = next((row.score for row in rows if row.score.kind == "network"), None)
    pairs = []
    for kind in ("horizontal", "vertical"):
        field = f"{kind}_l1"
        rivals = [r.score for r in rows if r.score.kind == "classical" and known(getattr(r.score, field))]
        if network is None or not rivals or not known(getattr(network, field)):
            continue
        rival = min(rivals, key=lambda score: getattr(score, field))
        won, frames = _frames_won(frame_scores, network.method, rival.method, field)
        values = getattr(network, field), rival.method, getattr(rival, field)
        pairs.append(Duel(kind, network.method, *values, won, frames))
    return pairs


def _frames_won(scores: Sequence[FrameScore], network: str, rival: str, field: str) -> tuple[int, int]:
    by_method: dict[str, dict[str, float]] = {network: {}, rival: {}}
    for score in scores:
        if score.method in by_method and known(value := getattr(score, field)):
            by_method[score.method][score.frame] = value
    shared = by_method[network].keys() & by_method[rival].keys()
    return sum(by_method[network][frame] < by_method[rival][frame] for frame in shared), len(shared)


def headline(rows: Sequence[Row], found: Sequence[Duel]) -> str:
    """Say in one plain sentence (no HTML) who won, also when that is not the network."""
    if not any(row.rank for row in rows):
        return "No method has been measured on the test frames yet."
    if not found:
        return f"{rows[0].score.method} ranks first; networks and classical methods cannot be compared yet."
    kinds = " and ".join(duel.kind for duel in found)
    won = [duel for duel in found if duel.won]
    if len(won) == len(found):
        sizes = " and ".join(f"{_size(duel.change)} on {duel.kind} gaps" for duel in found)
        return f"{found[0].network} fills the gaps best: its error is {sizes} than the best classical method’s."
    if not won:
        rivals = " and ".join(dict.fromkeys(duel.classical for duel in found))
        return f"The network did not win: {rivals} did as well as {found[0].network} or better on {kinds} gaps."
    lost = next(duel for duel in found if not duel.won)
    return (
        f"A split result: {won[0].network} is best on {won[0].kind} gaps ({_size(won[0].change)}), "
        f"but {lost.classical} is on {lost.kind} gaps, where the network’s error is {_size(lost.change)}."
    )


def under_way(trials: Sequence[Trial], winners: Sequence[Trial], retraining: Sequence[Epoch]) -> str:
    """Say in one plain sentence (no HTML) how far a run is that has measured nothing on the test frames yet."""
    if winners:
        last = {epoch.trial: epoch.epoch for epoch in retraining}
        names = [
            f"{winner.network} (trial {winner.trial}, "
            + (f"{_counted(last[winner.trial], 'epoch')} done)" if winner.trial in last else "not begun)")
            for winner in winners
        ]
        who = "winner is" if len(names) == 1 else "winners are"
        return f"Not finished: the search is over, its {who} trained at full length: {', '.join(names)}."
    running = sum(trial.state == "running" for trial in trials)
    if not any(trial.epochs for trial in trials):
        return "Not finished: the search has begun, and no trial has come to the end of an epoch yet."
    ended = _counted(len(trials) - running, "trial has ended", "trials have ended")
    return f"Not finished: {ended}, {number(running)} not yet."


def unfinished(
    trials: Sequence[Trial],
    winners: Sequence[Trial],
    retraining: Sequence[Epoch],
    written: datetime,
    simulated: bool,
) -> str:
    """Draw the summary of a run that has measured nothing on the test frames yet."""
    basis = [
        f"As it stood on {written:%Y-%m-%d at %H:%M} UTC. All figures so far are of validation frames, by which "
        "trials are compared: the test frames are measured once, at the end."
    ]
    return _section(
        under_way(trials, winners, retraining), basis, [*_best_tile(trials), *_trials_tile(trials)], simulated
    )


def html(
    rows: Sequence[Row], found: Sequence[Duel], test: Evaluation | None, trials: Sequence[Trial], simulated: bool
) -> str:
    """Draw the summary: the sentence, what it rests on, and a tile for each number."""
    tiles = [*map(_tile, found), *_recovered_tile(rows), *_trials_tile(trials)]
    basis = []
    if test and rows:
        groups = _counted(test.groups, "sample or series", "samples or series")
        frames = _counted(test.frames, "test frame")
        basis.append(f"Measured on {frames} from {groups} that the search never saw.")
    return _section(headline(rows, found), basis, tiles, simulated)


def _section(sentence: str, basis: list[str], tiles: list[str], simulated: bool) -> str:
    if simulated:
        basis = [*basis, "All frames are simulated; on measured frames the figures will differ."]
    grid = f'<div class="tiles">{"".join(tiles)}</div>' if tiles else ""
    return (
        f'<section id="summary" aria-label="Summary">\n<p class="headline">{escape(sentence)}</p>\n'
        f'<p class="basis">{" ".join(basis)}</p>\n{grid}\n</section>'
    )


def _size(change: float) -> str:
    percent = abs(change) * 100
    amount = f"{percent:.0f}" if percent >= 1 else f"{percent:.1g}"
    return "the same" if change == 0 else f"{amount} % {'lower' if change < 0 else 'higher'}"


def _counted(count: int, noun: str, plural: str = "") -> str:
    return f"{number(count)} {noun if count == 1 else plural or noun + 's'}"


def _tile(duel: Duel) -> str:
    sign = "−" if duel.won else "+"
    percent = abs(duel.change) * 100
    big = f"{sign}{percent:.0f} %" if percent >= 1 else f"{sign}{percent:.1f} %"
    frames = f"Lower on {duel.frames_won} of {_counted(duel.frames, 'frame')}." if duel.frames else ""
    detail = (
        f"L1 {number(duel.network_l1, 2, 1e3)} against {number(duel.classical_l1, 2, 1e3)} × 10<sup>−3</sup> "
        f"({escape(duel.classical)}, the best classical method). {frames}"
    )
    return _draw_tile(f"Error on {duel.kind} gaps", big, detail, "good" if duel.won else "bad")


def _recovered_tile(rows: Sequence[Row]) -> list[str]:
    network = next((row.score for row in rows if row.score.kind == "network"), None)
    values = [network.horizontal_recovered, network.vertical_recovered] if network else []
    shares = [f"{value:.0%}".replace("%", " %") for value in values if value is not None and known(value)]
    if not shares:
        return []
    detail = "Of the step from the biharmonic fill down to the noise floor, horizontal then vertical gaps."
    return [_draw_tile("Recovered", " · ".join(shares), detail)]


def _best_tile(trials: Sequence[Trial]) -> list[str]:
    scored = [t for t in trials if t.state != "failed" and t.val_gap_l1 is not None and known(t.val_gap_l1)]
    if not scored:
        return []
    best = min(scored, key=lambda trial: (trial.val_gap_l1, trial.trial))
    detail = (
        f"Validation gap L1 (10<sup>−3</sup>) of trial {best.trial}, {escape(best.network)}, epoch {best.epochs}."
    )
    return [_draw_tile("Best so far", number(best.val_gap_l1, 2, 1e3), detail)]


def _trials_tile(trials: Sequence[Trial]) -> list[str]:
    if not trials:
        return []
    words = {"running": "not over yet", "stopped": "stopped early"}
    order = ("finished", "stopped", "interrupted", "failed")
    counts = Counter(trial.state for trial in trials)
    states = [*(state for state in order if counts[state]), *(state for state in counts if state not in order)]
    detail = ", ".join(f"{counts[state]} {escape(words.get(state, state))}" for state in states)
    return [_draw_tile("Trials", number(len(trials)), detail.capitalize() + ".")]


def _draw_tile(label: str, big: str, detail: str, css: str = "") -> str:
    return f'<div class="tile {css}"><h2>{label}</h2><p class="big">{big}</p><p>{detail}</p></div>'
