"""The model under judgement as the harness sees it: its HFLM, which computes nothing twice.

The harness runs the examples before every question again, and the question before every choice.
Here requests become a plan (plan.py), and the ranks divide its passes (rank_workers.py). In fp32
the scores are the harness's own; certificate.py shows it for a sample of every run.
"""

from __future__ import annotations

import logging
from collections import Counter as Tally
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from typing import Any

import torch
from lm_eval import utils
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import (
    handle_stop_sequences,
    normalize_gen_kwargs,
    postprocess_generated_text,
)

from eval.engine.answers import Answers, Asked, numbered
from eval.engine.attention import can_share, shared_attention
from eval.engine.certificate import Certificate, drawn_items
from eval.engine.decoding import Decoder, Draw, Prompt
from eval.engine.encoding import Encoder
from eval.engine.plan import Pass, Request, make_units
from eval.engine.rank_workers import Team
from eval.engine.scoring import IDLE, Score, Scorer
from pacos.console import progress
from pacos.division import balance
from pacos.errors import UserError
from pacos.seeds import derived_seed

log = logging.getLogger(__name__)

GATHER_PASSES = 4
"""Passes of each rank after which answers are gathered, and so the most that a kill can cost."""

SHOWN = {
    "loglikelihood": ("scoring choices", "choices"),
    "loglikelihood_rolling": ("scoring texts", "texts"),
    "generate_until": ("generating answers", "answers"),
}
"""What a person sees of each kind of request: what is done, and what is counted."""

OWN_SETTINGS = {"until", "max_gen_toks", "do_sample", "temperature", "top_k", "top_p"}
"""Settings of generation that `eval.engine.decoding` knows; others are left to transformers."""

Answered = Iterator[list[tuple[int, Any]]]
"""Answers as they come, each with the number of its request."""


