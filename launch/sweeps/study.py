"""The trials of a search in Optuna's storage, which outlives the process that searches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from launch.sweep import Sweep, short
from pacos.errors import UserError

if TYPE_CHECKING:
    import optuna

CUT = "cut"
"""Attribute of a study: numbers of the trials whose process ended before they did."""


class Study:
    """A study that is there, or begins."""

    def __init__(self, sweep: Sweep, settings: DictConfig) -> None:
        """Open the storage: the one that is set, or a file in the search's folder.

        Raises:
            UserError: it searches for more than one thing.
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
        """How many are to be made. Those that were cut are put first, with the same values."""
        from optuna.trial import TrialState

        cut: list[int] = self._study.user_attrs.get(CUT, [])
        for trial in self._study.get_trials(states=[TrialState.RUNNING]):
            self._study.tell(trial.number, state=TrialState.FAIL)
            cut = [*cut, trial.number]
            self._study.set_user_attr(CUT, cut)
            if trial.params:
                self._study.enqueue_trial(trial.params)
        ended = self._study.get_trials(states=[TrialState.COMPLETE, TrialState.FAIL])
        made = sum(trial.number not in cut for trial in ended)
        return max(int(self._settings.n_trials) - made, 0)

    def overrides(self, left: int) -> list[str]:
        """What the sweeper has to be told for the rest of the search."""
        given = {"storage": self._storage, "study_name": self._study.study_name}
        words = [f"hydra.sweeper.{key}='{value}'" for key, value in given.items()]
        seed, made = self._settings.sampler.get("seed"), len(self._study.trials)
        if seed is not None and made:
            # Begun anew with the same seed, a sampler would propose its first points again.
            words.append(f"hydra.sweeper.sampler.seed={seed + made}")
        return [*words, f"hydra.sweeper.n_trials={left}"]

    @property
    def has_result(self) -> bool:
        """Whether a trial has come to a value."""
        from optuna.trial import TrialState

        return bool(self._study.get_trials(states=[TrialState.COMPLETE]))

    def best(self) -> str:
        """The best value and where it was found, in words."""
        if not self.has_result:
            return "no point has a result"
        trial = self._study.best_trial
        values = ", ".join(f"{key}={short(str(value))}" for key, value in trial.params.items())
        return f"{trial.value:.6g} with {values}"
