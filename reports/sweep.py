"""The trials of the search, as the paper's Tables 2 and 3: one table a network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from records.tables import Trial, in_epochs
from reports.cells import Number
from reports.figures.drawing import NETWORKS, networks, setting, title
from reports.markup import DASH, duration, escape, number, significant, table

STATES = {
    "running": "Not over yet: measured at their last report so far",
    "finished": "Finished: trained for all its epochs",
    "stopped": "Stopped early by ASHA: measured at its last report",
    "interrupted": "Interrupted by the time limit or by hand: measured at its last report",
    "infeasible": "Infeasible: too large for the memory",
    "failed": "Failed: no result to compare",
}
RESULTS = ("finished", "stopped", "interrupted")
"""Ends of a trial that leave a result: the winner is the best of these."""


class Row(NamedTuple):
    """One trial in its place."""

    trial: Trial
    rank: int | None
    """From 1, among the trials of its network that have a result, however they ended; None without one."""
    role: str
    """winner, retrained (as a further one of the best) or nothing."""

    @property
    def winner(self) -> bool:
        """Tell whether it is the best of its network."""
        return self.role == "winner"


def rows(trials: Sequence[Trial], chosen: Sequence[Trial] = ()) -> list[Row]:
    """Sort trials by network, state, validation gap L1 and number; a trial without a value comes last.

    The winner of a network is the best of those that were chosen to be retrained; before that, the best however it
    ended, if all trials are over.
    """
    states = list(STATES)

    def key(trial: Trial) -> tuple[int, int, str, float, int]:
        place = states.index(trial.state) if trial.state in STATES else len(states)
        return order.index(trial.network), place, trial.state, value(trial), trial.trial

    order = networks(trial.network for trial in trials)
    ranks: dict[int, int] = {}
    roles = {trial.trial: "retrained" for trial in chosen}
    over = not any(trial.state == "running" for trial in trials)
    for network in order:
        own = [trial for trial in trials if trial.network == network]
        ended = [t for t in own if t.state in RESULTS and value(t) < math.inf]
        ended.sort(key=lambda trial: (value(trial), trial.trial))
        ranks |= {trial.trial: rank for rank, trial in enumerate(ended, 1)}
        best = [trial for trial in ended if trial.trial in roles] if chosen else ended if over else []
        roles |= {trial.trial: "winner" for trial in best[:1]}
    return [Row(trial, ranks.get(trial.trial), roles.get(trial.trial, "")) for trial in sorted(trials, key=key)]


def value(trial: Trial) -> float:
    """Validation gap L1 of a trial, infinite without one."""
    known = trial.val_gap_l1
    return math.inf if known is None or math.isnan(known) else known


def html(rows: Sequence[Row]) -> str:
    """Draw the table of each network, one group for each way a trial ends."""
    parts = []
    for network in networks(row.trial.network for row in rows):
        own = [row for row in rows if row.trial.network == network]
        parts += [f"<h3>{escape(title(network))}: hyperparameter sweep</h3>", _table(network, own)]
    return "\n".join(parts)


def _table(network: str, rows: Sequence[Row]) -> str:
    keys = list(dict.fromkeys(key for row in rows for key in row.trial.config))
    unit = "<small>(10<sup>−3</sup>)</small>"
    columns = ["trial", "rank", f"gap L1 {unit}", "gap CC", f"training loss {unit}", f"validation loss {unit}"]
    columns += ["parameters", *(escape(key.replace("_", " ")) for key in keys), "epochs", "time"]
    groups = []
    for state in dict.fromkeys(row.trial.state for row in rows):
        members = [row for row in rows if row.trial.state == state]
        heading = f"{escape(STATES.get(state, state))} <small>{len(members)}</small>"
        groups.append((heading, [_cells(row, keys) for row in members]))
    caption = (
        f"Trials of {escape(title(network))}. Within each group the lowest gap L1 on the validation frames comes "
        "first. The rank counts all trials with a result, however they ended, and decides who is retrained; a trial "
        "that was stopped early had fewer epochs."
    )
    css = f"{network}-trials trials" if network in NETWORKS else "trials"
    return table(caption, columns, groups, css) + _errors(rows)


def _cells(row: Row, keys: Sequence[str]) -> list[str]:
    trial = row.trial
    name = str(trial.trial)
    if row.role:
        name += f" <strong class='winner'>{row.role}</strong>"
    if trial.point is not None:
        name += f" <small>paper’s model {trial.point}</small>"
    return [
        name,
        number(row.rank),
        significant(trial.val_gap_l1, scale=1e3),
        number(trial.val_gap_cc, 4),
        significant(trial.train_loss, scale=1e3),
        significant(trial.val_loss, scale=1e3),
        number(trial.parameters),
        *(setting(trial.config[key]) if key in trial.config else DASH for key in keys),
        Number(in_epochs(trial.epochs), trial.epochs) if trial.epochs else DASH,
        duration(trial.seconds if trial.epochs else None),
    ]


def _errors(rows: Sequence[Row]) -> str:
    failed = [row.trial for row in rows if row.trial.error]
    if not failed:
        return ""
    items = "".join(f"<dt>Trial {t.trial}</dt><dd><pre>{escape(t.error)}</pre></dd>" for t in failed)
    return f"<details><summary>Why trials have no result ({len(failed)})</summary><dl>{items}</dl></details>"
