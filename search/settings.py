"""The settings of a run: presets, and the command line that overrides them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from records.folder import RunFolder
from records.networks import TITLES
from records.tables import Config
from scattering.arguments import Options, working_shape
from scattering.errors import InputError
from search.tuning.halving import SuccessiveHalving

if TYPE_CHECKING:
    from search.machines.resources import Resources
    from spaces.paper import Point
    from trainables.job import Job

RUNS = Path("runs")

ALL = "all"
"""Every network in one run."""

IMPLEMENTATIONS = {"gapsearch": tuple(TITLES), "pymsdtorch": ("tunet", "msdnet")}
"""Whose code a network is, and which networks there are of it."""

TRACKERS = ("tensorboard", "mlflow")

POINTS = ("search", "paper", "paper,search")
"""Where configurations come from: proposals, the paper's tables, or first these and then proposals."""

TASKS = ("blind", "residual")

BOTH = "both"
"""Each task searched for itself, its winners beside those of the other."""

COMPARISONS = ("epochs", "seconds")
"""What early stopping takes for equal: epochs, or training time."""


@dataclass(frozen=True)
class Preset:
    """Sizes of a search. None: no limit."""

    size: str
    """Working size, as `scattering.arguments.working_shape` reads it."""
    frames: int
    """Simulated frames, where no data are given."""
    trials: int
    epochs: int
    """Epochs of a trial that is not stopped early."""
    retrain_epochs: int
    """Epochs of the retrained winner at most."""
    schedule: str
    minutes: float | None
    """Time for search and retraining together; what is left unspent ends the run early."""
    task: str | None
    top: int
    seeds: int


PRESETS = {
    # Two CPU cores, five minutes.
    "quick": Preset(
        size="256",
        frames=240,
        trials=8,
        epochs=6,
        retrain_epochs=40,
        schedule="cosine",
        minutes=3.75,
        task=None,
        top=1,
        seeds=1,
    ),
    # One GPU, some hours; the working size of the paper.
    "standard": Preset(
        size="512",
        frames=2000,
        trials=50,
        epochs=27,
        retrain_epochs=100,
        schedule="cosine",
        minutes=None,
        task=BOTH,
        top=3,
        seeds=3,
    ),
    # As many frames, epochs and learning-rate steps as the paper.
    "paper": Preset(
        size="512",
        frames=6497,
        trials=100,
        epochs=81,
        retrain_epochs=300,
        schedule="step",
        minutes=None,
        task=BOTH,
        top=3,
        seeds=3,
    ),
}

UNSET: dict[str, Any] = {
    "track": None,
    "seed": 0,
    "data": (),
    **asdict(Options()),
    "points": "search",
    "implementation": "gapsearch",
    "gpu_hours": None,
    "compare_at": "epochs",
}
"""What the presets do not say."""

SIMULATED = "Pilatus2M"
"""The detector of simulated frames."""

STRETCH = 10
"""Times the preset's epochs that a winner may be retrained for where the user gives the time: the learning rate comes
down with the time. With still more epochs a network would learn its training frames by heart."""

SEARCH_SHARE = 0.6
"""Share of --minutes that the search gets; retraining has the rest."""


@dataclass(frozen=True)
class Budget:
    """Limits of time; None: no limit."""

    seconds: float | None = None
    gpu_seconds: float | None = None
    """Of all GPUs together."""


UNLIMITED = Budget()


class Study(NamedTuple):
    """A search of its own: of a network, or of one of its tasks where both are asked for."""

    network: str
    task: str | None

    @property
    def name(self) -> str:
        """Unique within a run."""
        return self.network if self.task is None else f"{self.network}-{self.task}"


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run, and nothing else."""

    network: str
    """A key of `TITLES`, or all."""
    name: str
    preset: str
    data: tuple[str, ...]
    """A data set file, or what detector files are found by; empty: simulate."""
    detector: str | None
    """Whose gaps are filled; None: the detector that recorded the frames."""
    mask: str | None
    pedestal: str | None
    group_by: str | None
    poni: str | None
    implementation: str
    points: str
    task: str | None
    """blind, residual or both; None: the search decides."""
    track: str | None
    """tensorboard or mlflow, which are told of every trial; None: neither."""
    size: str
    frames: int
    trials: int
    """For each study."""
    epochs: int | None
    """None: as many as the paper gave each of its points."""
    retrain_epochs: int
    top: int
    """How many trials of each study are retrained."""
    seeds: int
    """How many times each of them, from other initial weights."""
    schedule: str
    minutes: float | None
    """For search and retraining of one session."""
    gpu_hours: float | None
    """Time of all GPUs together, for search and retraining."""
    compare_at: str
    """epochs or seconds: what early stopping takes for equal."""
    seed: int

    @property
    def options(self) -> Options:
        """The user's statements about the frames of `data`."""
        return Options(**{field.name: getattr(self, field.name) for field in fields(Options)})

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks of this run."""
        if self.network != ALL:
            return (self.network,)
        known = IMPLEMENTATIONS[self.implementation]
        return known if self.proposes else tuple(name for name in known if name in paper_points())

    @property
    def studies(self) -> tuple[Study, ...]:
        """The studies of the run; trials take turns in their numbers. The paper's points alone are all blind."""
        tasks = TASKS if self.task == BOTH and self.proposes else (None,)
        return tuple(Study(network, task) for network in self.networks for task in tasks)

    def task_of(self, study: Study) -> str | None:
        """Return the task that a study is bound to; None: it is one more choice."""
        return study.task or (self.task if self.task in TASKS else None)

    @property
    def retrain_seeds(self) -> range:
        """The seeds that each winner is retrained with."""
        return range(self.seed, self.seed + self.seeds)

    @property
    def proposes(self) -> bool:
        """Tell whether trials are proposed and stopped early; the paper's points alone are trained to their end."""
        return self.points != "paper"

    @property
    def rungs(self) -> list[int]:
        """Epochs after which trials are compared; none where none is stopped early, or seconds decide."""
        if not self.proposes or self.epochs is None or self.compare_at != "epochs":
            return []
        return list(SuccessiveHalving(self.epochs).rungs)

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return RUNS / self.name

    @property
    def files(self) -> RunFolder:
        """The files of the run."""
        return RunFolder(self.folder)

    def budget(self, share: float) -> Budget:
        """Return a share of what the run may spend."""
        return Budget(
            None if self.minutes is None else self.minutes * 60 * share,
            None if self.gpu_hours is None else self.gpu_hours * 3600 * share,
        )

    def job(
        self, trial: int, network: str, config: Config, epochs: int, resources: Resources, checkpoint: Path
    ) -> Job:
        """Return the job of training a configuration."""
        from trainables.job import Job  # late, for PyTorch comes with it

        return Job(
            trial=trial,
            network=network,
            implementation=self.implementation,
            config=config,
            epochs=epochs,
            schedule=self.schedule,
            seed=self.seed,
            threads=resources.cpus,
            gpus=resources.gpus,
            memory=resources.memory,
            checkpoint=str(checkpoint.resolve()),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "data": list(self.data)}


