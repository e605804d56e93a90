"""A session with a run: begun, resumed or extended; one session at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from records.folder import RunFolder
from records.tables import RunInfo
from scattering.arguments import Options, working_shape
from scattering.dataset import Dataset, check_gaps
from scattering.dataset_file import is_dataset
from scattering.detectors import detector
from scattering.errors import InputError
from scattering.preprocessing import to_counts
from scattering.provenance import machine, versions
from scattering.sources import from_files, simulated
from scattering.split import PARTS
from search.following.display import say, status
from search.machines.tasks import on_cluster
from search.options import check
from search.settings import RUNS, SIMULATED, Settings, from_dict, stretched
from search.winners import choose


def begin(settings: Settings, command: str) -> tuple[Settings, Dataset]:
    """Prepare the data of a new run, check them, and only then make its folder.

    Raises InputError for data that cannot be used, a name that exists, a folder that cannot be written, or without
    the library whose networks are asked for.
    """
    folder = settings.folder
    if folder.exists():
        raise InputError(
            f"a run's name must be new, got {settings.name!r}: {folder} exists; "
            f"take another --name, add --resume to go on with it, or delete the folder"
        )
    check_installed(settings)
    data = load(settings)
    check_counts(data)
    check_scored(data)
    settings = with_geometry(settings, data)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        RunFolder(temporary).info.write(_describe(settings, data, command))
        temporary.replace(folder)
    except OSError as error:
        raise InputError(f"runs are kept in {RUNS.resolve()}, which cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return settings, data


def resume(name: str, network: str, more: dict[str, Any]) -> tuple[Settings, Dataset]:
    """Read back the settings of a run and its data, which must be the same; `more` of its efforts may be asked for.

    Raises InputError when there is no such run, its data have changed, or less is asked for.
    """
    try:
        info = RunFolder(RUNS / name).info.read()
    except FileNotFoundError:
        known = ", ".join(sorted(path.parent.name for path in RUNS.glob("*/run.json"))) or "none yet"
        raise InputError(f"--resume needs the --name of a run, got {name!r}; runs: {known}") from None
    except (ValueError, TypeError) as error:
        raise InputError(f"{RUNS / name / 'run.json'} is damaged ({error}): start a new run") from None
    # Under the name that its folder has now.
    settings = replace(from_dict(info.settings), name=name)
    if settings.network != network:
        raise InputError(f"run {name!r} is a search of {settings.network}, got {network}: resume it as that")
    check_installed(settings)
    data = load(settings)
    if (data.checked or data.fingerprint()) != info.data.get("fingerprint"):
        raise InputError(f"the data of run {name!r} have changed since it began: start a new run")
    return extended(settings, more), data


def extended(settings: Settings, more: dict[str, Any]) -> Settings:
    """Return the settings of a run with more trials, winners, seeds or time.

    Raises InputError for fewer than before, or for trials where there are none to add.
    """
    if "trials" in more and not settings.proposes:
        raise InputError(
            f"--points paper tries the paper's points and no others, got --trials {more['trials']}: leave it out"
        )
    for key, words in {"trials": "trials", "top": "winners a study", "seeds": "seeds a winner"}.items():
        had = getattr(settings, key)
        if more.get(key, had) < had:
            raise InputError(f"a run can only be extended: it has {had} {words}, got --{key} {more[key]}")
    check(Settings, more)
    epochs = max(settings.retrain_epochs, stretched(settings.preset, more))
    return replace(settings, **more, retrain_epochs=epochs)


def check_installed(settings: Settings) -> None:
    """Raise InputError without a library that is asked for."""
    if settings.track == "mlflow" and find_spec("mlflow") is None:
        raise InputError("--track mlflow needs MLflow, which is not installed: pip install mlflow")
    if settings.implementation == "pymsdtorch":
        from trainables import pymsdtorch

        pymsdtorch.require()


def with_geometry(settings: Settings, data: Dataset) -> Settings:
    """Return the settings of a run on these data: networks have no rings to look along where no geometry is known.

    Raises InputError where they are asked to.
    """
    if data.calibration is not None:
        return settings
    if settings.geometry == "yes":
        raise InputError(
            "--geometry yes needs frames of known geometry, got none: say where the beam hits them (--poni or "
            "--beam), or leave it out"
        )
    return replace(settings, geometry="no")


def check_counts(data: Dataset) -> None:
    """Raise InputError where frames hold no counts, or all of training, validation or test is dark.

    Any fill is as good as another there: a winner would be called by an error of 0.
    """
    brightest = [float(to_counts(frame.max(initial=0), data.full_scale)) for frame in data.measured]
    if 0 < max(brightest) < 1:
        raise InputError(
            f"frames must hold counts, got values of at most {max(brightest):.3g}: were they divided by a monitor? "
            "multiply them by it"
        )
    for name in PARTS:
        part = data.members(name)
        if part and not any(brightest[frame] for frame in part):
            named = ", ".join(data.names[frame] for frame in part[:3])
            raise InputError(
                f"there must be light in some {name} frames, got none in {named}"
                f"{' and more' if len(part) > 3 else ''}: leave dark frames out"
            )


def check_scored(data: Dataset) -> None:
    """Say which gaps have no truth.

    Raises InputError where training, validation or test frames have no scored pixel at all.
    """
    columns = data.windows.vertical
    horizontal = np.array([frame[:, ~columns].any() for frame in data.valid & ~data.observed])
    vertical = len(data.windows.gapped) > 0
    for name in PARTS:
        part = data.members(name)
        if not vertical and not horizontal[part].any():
            raise InputError(
                f"the truth must be known in some gaps, got none in the {len(part)} {name} frames: frames need "
                "counts under the gaps of --detector, from a gapless detector or a second exposure"
            )
    if not horizontal.any():
        say("horizontal gaps: no truth in these frames, so they are neither trained on nor scored")


def load(settings: Settings) -> Dataset:
    """Read, prepare or simulate the data set of a run."""
    if settings.data:
        with status("preparing frames (kept for later runs)") as tell:
            return from_files(
                settings.data, settings.options, settings.size, settings.seed,
                tasks=on_cluster, progress=lambda done: tell(f"{done} done"), notes=say,
            )  # fmt: skip
    chosen = detector(settings.detector or SIMULATED)
    shape = working_shape(settings.size, chosen.gap.shape)
    check_gaps(chosen, shape)
    with status(f"simulating {settings.frames} frames of {chosen.name} (kept for later runs)"):
        return simulated(chosen, shape, settings.frames, settings.seed)


def check_alone(given: dict[str, Any]) -> None:
    """Raise InputError where a data set file is given and, with it, what was said when it was prepared."""
    data = given["data"] or []
    prepared = next((path for path in data if is_dataset(Path(path).expanduser())), None)
    if prepared is None:
        return
    if len(data) > 1:
        raise InputError(
            f"a data set is searched alone, got {prepared} among {len(data)} files: prepare all of them together"
        )
    for name in (*(field.name for field in fields(Options)), "size"):
        if given[name] is not None:
            raise InputError(
                f"a data set was prepared with all that is said of its frames, got --{name.replace('_', '-')} "
                f"{given[name]} with {prepared}: leave it out, or prepare the frames again with it"
            )


def reopen(settings: Settings, *, search: bool) -> None:
    """Let a run go on: with its `search`, or else with more winners and seeds of the search that it had."""
    run = settings.files
    info = run.info.read()
    run.leaderboard.remove()
    if search:
        run.winners.remove()
    elif run.winners.exists():
        run.winners.write(choose(settings, run.trials.read(), run.given_up.read()))
    run.info.write(replace(info, name=settings.name, settings=settings.as_dict()))


@contextmanager
def alone(run: RunFolder) -> Iterator[None]:
    """Keep other sessions from a run for the length of a block; the lock goes with the process that holds it."""
    with run.journal.open("ab") as journal:
        try:
            fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"one session at a time may work on a run, got {run.path.name!r}, which another one works on: "
                "wait for it, or end it"
            ) from None
        except OSError:
            say(f"the file system of {run.path} has no locks: see that no other session works on this run")
        yield


def _describe(settings: Settings, data: Dataset, command: str) -> RunInfo:
    """Everything needed to repeat a run."""
    return RunInfo(
        name=settings.name,
        command=command,
        network=settings.network,
        preset=settings.preset,
        seed=settings.seed,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        settings=settings.as_dict(),
        data={
            **{key: data.settings[key] for key in ("title", "simulated", "detector", "full_scale")},
            "split_seed": data.settings["seed"],
            "size": "x".join(map(str, data.gap.shape)),
            "frames": len(data),
            "groups": len(set(data.groups)),
            **{f"{name}_frames": data.parts.count(name) for name in PARTS},
            "fingerprint": data.checked or data.fingerprint(),
        },
        versions=versions(),
        machine=machine(),
    )
