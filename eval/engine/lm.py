"""The evaluated model as lm_eval sees it: an HFLM that computes nothing twice.

HFLM runs the few-shot examples before every question again, and the question before every choice.
Here requests become a plan (plan.py) whose passes the ranks divide (rank_workers.py). In fp32 the
scores equal HFLM's own; every run proves it on a sample (certificate.py).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from eval.engine.answers import AnswerLog, NumberedRequest, number_repeats
from eval.engine.attention import pass_attention, supports_pass_attention
from eval.engine.certificate import Certificate, sample_items
from eval.engine.decoding import Decoder, GenerationRequest
from eval.engine.encoding import RequestEncoder
from eval.engine.generation import GenerationPlanner, end_token_ids
from eval.engine.plan import ForwardPass, TokenizedRequest, plan_passes
from eval.engine.rank_workers import RankWorkers
from eval.engine.scoring import IDLE_PASS, LogLikelihood, Scorer
from eval.lm_eval_api import (
    HFLM,
    Instance,
    cut_at_stops,
    generate_as_harness,
    rolling_windows,
    score_as_harness,
    silence_model_warnings,
)
from pacos.console import progress
from pacos.division import balance
from pacos.model.protocols import CausalLM, Tokenizer

log = logging.getLogger(__name__)

GATHER_PASSES = 4
"""Passes of each rank between two gathers of answers: the most that a killed run loses."""

PROGRESS_LABELS = {
    "loglikelihood": ("scoring choices", "choices"),
    "loglikelihood_rolling": ("scoring texts", "texts"),
    "generate_until": ("generating answers", "answers"),
}
"""Label and unit of the progress display for each request type."""

AnswerBatches = Iterator[list[tuple[int, Any]]]
"""Answers as they become known, each with the index of its request."""


class SharedPrefixLM(HFLM):  # type: ignore[misc]
    """HFLM in which a token is computed once for all requests that begin with it."""

    model_source = "hf"

    def __init__(
        self,
        model: CausalLM,
        tokenizer: Tokenizer,
        workers: RankWorkers,
        *,
        batch_size: int,
        batch_tokens: int,
        seed: int,
        device: torch.device | None = None,
        end_ids: Collection[int] = (),
        digests: Mapping[str, str] | None = None,
    ) -> None:
        """Take a loaded model.

        Args:
            model: a causal language model of transformers on its device; under ZeRO-3 the module
                that the engine trains.
            tokenizer: the model's tokenizer with the chat template to use.
            workers: all ranks that hold the model.
            batch_size: answers generated at the same time.
            batch_tokens: tokens per forward pass.
            seed: seed of sampled answers and of the certificate's sample.
            device: the device of the model's inputs, if parameters rest elsewhere (offload).
            end_ids: tokens that end an answer, besides those of the model's generation config.
            digests: sha256 of the model's files; None for a hub id and a model in training.
        """
        silence_model_warnings()
        super().__init__(
            pretrained=model,
            tokenizer=tokenizer,
            batch_size=batch_size,
            # HFLM's default is the model's dtype, which in bf16 alone moves scores by 0.5 nats.
            softmax_dtype=torch.float32,
        )
        self._workers = workers
        self._digests = digests or {}
        self._answers: AnswerLog | None = None
        self._certificate: Certificate | None = None
        self._batch_tokens, self._seed = batch_tokens, seed
        self._encoder = RequestEncoder(self.tokenizer, self.prefix_token_id)
        self._generation = GenerationPlanner(self, self._encoder, seed)
        # HFLM keeps its own device in `_device` and takes it from the parameters.
        self._device = device or model.device
        self._end_ids = end_ids
        # ZeRO-3 marks its parameters: each pass gathers them, so all ranks must make it together.
        self._shares_parameters = any(hasattr(one, "ds_id") for one in model.parameters())
        self._shares_prefixes = supports_pass_attention(model)
        workers.register("score", self._score_passes)
        workers.register("decode", self._decode)
        workers.register("score as harness", self._score_as_harness)
        workers.register("generate as harness", self._generate_as_harness)

    def release(self) -> None:
        """Take back the work that the ranks do with this model, which keeps it in memory."""
        self._workers.forget("score", "decode", "score as harness", "generate as harness")

    # What evaluation does with any model (eval.harness.model).

    @property
    def model_args(self) -> dict[str, str]:
        """Facts about the model for lm_eval's results."""
        dtype = str(self.model.dtype).removeprefix("torch.")
        return {"pretrained": self.model.name_or_path, "dtype": dtype}

    def keep_answers(self, path: Path, seed: int) -> None:
        """Append all answers to a file from now on, and look them up there first.

        Not for a hub id without a commit: its name may stand for other weights tomorrow.
        """
        commit = getattr(self.model.config, "_commit_hash", None)
        if not (self._digests or commit):
            return
        source = {
            "model": dict(self._digests),
            "commit": commit,
            "dtype": str(self.model.dtype),
            "max_length": self.max_length,
            "seed": seed,
        }
        self._answers = AnswerLog(path, source)

    def start_certificate(self) -> Certificate:
        """Compute a sample of all requests from now on a second time, by HFLM's own code."""
        self._certificate = Certificate(shares_contexts=self._shares_prefixes)
        return self._certificate

    # lm_eval's three request types, on rank 0.

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Score each continuation after its context."""

        def compute(left: Sequence[NumberedRequest]) -> AnswerBatches:
            return self._scores(self._encoder.pairs([one.request.args for one in left]))

        answers = self._answer("loglikelihood", requests, compute, not disable_tqdm)
        # Answers read from the log are lists.
        scores = [(score, greedy) for score, greedy in answers]
        if self._certificate is not None and self._shares_prefixes:
            self._certify_scores(self._certificate, requests, scores)
        return scores

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Score complete texts, in windows of the model's length."""
        return self._answer("loglikelihood_rolling", requests, self._rolling, not disable_tqdm)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Answer each prompt, up to a stop string or an end token."""
        texts: list[str] = self._answer(
            "generate_until", requests, self._generated, not disable_tqdm
        )
        if self._certificate is not None and self._shares_prefixes:
            self._certify_answers(self._certificate, requests, texts)
        return texts

    def _answer(
        self,
        kind: str,
        requests: Sequence[Instance],
        compute: Callable[[Sequence[NumberedRequest]], AnswerBatches],
        visible: bool,
    ) -> list[Any]:
        """Return the answer to each request, computing those that no earlier life has computed."""
        numbered = number_repeats(requests)
        known = self._answers
        keys = [one.key(kind, known) if known else "" for one in numbered]
        answers = [known.get(key) if known else None for key in keys]
        left = [index for index, answer in enumerate(answers) if answer is None]
        if not left:
            return answers
        label, unit = PROGRESS_LABELS[kind]
        with progress(label, len(requests), unit, visible=visible) as counter:
            counter.skip(len(requests) - len(left))
            for batch in compute([numbered[index] for index in left]):
                for place, answer in batch:
                    answers[left[place]] = answer
                if known:
                    known.add((keys[left[place]], answer) for place, answer in batch)
                counter.advance(len(batch))
        return answers

    def _certify_scores(
        self,
        certificate: Certificate,
        requests: Sequence[Instance],
        scores: Sequence[LogLikelihood],
    ) -> None:
        items = sample_items(requests, self._seed)
        chosen = [requests[index] for indices in items for index in indices]
        encoded = self._encoder.pairs([request.args for request in chosen])
        plain = dict(_flatten(self._dealt("score as harness", encoded)))
        again = (plain[place] for place in range(len(chosen)))
        for indices in items:
            certificate.compare_scores(
                [scores[index] for index in indices], [next(again) for _ in indices]
            )
        certificate.tasks += sorted({str(request.task_name) for request in chosen})

    def _certify_answers(
        self, certificate: Certificate, requests: Sequence[Instance], texts: Sequence[str]
    ) -> None:
        first = [indices[0] for indices in sample_items(requests, self._seed)]
        # A sampled answer is another one each time.
        greedy = [
            index
            for index in first
            if not self._generation.is_sampled(NumberedRequest(requests[index], 0))
        ]
        chosen = [requests[index] for index in greedy]
        for place, text in _flatten(self._dealt("generate as harness", chosen)):
            certificate.compare_answer(texts[greedy[place]], text)
        certificate.tasks += sorted({str(request.task_name) for request in chosen})

    # Division among the ranks, on rank 0.

    def _scores(self, requests: Sequence[TokenizedRequest]) -> AnswerBatches:
        if not self._shares_prefixes:
            return self._dealt("score as harness", requests)
        self._warn_of_truncation(requests)
        chains = plan_passes(requests, self.max_length, self._batch_tokens)
        shares = balance([sum(map(len, chain)) for chain in chains], self._workers.size)
        passes: list[list[ForwardPass | None]] = [
            [one for index in share for one in chains[index]] for share in shares
        ]
        if self._shares_parameters:
            most = max(map(len, passes))
            passes = [[*share, *[None] * (most - len(share))] for share in passes]
        return self._workers.run("score", passes)

    def _dealt(self, work: str, requests: Sequence[Any]) -> AnswerBatches:
        """Deal requests out to the ranks in turn."""
        indexed, size = list(enumerate(requests)), self._workers.size
        return self._workers.run(work, [indexed[rank::size] for rank in range(size)])

    def _warn_of_truncation(self, requests: Sequence[TokenizedRequest]) -> None:
        longest = self.max_length + 1
        cut = sum(len(context) + len(rest) > longest for _, context, rest in requests)
        if cut:
            log.warning(
                "%d of %d requests exceed the %d tokens that the model reads and lose their left "
                "end, as in the harness; fewer examples (suite.num_fewshot) would fit",
                *(cut, len(requests), self.max_length),
            )

    def _rolling(self, requests: Sequence[NumberedRequest]) -> AnswerBatches:
        windows: list[TokenizedRequest] = []
        owners: list[int] = []
        for owner, ids in enumerate(self._encoder.texts(one.request.args[0] for one in requests)):
            own = rolling_windows(ids, self.prefix_token_id, self.max_length)
            windows += [(None, context, scored) for context, scored in own]
            owners += [owner] * len(own)
        missing = Counter(owners)
        sums = [0.0] * len(requests)
        for batch in self._scores(windows):
            complete = []
            for index, (score, _) in batch:
                owner = owners[index]
                sums[owner] += score
                missing[owner] -= 1
                if not missing[owner]:
                    complete.append((owner, sums[owner]))
            yield complete

    def _generated(self, requests: Sequence[NumberedRequest]) -> AnswerBatches:
        if not (self._shares_prefixes and self._generation.supports(requests)):
            yield from self._dealt("generate as harness", [one.request for one in requests])
            return
        planned = self._generation.plan(requests)
        costs = [len(one.ids) + one.max_tokens for one in planned]
        shares = balance(costs, self._workers.size)
        dealt = [[planned[index] for index in share] for share in shares]
        for batch in self._workers.run("decode", dealt):
            yield [
                (index, cut_at_stops(self.tok_decode(ids), planned[index].stops))
                for index, ids in batch
            ]

    # Work of each rank.

    def _score_passes(
        self, passes: list[ForwardPass | None]
    ) -> Generator[list[tuple[int, LogLikelihood]], None, None]:
        scorer = Scorer(self.model, self.device)
        with pass_attention(self.model):
            for part in _chunks(passes, GATHER_PASSES):
                scores = []
                for forward_pass in part:
                    answered = scorer.score(forward_pass or IDLE_PASS)
                    scores += answered if forward_pass else []
                yield scores

    def _decode(
        self, requests: list[GenerationRequest]
    ) -> Generator[list[tuple[int, list[int]]], None, None]:
        decoder = Decoder(
            self.model,
            self.device,
            self.tokenizer,
            {self.eot_token_id, *end_token_ids(self.model), *self._end_ids} - {None},
            self.batch_size,
            self._batch_tokens,
            self._agree_on_pass,
        )
        with pass_attention(self.model):
            yield from decoder.generate(requests)

    def _agree_on_pass(self, has_work: bool) -> bool:
        """Return True if this rank has work, or any one that shares its parameters."""
        return self._workers.any_rank(has_work)[0] if self._shares_parameters else has_work

    def _score_as_harness(
        self, requests: list[tuple[int, TokenizedRequest]]
    ) -> Generator[list[tuple[int, LogLikelihood]], None, None]:
        for part in _chunks(requests, GATHER_PASSES * self.batch_size):
            scores = score_as_harness(self, [one for _, one in part])
            yield [(index, score) for (index, _), score in zip(part, scores, strict=True)]

    def _generate_as_harness(
        self, requests: list[tuple[int, Instance]]
    ) -> Generator[list[tuple[int, str]], None, None]:
        for part in _chunks(requests, GATHER_PASSES * self.batch_size):
            texts = generate_as_harness(self, [one for _, one in part])
            yield [(index, text) for (index, _), text in zip(part, texts, strict=True)]


def _flatten(batches: AnswerBatches) -> Iterator[tuple[int, Any]]:
    return (one for batch in batches for one in batch)


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
