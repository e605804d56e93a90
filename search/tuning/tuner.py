"""Space + trainable + budget -> a Ray Tune search -> records in the run folder."""

from __future__ import annotations

import shutil

import ray
from ray import tune

from records.tables import Ladder, Trial
from search.following.display import SearchDisplay
from search.following.tracking import callbacks
from search.machines.resources import Resources
from search.settings import UNLIMITED, Budget, Settings
from search.tuning.ledger import Ledger
from search.tuning.proposals import Closing, Halving, Proposals
from search.tuning.studies import open_studies
from search.tuning.watchdog import Watchdog
from trainables.batches import Part
from trainables.trial import train_trial


def search(
    settings: Settings,
    data: ray.ObjectRef[tuple[Part, Part]],
    ladders: dict[str, Ladder],
    resources: Resources,
    budget: Budget = UNLIMITED,
) -> list[Trial]:
    """Search the spaces of a run's networks on (train, validation) frames and return every trial, best first.

    Goes on from what the run folder already holds. Trials that the budget cuts short are `interrupted`. Ray must be
    running.
    """
    folder = settings.folder
    ledger = Ledger(settings, ladders, open_studies(settings, ladders), resources, budget)
    proposals = Proposals(ledger)
    # Tune gives a trial what the reference stands for.
    trainable = tune.with_resources(
        tune.with_parameters(train_trial, data=data), {"cpu": resources.cpus, "gpu": resources.gpus}
    )
    epoch = next(iter(ladders.values())).epoch
    with SearchDisplay(settings.name, ledger.planned(), epoch, ledger.ended(), budget.seconds) as display:
        ledger.display = display
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=proposals,
                scheduler=Halving(ledger),
                num_samples=-1,
                # Workers keep torch imported and the data mapped: 1.5 s a trial instead of 7.6 s.
                reuse_actors=True,
                trial_name_creator=lambda trial: f"trial {trial.config['trial']}",
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(folder.resolve()),
                verbose=0,
                stop=Closing(ledger),
                # Silent at that; the one that Tune takes in a notebook clears the cell.
                progress_reporter=tune.CLIReporter(),
                callbacks=[Watchdog(ledger, proposals), *callbacks(settings.track, folder)],
            ),
        )
        tuner.fit()
        proposals.conclude_all()
    if ledger.broken is not None:
        raise ledger.broken
    shutil.rmtree(folder / "tune", ignore_errors=True)
    for left in (folder / "trials").glob("*.pt"):
        # Of a trial whose end was known before its training state was deleted.
        left.unlink()
    return ledger.write_trials()
