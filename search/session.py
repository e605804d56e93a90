"""A session with a run: begun, resumed or extended; one session at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from scattering.dataset import Dataset, split
from scattering.detectors import detector
from scattering.errors import InputError
from scattering.sources import from_files, simulated
from scattering.windows import vertical_gaps, windows
from search.following.display import say, status
from search.provenance import machine, versions
from search.records import RunInfo, Trial, read_json, read_table, write_json, write_table
from search.settings import RUNS, Settings, check_budgets, from_dict, stretched
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
    check_scored(data, settings.seed)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        write_json(temporary / "run.json", _describe(settings, data, command))
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
        info = read_json(RUNS / name / "run.json", RunInfo)
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
    if data.fingerprint() != info.data.get("fingerprint"):
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
    check_budgets(more)
    epochs = max(settings.retrain_epochs, stretched(settings.preset, more))
    return replace(settings, **more, retrain_epochs=epochs)


def check_installed(settings: Settings) -> None:
    """Raise InputError without a library that is asked for."""
    if settings.track == "mlflow" and find_spec("mlflow") is None:
        raise InputError("--track mlflow needs MLflow, which is not installed: pip install mlflow")
    if settings.implementation == "pymsdtorch":
        from trainables import pymsdtorch

        pymsdtorch.require()


def check_scored(data: Dataset, seed: int) -> None:
    """Say which gaps have no truth.

    Raises InputError where training, validation or test frames have no scored pixel at all.
    """
    columns = data.windows.vertical
    horizontal = np.array([frame[:, ~columns].any() for frame in data.valid & ~data.observed])
    vertical = len(data.windows.gapped) > 0
    for name, part in zip(("training", "validation", "test"), split(data.groups, seed), strict=True):
        if not vertical and not horizontal[part].any():
            raise InputError(
                f"the truth must be known in some gaps, got none in the {len(part)} {name} frames: frames need "
                "counts under the gaps of --detector, from a gapless detector or a second exposure"
            )
    if not horizontal.any():
        say("horizontal gaps: no truth in these frames, so they are neither trained on nor scored")


def load(settings: Settings) -> Dataset:
    """Read or simulate the data set of a run."""
    chosen = detector(settings.detector)
    if not chosen.gap.any():
        raise InputError(f"the detector must have gaps to fill, got {chosen.name}, which has none")
    layout = windows(chosen.gap_for((settings.size, settings.size)))
    if vertical_gaps(chosen.gap).any() and not layout.vertical.any():
        raise InputError(
            f"at the working size the gaps must be wider than half a pixel, got --size {settings.size}, "
            f"where the vertical gaps of {chosen.name} vanish: take a larger one"
        )
    if settings.data:
        with status("preparing frames"):
            return from_files(settings.data, chosen, settings.size, settings.poni)
    with status(f"simulating {settings.frames} frames of {chosen.name} (kept for later runs)"):
        return simulated(chosen, settings.size, settings.frames, settings.seed)


def reopen(settings: Settings, *, search: bool) -> None:
    """Let a run go on: with its `search`, or else with more winners and seeds of the search that it had."""
    folder = settings.folder
    info = read_json(folder / "run.json", RunInfo)
    (folder / "leaderboard.csv").unlink(missing_ok=True)
    if search:
        (folder / "winners.csv").unlink(missing_ok=True)
    elif (folder / "winners.csv").exists():
        trials, given_up = (read_table(folder / name, Trial) for name in ("trials.csv", "given_up.csv"))
        write_table(folder / "winners.csv", choose(settings, trials, given_up))
    write_json(settings.folder / "run.json", replace(info, name=settings.name, settings=settings.as_dict()))


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other sessions from a run for the length of a block; the lock goes with the process that holds it."""
    with (folder / "optuna.journal").open("ab") as journal:
        try:
            fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"one session at a time may work on a run, got {folder.name!r}, which another one works on: "
                "wait for it, or end it"
            ) from None
        except OSError:
            say(f"the file system of {folder} has no locks: see that no other session works on this run")
        yield


def _describe(settings: Settings, data: Dataset, command: str) -> RunInfo:
    """Everything needed to repeat a run."""
    parts = split(data.groups, settings.seed)
    return RunInfo(
        name=settings.name,
        command=command,
        network=settings.network,
        preset=settings.preset,
        seed=settings.seed,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        settings=settings.as_dict(),
        data={
            **{key: data.settings[key] for key in ("title", "simulated", "detector", "size", "full_scale")},
            "frames": len(data),
            "groups": len(set(data.groups)),
            **{
                f"{name}_frames": len(part) for name, part in zip(("train", "validation", "test"), parts, strict=True)
            },
            "fingerprint": data.fingerprint(),
        },
        versions=versions(),
        machine=machine(),
        rungs=settings.rungs,
    )
