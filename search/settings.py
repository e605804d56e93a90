"""The settings of a run: presets, and the command line that overrides them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from records.folder import RunFolder
from records.networks import TITLES
from records.tables import Config, Ladder
from scattering.arguments import Options, working_shape
from scattering.errors import InputError
from search.options import Role, check, defaults, option, preset_field, table

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


PRESETS = ("quick", "standard", "paper")
"""quick: two CPU cores, minutes. standard: one GPU, hours, the paper's working size. paper: its frames and epochs."""


def by_preset(quick: Any, standard: Any, paper: Any) -> dict[str, Any]:
    """Return the values of a setting in each preset. None: no limit."""
    return dict(zip(PRESETS, (quick, standard, paper), strict=True))


SIMULATED = "Pilatus2M"
"""The detector of simulated frames."""

STRETCH = 10
"""Times the preset's epochs that a winner may be retrained for where the user gives the time: the learning rate comes
down with the time. With still more epochs a network would learn its training frames by heart."""

SEARCH_SHARE = 0.6
"""Share of --minutes that the search is planned for; retraining has the rest."""

SEARCH_LIMIT = 0.75
"""Share of --minutes after which the search ends at the latest: on a busy machine trials take longer than planned."""


@dataclass(frozen=True)
class Budget:
    """Limits of time; None: no limit."""

    seconds: float | None = None
    gpu_seconds: float | None = None
    """Of all GPUs together."""

    def share(self, part: float) -> Budget:
        """Return a part of it."""
        return Budget(*(None if limit is None else limit * part for limit in (self.seconds, self.gpu_seconds)))


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
    detector: str | None
    """The detector whose gaps are filled; None: the one that recorded the frames."""
    mask: str | None
    pedestal: str | None
    group_by: str | None
    poni: str | None
    beam: str | None
    data: tuple[str, ...] = option(
        "frames",
        "a data set of python -m scattering.prepare; or detector files of any format, folders of them, globs, arrays "
        "in HDF5 files as scan.h5::/entry/data/data",
        metavar="FILE",
        nargs="+",
        default=(),
        default_words="frames are simulated",
    )
    size: str = option(
        "frames",
        "frames are resized to PIXELS x PIXELS, to ROWSxCOLUMNS, or kept as they are: native",
        metavar="PIXELS",
        presets=by_preset("256", "512", "512"),
    )
    frames: int = option(
        "frames", "number of frames to simulate", kind=int, metavar="N", least=3, presets=by_preset(240, 2000, 6497)
    )
    trials: int = option(
        "effort",
        "variants of each network to try",
        Role.EXTENDS,
        kind=int,
        metavar="N",
        least=1,
        presets=by_preset(8, 50, 100),
    )
    epochs: int | None = option(
        "effort",
        "times that a trial sees every frame, unless it is stopped early",
        kind=int,
        metavar="N",
        least=1,
        presets=by_preset(6, 27, 81),
    )
    """None: as many as the paper gave each of its points."""
    minutes: float | None = option(
        "effort",
        "time for search and retraining together",
        Role.EXTENDS,
        kind=float,
        metavar="M",
        above=0,
        presets=by_preset(2.25, None, None),
        default_words="quick 2.25 for each network, else no limit",
    )
    """For one session, of all networks together."""
    gpu_hours: float | None = option(
        "effort",
        "time of all GPUs together, for search and retraining",
        Role.EXTENDS,
        kind=float,
        metavar="H",
        above=0,
        default_words="no limit",
    )
    compare_at: str = option(
        "effort",
        "early stopping compares trials after equal epochs, or after equal training time",
        choices=COMPARISONS,
        default="epochs",
    )
    task: str | None = option(
        "effort",
        "blind: paint the gaps from nothing, as in the paper; residual: correct a simple interpolation; both: search "
        "each for itself and compare their winners",
        choices=(*TASKS, BOTH),
        presets=by_preset(None, BOTH, BOTH),
        default_words="quick takes whichever wins, the others both",
    )
    """None: the search decides."""
    geometry: str | None = option(
        "effort",
        "whether networks look along the rings of the frames, around the beam",
        choices=("yes", "no"),
        default_words="the search decides, where the geometry of the frames is known",
    )
    """None: the search decides."""
    top: int = option(
        "effort",
        "number of the best variants that are trained again at full length",
        Role.EXTENDS,
        kind=int,
        metavar="N",
        least=1,
        presets=by_preset(1, 3, 3),
    )
    """For each study."""
    seeds: int = option(
        "effort",
        "number of trainings of each of them, from other initial weights, to show the role of chance",
        Role.EXTENDS,
        kind=int,
        metavar="N",
        least=1,
        presets=by_preset(1, 3, 3),
    )
    points: str = option(
        "effort",
        "search: try promising variants; paper: train every TUNet and MSDNet of the paper's tables to its end, as it "
        "did; paper,search: begin a search with these",
        choices=POINTS,
        metavar="{" + " ".join(POINTS) + "}",
        default="search",
    )
    implementation: str = option(
        "effort",
        "origin of TUNet and MSDNet: ours, or the paper's library (pip install -e '.[pymsdtorch]')",
        choices=tuple(IMPLEMENTATIONS),
        default="gapsearch",
    )
    track: str | None = option(
        "output", "write every trial for TensorBoard or MLflow, too, into the folder of the run", choices=TRACKERS
    )
    seed: int = option(
        "run", "seed of frames, split, proposals and weights", kind=int, metavar="N", least=0, default=0
    )
    retrain_epochs: int = preset_field(by_preset(40, 100, 300))
    """Epochs of a retrained winner at most."""
    schedule: str = preset_field(by_preset("cosine", "cosine", "step"))

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

    def study_of(self, network: str, config: Config) -> Study:
        """Return the study that a configuration of a network is of."""
        own = (study for study in self.studies if study.network == network)
        return next(study for study in own if study.task in (None, config["task"]))

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
    def folder(self) -> Path:
        """The run's folder."""
        return RUNS / self.name

    @property
    def files(self) -> RunFolder:
        """The files of the run."""
        return RunFolder(self.folder)

    def ladders(self) -> dict[str, Ladder]:
        """Return the ladder of each study, by its name, once they are written."""
        return {ladder.study: ladder for ladder in self.files.ladders.read()}

    def budget(self, share: float) -> Budget:
        """Return a share of what the run may spend."""
        return Budget(
            None if self.minutes is None else self.minutes * 60,
            None if self.gpu_hours is None else self.gpu_hours * 3600,
        ).share(share)

    def job(
        self,
        trial: int,
        network: str,
        config: Config,
        course: tuple[int, int],
        resources: Resources,
        checkpoint: Path,
    ) -> Job:
        """Return the job of training a configuration on so many windows, with so many from report to report."""
        from trainables.job import Job  # late, for PyTorch comes with it

        return Job(
            trial=trial,
            network=network,
            implementation=self.implementation,
            config=config,
            windows=course[0],
            interval=course[1],
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
    chosen = {**asdict(Options()), **defaults(Settings, preset), **given}
    check(Settings, chosen)
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
    for key in ("mask", "pedestal", "group_by", "poni", "beam"):
        if key in given:
            raise InputError(
                f"simulated frames know all about themselves, got --{key.replace('_', '-')} {given[key]}: "
                "leave it out, or give --data"
            )


def stretched(preset: str, given: dict[str, Any]) -> int:
    """Return how many epochs winners are retrained for at most, given the time or not."""
    epochs: int = defaults(Settings, preset)["retrain_epochs"]
    return epochs * (STRETCH if given.keys() & {"minutes", "gpu_hours"} else 1)


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


@dataclass(frozen=True)
class Asked:
    """The share of the machine that a session asks for; None: by default. See `search.machines.resources`."""

    gpus: float | None = option(
        "machine",
        "GPUs of a trial; 0.25: four trials share a GPU",
        Role.SESSION,
        flag="--gpus-per-trial",
        kind=float,
        metavar="N",
        least=0,
        most=1,
        default_words="1, or 0 without a GPU",
    )
    cpus: int | None = option(
        "machine",
        "CPU cores of a trial",
        Role.SESSION,
        flag="--cpus-per-trial",
        kind=int,
        metavar="N",
        least=1,
        default_words="the cores that go with its GPU, or 1 without a GPU",
    )
    memory_gb: float | None = option(
        "machine",
        "memory of a trial for weights and batches; larger batches go in parts",
        Role.SESSION,
        flag="--memory-per-trial",
        kind=float,
        metavar="GB",
        above=0,
        default_words="its share of the machine",
    )
    parallel: int | None = option(
        "machine",
        "number of trials at once",
        Role.SESSION,
        kind=int,
        metavar="N",
        least=1,
        default_words="as many as fit the machine",
    )


if __name__ == "__main__":
    # docs/options.md
    print("# Options of a run\n\nMade by `python -m search.settings`; `--help` has the options for frames, too.\n")
    print(table(Settings, Asked))
