"""A model behind a service that speaks OpenAI's API, as the harness sees it.

Choices are scored by the log-probabilities of a prompt that is sent back (`echo`). Where the choice
begins is told by the tokens that the service counts for the context alone, as the harness counts
them, so that no tokenizer is needed here.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.models.utils import normalize_gen_kwargs, postprocess_generated_text

from eval.config import EvalConfig
from eval.engine.answers import Asked, numbered
from eval.harness.asking import all_of, unless_stopped
from eval.harness.suites import leaves
from pacos.console import progress
from pacos.errors import UserError
from pacos.llm.budget import BudgetReached
from pacos.llm.config import EndpointConfig, Mode
from pacos.llm.http.client import HttpClient
from pacos.llm.request import Reply, Request, Sampling
from pacos.llm.service import open_service
from pacos.run.stop import Stopped, StopRequest
from pacos.schemas import Message
from pacos.seeds import derived_seed

log = logging.getLogger("eval.harness.endpoint")

MAX_TOKENS = 256
"""Tokens of an answer where the task names none, as in the harness."""

MOST_STOPS = 4
"""Stop texts that OpenAI's API takes; answers are cut at all of a task's in any case."""

SENT_SETTINGS = {"until", "max_gen_toks", "do_sample", "temperature", "top_p"}
"""Settings of generation that the API has."""

PROBE = "1, 2, 3, 4, 5, 6, 7,"
"""A text whose continuation every model is sure of."""

COUNTED = Sampling(max_tokens=1, temperature=0.0)
SCORED = Sampling(max_tokens=1, temperature=0.0, top_logprobs=1, echo=True)
"""One token is the least that all services write."""

REMEDY = "use a service that gives them, as vLLM does, a model directory, or tasks that generate"


def check_tasks(endpoint: EndpointConfig, tasks: Sequence[Any]) -> None:
    """See that an endpoint can be asked what tasks ask.

    Raises:
        UserError: it answers conversations alone, and a task scores texts.
    """
    scored = [
        task.task_name for task in leaves(list(tasks)) if task.OUTPUT_TYPE != "generate_until"
    ]
    if scored and endpoint.api.takes_messages:
        raise UserError(
            f"endpoint.api = {endpoint.api.name}: conversations have no scores of given texts, as "
            f"tasks need: {', '.join(scored[:4])}{' …' if len(scored) > 4 else ''}; use "
            "endpoint.api=completions, or tasks that generate"
        )


class EndpointLM(LM):  # type: ignore[misc]
    """The harness's three kinds of requests, put to a service once and for all.

    Args:
        config: its endpoint is asked.
        folder: of the ledger.
        stop: looked at meanwhile.
    """

    model_source = "endpoint"
    batch_size = None
    certificate = None

    def __init__(self, config: EvalConfig, folder: Path, stop: StopRequest) -> None:
        super().__init__()
        assert config.endpoint is not None
        self._endpoint, self._seed = config.endpoint, config.seed
        self._folder, self._stop = folder, stop
        self._conversations: dict[str, tuple[Message, ...]] = {}
        self._is_probed = config.endpoint.mode is Mode.replay

    @property
    def model_args(self) -> dict[str, str]:
        """What the harness's results say of the model."""
        return {"model": self._endpoint.model, "base_url": self._endpoint.url}

    @property
    def tokenizer_name(self) -> str:
        """The service has its own."""
        return self._endpoint.model

    def certify(self) -> None:
        """A service has one way of computing: there is none to compare it with."""

    def known_as(self) -> None:
        """The ledger keeps all replies: no other file of answers is needed."""

    def apply_chat_template(
        self, chat_history: list[Message], add_generation_prompt: bool = True
    ) -> str:
        """The conversation as JSON: the service writes it out itself."""
        text = json.dumps(chat_history, ensure_ascii=False)
        self._conversations[text] = tuple(chat_history)
        return text

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Answer each prompt; one that the service will not answer has an empty answer."""
        asked = numbered(requests)
        settings = [_settings(one.request) for one in asked]
        sent = [self._generation(one, each) for one, each in zip(asked, settings, strict=True)]
        replies = self._replies("generating answers", sent)
        refused = [reply for reply in replies if reply.error is not None]
        if refused:
            log.warning(
                "%d of %d prompts are refused by the service, which counts as an empty answer: %s",
                *(len(refused), len(replies), refused[0].error),
            )
        return [
            postprocess_generated_text(reply.text, each["until"], None)
            for reply, each in zip(replies, settings, strict=True)
        ]

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Score each continuation after its context.

        Raises:
            UserError: the service gives no log-probabilities of a prompt, or refuses one.
        """
        self._probe()
        pairs = [_split(*request.args) for request in requests]
        contexts = [context for context in dict.fromkeys(one for one, _ in pairs) if context]
        replies = self._replies(
            "scoring choices",
            [self._endpoint.request(context, COUNTED) for context in contexts]
            + [self._endpoint.request(context + choice, SCORED) for context, choice in pairs],
        )
        known = zip(contexts, replies[: len(contexts)], strict=True)
        lengths = {"": 0} | {context: self._whole(reply).prompt_tokens for context, reply in known}
        return [
            self._score(reply, lengths[context], choice)
            for (context, choice), reply in zip(pairs, replies[len(contexts) :], strict=True)
        ]

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Score whole texts; a first token that nothing precedes has no score."""
        self._probe()
        texts = [str(request.args[0]) for request in requests]
        sent = [self._endpoint.request(text, SCORED) for text in texts]
        replies = self._replies("scoring texts", sent)
        return [self._score(reply, 0, text)[0] for reply, text in zip(replies, texts, strict=True)]

    def _generation(self, asked: Asked, settings: dict[str, Any]) -> Request:
        context, sampled = asked.request.args[0], settings["do_sample"]
        # llama.cpp's seeds have 31 bits.
        seed = derived_seed(self._seed, "generate", context, asked.draw) % 2**31
        sampling = Sampling(
            max_tokens=settings["max_gen_toks"],
            temperature=(settings.get("temperature") or 1.0) if sampled else 0.0,
            top_p=(settings.get("top_p") or 1.0) if sampled else 1.0,
            stop=tuple(settings["until"][:MOST_STOPS]),
            seed=seed if sampled else None,
        )
        prompt: str | tuple[Message, ...] = context
        if self._endpoint.api.takes_messages:
            alone: Message = {"role": "user", "content": context}
            prompt = self._conversations.get(context, (alone,))
        return self._endpoint.request(prompt, sampling, sample=asked.draw)

    def _replies(self, doing: str, requests: Sequence[Request]) -> list[Reply]:
        """The reply to each request, of which none is bought twice.

        Raises:
            Stopped: somebody asked for it, or the budget is spent.
            UserError: the service cannot be asked.
        """
        try:
            return asyncio.run(self._ask(doing, requests))
        except BudgetReached as error:
            raise Stopped(str(error)) from error

    async def _ask(self, doing: str, requests: Sequence[Request]) -> list[Reply]:
        async with open_service(self._endpoint, self._folder) as service:
            with progress(doing, len(requests), "requests") as counter:

                async def ask(request: Request) -> Reply:
                    reply = await service.ask(request)
                    counter.advance(1)
                    return reply

                work = all_of([ask(request) for request in requests])
                return await unless_stopped(work, self._stop, doing)

    def _whole(self, reply: Reply) -> Reply:
        """The reply, if it is one.

        Raises:
            UserError: the service refuses the prompt.
        """
        if reply.error is not None:
            raise UserError(
                f"{self._name}: refuses a prompt whose text is to be scored: {reply.error}; if it "
                "is too long, ask for fewer examples (suite.num_fewshot); what was answered is kept"
            )
        return reply

    def _score(self, reply: Reply, before: int, text: str) -> tuple[float, bool]:
        """Log-probability of a prompt's tokens after the first `before`, and if all are likeliest.

        Counted from the end: some services leave a first special token out of what they send back.
        """
        end = len(self._whole(reply).tokens) - reply.completion_tokens
        own = reply.prompt_tokens - before
        if own < 1 or (before and own > end):
            raise UserError(
                f"{self._name}: {text!r} has no tokens of its own after its context; change the "
                "task's doc_to_choice or target_delimiter"
            )
        places = range(max(0, end - own), end)
        scored = [(reply.tokens[at], found) for at in places if (found := reply.logprobs[at])]
        is_likeliest = all(found[token] >= max(found.values()) for token, found in scored)
        return sum(found[token] for token, found in scored), is_likeliest

    def _probe(self) -> None:
        """See that what the service writes is what its own log-probabilities call the likeliest.

        It is not where they are of other tokens: llama-cpp-python's are one place off for models
        without a token at the beginning. Not in the ledger: a service can be put right.

        Raises:
            UserError: there are no log-probabilities of a prompt, or they are of other tokens.
        """
        if self._is_probed:
            return
        written, reply = asyncio.run(self._probed())
        for one in (written, reply):
            self._whole(one)
        if not reply.tokens:
            raise UserError(
                f"{self._name}: gives no log-probabilities of a prompt (echo with logprobs), by "
                f"which choices are scored; {REMEDY}"
            )
        end = len(reply.tokens) - reply.completion_tokens
        places = range(max(1, end - (reply.prompt_tokens - written.prompt_tokens)), end)
        likeliest = [
            reply.logprobs[at][reply.tokens[at]] >= max(reply.logprobs[at].values())
            for at in places
        ]
        if sum(likeliest) * 2 < len(likeliest) or not likeliest:
            raise UserError(
                f"{self._name}: its log-probabilities of a prompt are not those of its tokens: of "
                f"{len(likeliest)} that it wrote itself after {PROBE!r}, {sum(likeliest)} are the "
                f"likeliest by them; {REMEDY}"
            )
        self._is_probed = True

    async def _probed(self) -> tuple[Reply, Reply]:
        async with HttpClient(self._endpoint) as client:
            sampling = Sampling(max_tokens=8, temperature=0.0)
            written = await client.ask(self._endpoint.request(PROBE, sampling))
            return written, await client.ask(self._endpoint.request(PROBE + written.text, SCORED))

    @property
    def _name(self) -> str:
        return f"endpoint {self._endpoint.url} (model {self._endpoint.model})"


def _settings(request: Instance) -> dict[str, Any]:
    """How a prompt is to be answered.

    Raises:
        UserError: the task wants what the API does not have.
    """
    found = dict(normalize_gen_kwargs(request.args[1], MAX_TOKENS))
    unknown = set(found) - SENT_SETTINGS
    if unknown:
        raise UserError(
            f"task {request.task_name}: generation_kwargs has {', '.join(sorted(unknown))}, which "
            "the API of an endpoint does not have; leave it out"
        )
    return {**found, "until": [stop for stop in found["until"] if stop]}


def _split(context: str, choice: str) -> tuple[str, str]:
    """Spaces at the end of the context belong to the choice's first token, as in the harness."""
    kept = context.rstrip()
    return kept, context[len(kept) :] + choice