class SharedContextLM(HFLM):  # type: ignore[misc]
    """HFLM in which a token is computed once for all requests that begin with it.

    Attributes:
        content: digests of the model's files; empty for a hub id and for a model in training.
        answers: where answers are kept and looked up; None keeps none.
        certificate: takes what a sample says when it is computed again; None: none is.
    """

    model_source = "hf"

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        team: Team,
        *,
        batch_size: int,
        batch_tokens: int,
        seed: int,
        device: torch.device | None = None,
        end_ids: Collection[int] = (),
    ) -> None:
        """Take a loaded model.

        Args:
            model: a causal language model of transformers, on its device; under ZeRO-3 the module
                that the engine trains.
            tokenizer: its own, with the chat template that is wanted.
            team: all ranks that have the model.
            batch_size: answers that are generated at the same time.
            batch_tokens: tokens of a forward pass.
            seed: of answers that are drawn.
            device: that the model computes on, if its parameters wait elsewhere.
            end_ids: tokens that end an answer, besides those that the model's config names.
        """
        # HFLM warns that it leaves launching and sharding to us, which is what is wanted.
        logging.getLogger("lm_eval.models.huggingface").setLevel(logging.ERROR)
        super().__init__(
            pretrained=model,
            tokenizer=tokenizer,
            batch_size=batch_size,
            softmax_dtype=torch.float32,
        )
        self.content: Mapping[str, str] = {}
        self.answers: Answers | None = None
        self.certificate: Certificate | None = None
        self.team = team
        self._batch_tokens, self._seed = batch_tokens, seed
        self._encoder = Encoder(self.tokenizer, self.prefix_token_id)
        self._device = device or model.device
        self._end_ids = end_ids
        self._shares_parameters = any(hasattr(one, "ds_id") for one in model.parameters())
        team.learn("score", self._score_passes)
        team.learn("decode", self._decode)
        team.learn("score plainly", self._score_plainly)
        team.learn("generate plainly", self._generate_plainly)

    @property
    def shares_contexts(self) -> bool:
        """Whether the model's attention is one that can be shared."""
        return can_share(self.model)

    @property
    def model_args(self) -> dict[str, str]:
        """What the harness's results say of the model."""
        dtype = str(self.model.dtype).removeprefix("torch.")
        return {"pretrained": self.model.name_or_path, "dtype": dtype}

    def known_as(self) -> dict[str, Any] | None:
        """What answers depend on besides the prompt; None if the model is not known exactly."""
        commit = getattr(self.model.config, "_commit_hash", None)
        if not (self.content or commit):
            return None
        facts = {"dtype": str(self.model.dtype), "max_length": self.max_length}
        return {"model": dict(self.content), "commit": commit, **facts}

    def certify(self) -> None:
        """Compute a sample of what is asked from now on the plain way, too."""
        self.certificate = Certificate()

    # The harness's three kinds of requests, on rank 0.

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Score each continuation after its context."""

        def compute(left: Sequence[Asked]) -> Answered:
            return self._scores(self._encoder.pairs([one.request.args for one in left]))

        found = self._answered("loglikelihood", requests, compute, not disable_tqdm)
        scores = [(score, greedy) for score, greedy in found]
        if self.certificate is not None and self.shares_contexts:
            self._certify_scores(self.certificate, requests, scores)
        return scores

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Score whole texts, in windows of the model's length."""
        return self._answered("loglikelihood_rolling", requests, self._rolling, not disable_tqdm)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Answer each prompt, up to a stop string or token."""
        texts: list[str] = self._answered(
            "generate_until", requests, self._generated, not disable_tqdm
        )
        if self.certificate is not None and self.shares_contexts:
            self._certify_answers(self.certificate, requests, texts)
        return texts

    def _answered(
        self,
        kind: str,
        requests: Sequence[Instance],
        compute: Callable[[Sequence[Asked]], Answered],
        visible: bool,
    ) -> list[Any]:
        """The answer to each request: those of an earlier life, and the others computed."""
        asked = numbered(requests)
        known = self.answers
        keys = [one.key(kind, known) if known else "" for one in asked]
        answers = [known.get(key) if known else None for key in keys]
        left = [number for number, answer in enumerate(answers) if answer is None]
        if not left:
            return answers
        label, unit = SHOWN[kind]
        with progress(label, len(requests), unit, visible=visible) as counter:
            counter.skip(len(requests) - len(left))
            for found in compute([asked[number] for number in left]):
                for place, answer in found:
                    answers[left[place]] = answer
                if known:
                    known.add((keys[left[place]], answer) for place, answer in found)
                counter.advance(len(found))
        return answers

    def _certify_scores(
        self, certificate: Certificate, requests: Sequence[Instance], scores: Sequence[Score]
    ) -> None:
        items = drawn_items(requests, self._seed)
        chosen = [requests[number] for numbers in items for number in numbers]
        encoded = self._encoder.pairs([request.args for request in chosen])
        plain = dict(_flat(self._plainly("score plainly", encoded)))
        again = (plain[number] for number in range(len(chosen)))
        for numbers in items:
            certificate.compare_scores([scores[n] for n in numbers], [next(again) for _ in numbers])
        certificate.tasks += sorted({str(request.task_name) for request in chosen})

    def _certify_answers(
        self, certificate: Certificate, requests: Sequence[Instance], texts: Sequence[str]
    ) -> None:
        items = drawn_items(requests, self._seed)
        chosen = [numbers[0] for numbers in items]
        greedy = [number for number in chosen if not self._settings(requests[number])["do_sample"]]
        asked = [requests[number] for number in greedy]
        for place, text in _flat(self._plainly("generate plainly", asked)):
            certificate.compare_answer(texts[greedy[place]], text)
        certificate.tasks += sorted({str(request.task_name) for request in asked})

    # How they are computed.

    def _scores(self, requests: Sequence[Request]) -> Answered:
        """Scores of tokenised requests."""
        if not self.shares_contexts:
            return self._plainly("score plainly", requests)
        self._tell_what_is_cut(requests)
        units = make_units(requests, self.max_length, self._batch_tokens)
        shares = balance([sum(map(len, unit)) for unit in units], self.team.size)
        passes: list[list[Pass | None]] = [
            [one for index in share for one in units[index]] for share in shares
        ]
        if self._shares_parameters:
            most = max(map(len, passes))
            passes = [[*share, *[None] * (most - len(share))] for share in passes]
        return self.team.do("score", passes)

    def _plainly(self, name: str, requests: Sequence[Any]) -> Answered:
        """As HFLM does it, requests dealt out to the ranks."""
        dealt = [
            list(enumerate(requests))[rank :: self.team.size] for rank in range(self.team.size)
        ]
        return self.team.do(name, dealt)

    def _settings(self, request: Instance) -> dict[str, Any]:
        """How a prompt is to be answered."""
        return dict(normalize_gen_kwargs(request.args[1], self.max_gen_toks))

    def _tell_what_is_cut(self, requests: Sequence[Request]) -> None:
        cut = sum(len(one) + len(other) > self.max_length + 1 for _, one, other in requests)
        if cut:
            log.warning(
                "%d of %d requests are longer than the %d tokens that the model reads: their left "
                "end is cut, as the harness does; fewer examples (num_fewshot) would fit",
                *(cut, len(requests), self.max_length),
            )

    def _rolling(self, asked: Sequence[Asked]) -> Answered:
        windows: list[Request] = []
        owners: list[int] = []
        for owner, ids in enumerate(self._encoder.texts(one.request.args[0] for one in asked)):
            rolled = utils.get_rolling_token_windows(
                ids, self.prefix_token_id, max_seq_len=self.max_length, context_len=1
            )
            own = [(None, *utils.make_disjoint_window(window)) for window in rolled]
            windows += own
            owners += [owner] * len(own)
        missing = Tally(owners)
        sums = [0.0] * len(asked)
        for found in self._scores(windows):
            whole = []
            for number, (score, _) in found:
                owner = owners[number]
                sums[owner] += score
                missing[owner] -= 1
                if not missing[owner]:
                    whole.append((owner, sums[owner]))
            yield whole

    def _generated(self, asked: Sequence[Asked]) -> Answered:
        if not (self.shares_contexts and self._decodes(asked)):
            yield from self._plainly("generate plainly", [one.request for one in asked])
            return
        prompts = self._prompts(asked)
        costs = [len(prompt.ids) + prompt.max_tokens for prompt in prompts]
        shares = balance(costs, self.team.size)
        dealt = [[prompts[index] for index in share] for share in shares]
        for found in self.team.do("decode", dealt):
            yield [(number, self._text(ids, prompts[number].stops)) for number, ids in found]

    def _text(self, ids: list[int], stops: list[str]) -> str:
        return postprocess_generated_text(self.tok_decode(ids), stops, None)

    def _decodes(self, asked: Sequence[Asked]) -> bool:
        """Whether nothing is asked for, by a task or the model, that only transformers knows."""
        config = self.model.generation_config
        plain = all(
            getattr(config, name, None) in (None, neutral)
            for name, neutral in (
                ("repetition_penalty", 1.0),
                ("no_repeat_ngram_size", 0),
                ("num_beams", 1),
            )
        )
        return plain and all(set(self._settings(one.request)) <= OWN_SETTINGS for one in asked)

    def _prompts(self, asked: Sequence[Asked]) -> list[Prompt]:
        end = self.tok_decode([self.eot_token_id], skip_special_tokens=False)
        prompts = []
        tokens = self._encoder.prompts([one.request.args[0] for one in asked])
        for number, (one, ids) in enumerate(zip(asked, tokens, strict=True)):
            settings = self._settings(one.request)
            room = self.max_length - settings["max_gen_toks"]
            if room <= 0:
                raise UserError(
                    f"task {one.request.task_name}: its answers may have "
                    f"{settings['max_gen_toks']} tokens, the model reads {self.max_length} in all; "
                    "lower max_gen_toks in the task's generation_kwargs, or humaneval.max_tokens"
                )
            stops = list(filter(None, handle_stop_sequences(settings["until"], eos=end)))
            draw = self._draw(settings) if settings["do_sample"] else None
            seed = derived_seed(self._seed, "generate", one.request.args[0], one.draw)
            prompts.append(Prompt(number, ids[-room:], settings["max_gen_toks"], stops, draw, seed))
        return prompts

    def _draw(self, settings: dict[str, Any]) -> Draw:
        """What the task does not say, the model's own config does."""
        config = self.model.generation_config

        def setting(name: str, neutral: float) -> float:
            return settings.get(name) or getattr(config, name, None) or neutral

        return Draw(setting("temperature", 1.0), int(setting("top_k", 0)), setting("top_p", 1.0))

    # What each rank does of it.

    def _score_passes(
        self, passes: list[Pass | None]
    ) -> Generator[list[tuple[int, Score]], None, None]:
        scorer = Scorer(self.model, self.device)
        with shared_attention(self.model):
            for part in _parts(passes, GATHER_PASSES):
                found = []
                for one in part:
                    scores = scorer.score(one or IDLE)
                    found += scores if one else []
                yield found

    def _decode(self, prompts: list[Prompt]) -> Generator[list[tuple[int, list[int]]], None, None]:
        named = self.model.generation_config.eos_token_id
        named = named if isinstance(named, list) else [named]
        together = self._shares_parameters
        decoder = Decoder(
            self.model,
            self.device,
            self.tokenizer,
            {self.eot_token_id, *named, *self._end_ids} - {None},
            self.batch_size,
            self._batch_tokens,
            (lambda is_busy: self.team.any(is_busy)[0]) if together else (lambda is_busy: is_busy),
        )
        with shared_attention(self.model):
            yield from decoder.answer(prompts)

    def _score_plainly(
        self, requests: list[tuple[int, Request]]
    ) -> Generator[list[tuple[int, Score]], None, None]:
        for part in _parts(requests, GATHER_PASSES * self.batch_size):
            scores = super()._loglikelihood_tokens([one for _, one in part], disable_tqdm=True)
            yield [(number, score) for (number, _), score in zip(part, scores, strict=True)]

    def _generate_plainly(
        self, requests: list[tuple[int, Instance]]
    ) -> Generator[list[tuple[int, str]], None, None]:
        for part in _parts(requests, GATHER_PASSES * self.batch_size):
            texts = super().generate_until([one for _, one in part], disable_tqdm=True)
            yield [(number, text) for (number, _), text in zip(part, texts, strict=True)]


def _flat(found: Answered) -> Iterator[tuple[int, Any]]:
    return (one for part in found for one in part)


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
