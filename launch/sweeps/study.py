"""The trials of a search in Optuna's storage, which outlives the process that searches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from launch.sweeps.folder import Sweep
from launch.sweeps.table import shorten_number
from pacos.errors import UserError

if TYPE_CHECKING:
    import optuna

INTERRUPTED = "cut"
"""Attribute of the study that lists the trials whose process ended before they did. The value is
stored in the databases of existing searches."""


class Study:
    """A search's Optuna study, new or continued."""

    def __init__(self, sweep: Sweep, settings: DictConfig) -> None:
        """Open the configured storage, or a file in the search's folder.

        Raises:
            UserError: The settings ask for several objectives.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        direction = getattr(settings.direction, "name", settings.direction)
        if direction not in ("minimize", "maximize"):
            raise UserError(f"hydra.sweeper.direction = {direction}: use minimize or maximize")
        self.direction: str = direction
        self._settings = settings
        self._storage = settings.storage or f"sqlite:///{sweep.path}/optuna.db"
        self._study: optuna.Study = optuna.create_study(
            storage=self._storage,
            study_name=settings.study_name or sweep.path.name,
            direction=direction,
            load_if_exists=True,
        )

    def trials_left(self) -> int:
        """Return the number of trials still to run, and queue interrupted ones to run first.

        Optuna keeps a trial whose process was killed as running for ever. It is marked as failed
        here, and its values are queued again, so that the point continues and is not counted twice.
        """
        from optuna.trial import TrialState

        interrupted: list[int] = self._study.user_attrs.get(INTERRUPTED, [])
        for trial in self._study.get_trials(states=[TrialState.RUNNING]):
            self._study.tell(trial.number, state=TrialState.FAIL)
            interrupted = [*interrupted, trial.number]
            self._study.set_user_attr(INTERRUPTED, interrupted)
            if trial.params:
                self._study.enqueue_trial(trial.params)
        ended = self._study.get_trials(states=[TrialState.COMPLETE, TrialState.FAIL])
        finished = sum(trial.number not in interrupted for trial in ended)
        return max(int(self._settings.n_trials) - finished, 0)

    def overrides(self, left: int) -> list[str]:
        """Return the overrides of Hydra's sweeper for the `left` remaining trials."""
        settings = {"storage": self._storage, "study_name": self._study.study_name}
        overrides = [f"hydra.sweeper.{key}='{value}'" for key, value in settings.items()]
        seed, existing = self._settings.sampler.get("seed"), len(self._study.trials)
        if seed is not None and existing:
            # A sampler that starts again with the same seed would propose its first points again.
            overrides.append(f"hydra.sweeper.sampler.seed={seed + existing}")
        return [*overrides, f"hydra.sweeper.n_trials={left}"]

    @property
    def has_result(self) -> bool:
        """True if at least one trial has a value."""
        from optuna.trial import TrialState

        return bool(self._study.get_trials(states=[TrialState.COMPLETE]))

    def best(self) -> str:
        """Return the best value and its parameters as text."""
        if not self.has_result:
            return "no point has a result"
        trial = self._study.best_trial
        values = ", ".join(
            f"{key}={shorten_number(str(value))}" for key, value in trial.params.items()
        )
        return f"{trial.value:.6g} with {values}"
