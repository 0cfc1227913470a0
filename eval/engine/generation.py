"""Turn lm_eval's `generate_until` requests into requests for the decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eval.engine.answers import NumberedRequest
from eval.engine.decoding import GenerationRequest, TokenSampling
from eval.engine.encoding import RequestEncoder
from eval.lm_eval_api import HFLM, generation_settings, stop_strings
from pacos.errors import UserError
from pacos.model.protocols import CausalLM
from pacos.seeds import derived_seed

SUPPORTED_SETTINGS = {"until", "max_gen_toks", "do_sample", "temperature", "top_k", "top_p"}
"""Generation settings that the decoder implements. A task with others is left to transformers."""

NEUTRAL_SETTINGS = {"repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "num_beams": 1}
"""Settings of a model's generation config that the decoder ignores, with the value that turns each
off."""


class GenerationPlanner:
    """Plans the answers of one model.

    Args:
        lm: lm_eval's view of the model.
        encoder: its tokenisation.
        seed: seed of sampled answers.
    """

    def __init__(self, lm: HFLM, encoder: RequestEncoder, seed: int) -> None:
        self._lm, self._encoder, self._seed = lm, encoder, seed

    def supports(self, requests: Sequence[NumberedRequest]) -> bool:
        """Return True if no setting of a task or of the model needs transformers' own decoding."""
        config = self._lm.model.generation_config
        return all(
            getattr(config, name, None) in (None, neutral)
            for name, neutral in NEUTRAL_SETTINGS.items()
        ) and all(set(self._settings(one)) <= SUPPORTED_SETTINGS for one in requests)

    def is_sampled(self, request: NumberedRequest) -> bool:
        """Return True if tokens are drawn rather than chosen."""
        return bool(self._settings(request)["do_sample"])

    def plan(self, requests: Sequence[NumberedRequest]) -> list[GenerationRequest]:
        """Tokenise prompts and resolve their settings.

        Raises:
            UserError: an answer may be longer than the model reads.
        """
        end_text = self._lm.tok_decode([self._lm.eot_token_id], skip_special_tokens=False)
        tokens = self._encoder.prompts([one.request.args[0] for one in requests])
        planned = []
        for index, (one, ids) in enumerate(zip(requests, tokens, strict=True)):
            settings = self._settings(one)
            max_tokens = settings["max_gen_toks"]
            room = self._lm.max_length - max_tokens
            if room <= 0:
                raise UserError(
                    f"task {one.request.task_name}: an answer may have {max_tokens} tokens, but "
                    f"the model reads {self._lm.max_length} in all; lower max_gen_toks in the "
                    "task's generation_kwargs, or humaneval.max_tokens"
                )
            planned.append(
                GenerationRequest(
                    index,
                    # A long prompt loses its left end, as in lm_eval.
                    ids[-room:],
                    max_tokens,
                    stop_strings(settings["until"], end_text),
                    self._sampling(settings) if settings["do_sample"] else None,
                    derived_seed(self._seed, "generate", one.request.args[0], one.repeat),
                )
            )
        return planned

    def _settings(self, request: NumberedRequest) -> dict[str, Any]:
        return generation_settings(request.request, self._lm.max_gen_toks)

    def _sampling(self, settings: dict[str, Any]) -> TokenSampling:
        """Take from the model's generation config what the task does not set, as transformers."""
        config = self._lm.model.generation_config

        def setting(name: str, neutral: float) -> float:
            return settings.get(name) or getattr(config, name, None) or neutral

        return TokenSampling(
            setting("temperature", 1.0), int(setting("top_k", 0)), setting("top_p", 1.0)
        )


def end_token_ids(model: CausalLM) -> set[int]:
    """Return the end tokens that the model's generation config names."""
    named = model.generation_config.eos_token_id
    return set(named if isinstance(named, list) else [named]) - {None}
