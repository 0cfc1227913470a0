"""A model behind a service that speaks OpenAI's API, as lm_eval sees it.

A choice is scored by the log-probabilities of a prompt that the service sends back (`echo`). The
choice begins after as many tokens as the service counts for the context alone, which is how lm_eval
splits them too, so no tokenizer is needed for it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from eval.engine.answers import NumberedRequest, number_repeats
from eval.engine.encoding import move_spaces
from eval.harness.service_calls import await_or_stop, gather_all
from eval.harness.suites import leaves
from eval.lm_eval_api import LM, Instance, cut_at_stops, generation_settings
from pacos.console import progress
from pacos.errors import UserError
from pacos.llm.budget import BudgetReached
from pacos.llm.config import EndpointConfig, Mode
from pacos.llm.http.client import HttpClient
from pacos.llm.request import Reply, Request, Sampling
from pacos.llm.service import open_service
from pacos.model.protocols import Tokenizer
from pacos.run.stop import StopCheck, Stopped
from pacos.schemas import Message
from pacos.seeds import derived_seed

log = logging.getLogger("eval.harness.endpoint")

DEFAULT_MAX_TOKENS = 256
"""Tokens of an answer if the task names no limit; lm_eval's default."""

MAX_STOPS = 4
"""Stop texts that OpenAI's API accepts. Answers are cut at all of a task's in any case."""

SUPPORTED_SETTINGS = {"until", "max_gen_toks", "do_sample", "temperature", "top_p"}
"""Generation settings that the API has."""

SERVED = "serve"
"""`Request.endpoint` of a model that the run serves itself, at another URL in each life; also the
folder of its ledger."""

PROBE = "1, 2, 3, 4, 5, 6, 7,"
"""A text whose continuation every language model is sure of."""

# Services refuse max_tokens=0, so both generate a token that nobody reads.
COUNT_TOKENS = Sampling(max_tokens=1, temperature=0.0)
SCORE_PROMPT = Sampling(max_tokens=1, temperature=0.0, top_logprobs=1, echo=True)

REMEDY = "use a service that gives them, such as vLLM, a model directory, or tasks that generate"


def check_tasks(endpoint: EndpointConfig, tasks: Sequence[Any]) -> None:
    """Check that an endpoint can answer the requests of tasks.

    Raises:
        UserError: its API takes conversations only, and a task scores given texts.
    """
    scored = [
        task.task_name for task in leaves(list(tasks)) if task.OUTPUT_TYPE != "generate_until"
    ]
    if scored and endpoint.api.takes_messages:
        names = ", ".join(scored[:4]) + (" …" if len(scored) > 4 else "")
        raise UserError(
            f"endpoint.api = {endpoint.api.name}: it does not score given texts, which these tasks "
            f"need: {names}; use endpoint.api=completions, or tasks that generate"
        )