def resolve(network: str, name: str, preset: str, given: dict[str, Any]) -> Settings:
    """Fill what the user left unset (None) from the preset and check the values.

    Raises InputError for a value out of range, or values that do not go together.
    """
    given = {key: value for key, value in given.items() if value is not None}
    chosen = {**UNSET, **asdict(PRESETS[preset]), **given}
    for key, smallest in {
        "frames": 3,
        "trials": 1,
        "epochs": 1,
        "seed": 0,
        "top": 1,
        "seeds": 1,
    }.items():
        if chosen[key] < smallest:
            raise InputError(f"--{key} must be at least {smallest}, got {chosen[key]}")
    check_budgets(chosen)
    implementation = chosen["implementation"]
    known = IMPLEMENTATIONS[implementation]
    if network not in (ALL, *known):
        names = " and ".join(known)
        raise InputError(f"--implementation {implementation} has {names}, got {network}: leave out --implementation")
    working_shape(chosen["size"], (0, 0))
    if not chosen["data"]:
        _check_simulated(given)
        chosen["detector"] = chosen["detector"] or SIMULATED
    if chosen["points"] != "search":
        _check_points(network, chosen["points"], given)
    if chosen["points"] == "paper":
        # As the paper trained them: its epochs, dividing the learning rate by ten after each third.
        chosen |= {"epochs": None, "schedule": "step", "minutes": None, **given}
    if chosen["gpu_hours"] is not None:
        chosen |= {"minutes": None, **given}
    chosen["retrain_epochs"] = stretched(preset, given)
    # A winner trains at least as long as the trials that it won against.
    chosen["retrain_epochs"] = max(chosen["retrain_epochs"], chosen["epochs"] or 0)
    settings = Settings(network=network, name=name, preset=preset, **{**chosen, "data": tuple(chosen["data"])})
    if settings.minutes is not None and "minutes" not in given:
        # The presets say what one study needs.
        settings = replace(settings, minutes=settings.minutes * len(settings.studies))
    return settings


def _check_simulated(given: dict[str, Any]) -> None:
    for key in ("mask", "pedestal", "group_by", "poni"):
        if key in given:
            raise InputError(
                f"simulated frames know all about themselves, got --{key.replace('_', '-')} {given[key]}: "
                "leave it out, or give --data"
            )


def stretched(preset: str, given: dict[str, Any]) -> int:
    """Return how many epochs winners are retrained for at most, given the time or not."""
    return PRESETS[preset].retrain_epochs * (STRETCH if given.keys() & {"minutes", "gpu_hours"} else 1)


def check_budgets(chosen: dict[str, Any]) -> None:
    """Raise InputError for a time that is none."""
    for key in ("minutes", "gpu_hours"):
        if (value := chosen.get(key)) is not None and not value > 0:
            raise InputError(f"--{key.replace('_', '-')} must be above 0, got {value:g}")


def paper_points() -> dict[str, tuple[Point, ...]]:
    """Return the paper's points by network; imported late, for Optuna comes with them."""
    from spaces.paper import POINTS

    return POINTS


def _check_points(network: str, points: str, given: dict[str, Any]) -> None:
    known = paper_points()
    if network != ALL and network not in known:
        raise InputError(f"the paper gives points of {' and '.join(known)}, got {network}: leave out --points")
    if given.get("task", "blind") == "residual":
        raise InputError("the paper's points are blind, got --task residual: leave out --task or --points")
    if points == "paper" and "trials" in given:
        raise InputError(
            f"--points paper tries the paper's points and no others, got --trials {given['trials']}: "
            "leave out --trials, or go on with a search: --points paper,search"
        )


def from_dict(values: dict[str, Any]) -> Settings:
    """Read back what `as_dict` gave.

    Raises InputError when fields are missing or unknown: another version wrote them.
    """
    if set(values) != {field.name for field in fields(Settings)}:
        raise InputError("the settings of this run are of another version: start a new run")
    return Settings(**{**values, "data": tuple(values["data"])})
