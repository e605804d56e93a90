"""Courses and ladders of tests, in epochs."""

from __future__ import annotations

from typing import Any

from records.tables import Ladder
from scattering.dataset import Dataset
from search.settings import Settings
from trainables.batches import WindowSet, count_windows
from trainables.training import Course


def in_epochs(count: int, windows: WindowSet, **settings: Any) -> Course:
    """Return the course of so many epochs, with a report after each."""
    return Course(windows=count * len(windows), interval=len(windows), **settings)


def ladders(settings: Settings) -> dict[str, Ladder]:
    """Return ladders as of a training set of one window: windows count epochs, the first rung is the second."""
    first = 2 if settings.proposes else 0
    return {
        study.name: Ladder(study.name, study.network, 1, settings.epochs or 1, 1, first) for study in settings.studies
    }


def of_epochs(settings: Settings, train: Dataset) -> dict[str, Ladder]:
    """Return ladders in epochs of training frames, with a first rung after the second; the run keeps them, too."""
    windows = count_windows(train)
    epochs, first = settings.epochs or 1, 2 * windows if settings.proposes else 0
    made = [
        Ladder(study.name, study.network, windows, epochs * windows, windows, first) for study in settings.studies
    ]
    settings.files.ladders.write(made)
    return {ladder.study: ladder for ladder in made}
