"""A search in TensorBoard or MLflow besides: callbacks of Ray Tune that write into the run folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.logger import LoggerCallback
from ray.tune.result import TIMESTEPS_TOTAL
from tensorboardX import SummaryWriter
from tensorboardX.summary import hparams

from records.tables import Interim
from trainables.messages import Reported, from_report

METRICS = tuple(name for name in Interim.__dataclass_fields__ if name not in ("trial", "windows"))


def callbacks(track: str | None, folder: Path) -> list[tune.Callback]:
    """Return what Tune is to tell of each trial of the run in a folder."""
    if track == "tensorboard":
        return [TensorBoard(folder / "tensorboard")]
    if track == "mlflow":
        return [_mlflow(folder)]
    return []


class TensorBoard(LoggerCallback):
    """One folder of events a trial; Ray's own callback writes among Tune's files, which a search deletes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writers: dict[str, SummaryWriter] = {}
        self.last: dict[str, float] = {}

    def log_trial_start(self, trial: TuneTrial) -> None:
        """Open the events of a trial: new ones for each session, which TensorBoard reads as one."""
        self.writers[trial.trial_id] = SummaryWriter(str(self.folder / f"{trial.config['trial']:04d}"))

    def log_trial_result(self, iteration: int, trial: TuneTrial, result: dict[str, Any]) -> None:
        """Write an interim result, against the windows seen."""
        message = from_report(result)
        if isinstance(message, Reported):
            for name in METRICS:
                self.writers[trial.trial_id].add_scalar(name, message.metrics[name], message.metrics["windows"])
            self.writers[trial.trial_id].flush()
            self.last[trial.trial_id] = message.metrics["val_gap_l1"]

    def log_trial_end(self, trial: TuneTrial, failed: bool = False) -> None:
        """Write the configuration beside what it came to."""
        writer = self.writers.pop(trial.trial_id, None)
        if writer is None:
            return  # it failed before it began
        if trial.trial_id in self.last:
            config = {"network": trial.config["network"], **trial.config["config"]}
            for summary in hparams(config, {"val_gap_l1": self.last.pop(trial.trial_id)}):
                writer.file_writer.add_summary(summary)
        writer.close()


def _mlflow(folder: Path) -> tune.Callback:
    """Return Ray's callback, counting windows where it counts reports, and telling only what was measured."""
    # Before it is imported: no word to its makers, none on the terminal.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    class MLflow(MLflowLoggerCallback):
        def log_trial_result(self, iteration: int, trial: TuneTrial, result: dict[str, Any]) -> None:
            message = from_report(result)
            if isinstance(message, Reported):
                values = {name: message.metrics[name] for name in METRICS}
                super().log_trial_result(iteration, trial, {**values, TIMESTEPS_TOTAL: message.metrics["windows"]})

    return MLflow(f"sqlite:///{folder.resolve() / 'mlflow.db'}", experiment_name=folder.name)
