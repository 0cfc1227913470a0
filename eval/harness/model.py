"""The interface of an evaluated model, and the folder of one finished measurement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pacos.files import atomic_folder
from pacos.schemas import Message

if TYPE_CHECKING:  # `pacos review` reads answers through this module, without torch and lm_eval.
    from eval.engine.certificate import Certificate
    from eval.lm_eval_api import Instance


class EvaluatedModel(Protocol):
    """A model that lm_eval can evaluate (an `LM`): one loaded here, or one behind an endpoint."""

    model_source: str
    """Kind of model, for lm_eval's results."""

    @property
    def model_args(self) -> dict[str, str]:
        """Facts about the model, for lm_eval's results."""
        ...

    def keep_answers(self, path: Path, seed: int) -> None:
        """Keep answers in a file from now on, if the model does not keep them otherwise."""
        ...

    def start_certificate(self) -> Certificate | None:
        """Compute a sample of the requests a second time from now on.

        Returns:
            The record of the differences, which grows; None if there is only one way to compute.
        """
        ...

    def chat_template(self, chat_template: bool | str = False) -> str | None: ...
    def apply_chat_template(
        self, chat_history: list[Message], add_generation_prompt: bool = True
    ) -> str: ...
    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]: ...
    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]: ...
    def generate_until(self, requests: list[Instance]) -> list[str]: ...


@contextmanager
def publish_results(model: EvaluatedModel, folder: Path, seed: int) -> Iterator[Path]:
    """Give a temporary folder for results, and rename it to `folder` at the end.

    A finished measurement is a folder that exists. Until it does, the model keeps its answers
    beside it, so that a killed run computes or buys none of them again.
    """
    answers = folder.with_name(f".{folder.name}.answers.jsonl")
    model.keep_answers(answers, seed)
    with atomic_folder(folder) as partial:
        yield partial
    answers.unlink(missing_ok=True)