class EndpointLM(LM):  # type: ignore[misc]
    """lm_eval's three request types, sent to a service, each request once.

    Args:
        endpoint: the service.
        seed: seed of sampled answers.
        folder: folder of the ledger.
        stop: polled while requests are in flight.
        tokenizer: that of a model which the run serves itself, with the chat template to use. None
            for a service that applies its own template.
    """

    model_source = "endpoint"
    batch_size = None

    def __init__(
        self,
        endpoint: EndpointConfig,
        seed: int,
        folder: Path,
        stop: StopCheck,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        super().__init__()
        self._endpoint, self._seed = endpoint, seed
        self._folder, self._stop = folder, stop
        self._tokenizer, self._begin = tokenizer, ""
        if tokenizer is not None:
            self._begin = tokenizer.decode(tokenizer("")["input_ids"][:1])
        self._conversations: dict[str, tuple[Message, ...]] = {}
        # A replayed ledger reaches no service that could be probed.
        self._is_probed = endpoint.mode is Mode.replay

    @property
    def model_args(self) -> dict[str, str]:
        """Facts about the model for lm_eval's results."""
        place = self._endpoint.url if self._tokenizer is None else SERVED
        return {"model": self._endpoint.model, "base_url": place}

    @property
    def tokenizer_name(self) -> str:
        """Name of the service's own tokenizer: that of its model."""
        return self._endpoint.model

    def keep_answers(self, path: Path, seed: int) -> None:
        """Do nothing: the ledger keeps every reply."""

    def start_certificate(self) -> None:
        """Return None: a service computes in one way only."""

    def apply_chat_template(
        self, chat_history: list[Message], add_generation_prompt: bool = True
    ) -> str:
        """Return the rendered conversation; as JSON for a service with a template of its own."""
        if self._tokenizer is not None:
            rendered: str = self._tokenizer.apply_chat_template(
                chat_history,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
            )
            return rendered
        # lm_eval's prompts are strings. The conversation is found again by its string.
        text = json.dumps(chat_history, ensure_ascii=False)
        self._conversations[text] = tuple(chat_history)
        return text

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """Return the chat template; empty for a service with one of its own."""
        return "" if self._tokenizer is None else self._tokenizer.get_chat_template()

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Answer each prompt. A prompt that the service refuses gets an empty answer."""
        numbered = number_repeats(requests)
        settings = [_settings(one.request) for one in numbered]
        sent = [self._generation(one, own) for one, own in zip(numbered, settings, strict=True)]
        replies = self._replies("generating answers", sent)
        refused = [reply for reply in replies if reply.error is not None]
        if refused:
            log.warning(
                "%d of %d prompts were refused by the service and count as empty answers: %s",
                *(len(refused), len(replies), refused[0].error),
            )
        return [
            cut_at_stops(reply.text, own["until"])
            for reply, own in zip(replies, settings, strict=True)
        ]

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Score each continuation after its context.

        Raises:
            UserError: the service gives no log-probabilities of a prompt, or refuses one.
        """
        self._probe()
        pairs = [move_spaces(request.args) for request in requests]
        contexts = [context for context in dict.fromkeys(one for one, _ in pairs) if context]
        replies = self._replies(
            "scoring choices",
            [self._request(context, COUNT_TOKENS) for context in contexts]
            + [self._request(context + choice, SCORE_PROMPT) for context, choice in pairs],
        )
        counted = zip(contexts, replies[: len(contexts)], strict=True)
        lengths = {"": 0} | {
            context: self._accepted(reply).prompt_tokens for context, reply in counted
        }
        return [
            self._score(reply, lengths[context], choice)
            for (context, choice), reply in zip(pairs, replies[len(contexts) :], strict=True)
        ]

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Score complete texts. The first token has no score, because nothing precedes it."""
        self._probe()
        texts = [str(request.args[0]) for request in requests]
        sent = [self._request(text, SCORE_PROMPT) for text in texts]
        replies = self._replies("scoring texts", sent)
        return [self._score(reply, 0, text)[0] for reply, text in zip(replies, texts, strict=True)]

    def _generation(self, numbered: NumberedRequest, settings: dict[str, Any]) -> Request:
        context, sampled = numbered.request.args[0], settings["do_sample"]
        # llama.cpp's seeds have 31 bits.
        seed = derived_seed(self._seed, "generate", context, numbered.repeat) % 2**31
        sampling = Sampling(
            max_tokens=settings["max_gen_toks"],
            temperature=(settings.get("temperature") or 1.0) if sampled else 0.0,
            top_p=(settings.get("top_p") or 1.0) if sampled else 1.0,
            stop=tuple(settings["until"][:MAX_STOPS]),
            seed=seed if sampled else None,
        )
        prompt: str | tuple[Message, ...] = context
        if self._endpoint.api.takes_messages:
            single_turn: Message = {"role": "user", "content": context}
            prompt = self._conversations.get(context, (single_turn,))
        return self._request(prompt, sampling, numbered.repeat)

    def _request(
        self, prompt: str | tuple[Message, ...], sampling: Sampling, sample: int = 0
    ) -> Request:
        request = self._endpoint.request(prompt, sampling, sample=sample)
        if self._tokenizer is None or not isinstance(request.prompt, str):
            return request
        # The server adds the first special token, which a rendered conversation has already.
        return replace(request, endpoint=SERVED, prompt=request.prompt.removeprefix(self._begin))

    def _replies(self, doing: str, requests: Sequence[Request]) -> list[Reply]:
        """Return the reply to each request, from the ledger if it is there.

        Raises:
            Stopped: the run was asked to stop, or the budget is spent.
            UserError: the service cannot be reached or used.
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

                calls = gather_all([ask(request) for request in requests])
                return await await_or_stop(calls, self._stop, doing)

    def _accepted(self, reply: Reply) -> Reply:
        """Return the reply.

        Raises:
            UserError: the service refused the prompt.
        """
        if reply.error is not None:
            raise UserError(
                f"{self._name}: refuses a prompt whose text is to be scored: {reply.error}; if it "
                "is too long, ask for fewer examples (suite.num_fewshot); earlier replies are kept"
            )
        return reply

    def _score(self, reply: Reply, context_tokens: int, text: str) -> tuple[float, bool]:
        """Return the log-probability of a prompt's tokens after its context.

        Tokens are counted from the end, because some services leave a first special token out of
        what they send back.

        Returns:
            The sum in nats; True if each token is the likeliest one.
        """
        end = len(self._accepted(reply).tokens) - reply.completion_tokens
        own = reply.prompt_tokens - context_tokens
        if own < 1 or (context_tokens and own > end):
            raise UserError(
                f"{self._name}: {text!r} has no tokens of its own after its context; change the "
                "task's doc_to_choice or target_delimiter"
            )
        places = range(max(0, end - own), end)
        # The first token of a prompt has no log-probability.
        scored = [
            (reply.tokens[place], logprobs)
            for place in places
            if (logprobs := reply.logprobs[place])
        ]
        is_likeliest = all(logprobs[token] >= max(logprobs.values()) for token, logprobs in scored)
        return sum(logprobs[token] for token, logprobs in scored), is_likeliest

    def _probe(self) -> None:
        """Check that the service's log-probabilities belong to the tokens it sends with them.

        What it generates greedily must be the likeliest by its own log-probabilities of the same
        text as a prompt. llama-cpp-python's are off by one for models without a BOS token. The
        probe is not in the ledger: a service can be repaired.

        Raises:
            UserError: there are no log-probabilities of a prompt, or they are of other tokens.
        """
        if self._is_probed:
            return
        written, reply = asyncio.run(self._ask_probe())
        for one in (written, reply):
            self._accepted(one)
        if not reply.tokens:
            raise UserError(
                f"{self._name}: gives no log-probabilities of a prompt (echo with logprobs), which "
                f"scoring choices needs; {REMEDY}"
            )
        end = len(reply.tokens) - reply.completion_tokens
        places = range(max(1, end - (reply.prompt_tokens - written.prompt_tokens)), end)
        likeliest = [
            reply.logprobs[place][reply.tokens[place]] >= max(reply.logprobs[place].values())
            for place in places
        ]
        # Half, not all: quantised or batched services move near-ties.
        if sum(likeliest) * 2 < len(likeliest) or not likeliest:
            raise UserError(
                f"{self._name}: its log-probabilities of a prompt are not those of its tokens: of "
                f"{len(likeliest)} tokens that it generated after {PROBE!r}, they make only "
                f"{sum(likeliest)} the likeliest; {REMEDY}"
            )
        self._is_probed = True

    async def _ask_probe(self) -> tuple[Reply, Reply]:
        async with HttpClient(self._endpoint) as client:
            sampling = Sampling(max_tokens=8, temperature=0.0)
            written = await client.ask(self._endpoint.request(PROBE, sampling))
            text = PROBE + written.text
            return written, await client.ask(self._endpoint.request(text, SCORE_PROMPT))

    @property
    def _name(self) -> str:
        return f"endpoint {self._endpoint.url} (model {self._endpoint.model})"


def _settings(request: Instance) -> dict[str, Any]:
    """Return the generation settings of a request.

    Raises:
        UserError: the task wants a setting that the API does not have.
    """
    settings = generation_settings(request, DEFAULT_MAX_TOKENS)
    unknown = set(settings) - SUPPORTED_SETTINGS
    if unknown:
        raise UserError(
            f"task {request.task_name}: generation_kwargs has {', '.join(sorted(unknown))}, which "
            "the API of an endpoint does not have; remove it"
        )
    return {**settings, "until": [stop for stop in settings["until"] if stop]}
