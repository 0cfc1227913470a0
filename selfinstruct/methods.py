"""The two methods as steps: what is asked, and how replies become candidates."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pacos.llm.request import Reply, Request, Sampling
from pacos.model.loading import load_tokenizer
from pacos.schemas import Message
from pacos.seeds import derived_seed
from selfinstruct import parse
from selfinstruct.config import SelfInstructConfig
from selfinstruct.configs.method import MethodConfig, StepConfig
from selfinstruct.parse import Candidate
from selfinstruct.pool.pool import Examples
from selfinstruct.requests import prompts
from selfinstruct.requests.prompts import Conversation, Prompt, Style
from selfinstruct.requests.shots import load as load_shots
from selfinstruct.requests.wording import WORDINGS

FAILED = "request failed"
SEEDS = 2**31
"""Seeds of sampling are below it: llama.cpp takes 32 bits."""

MakeRequest = Callable[[str | tuple[Message, ...], Sampling, Mapping[str, Any] | None], Request]
"""Addresses a prompt, with the schema of its reply, to the teacher."""

Ask = Callable[[Request], Coroutine[Any, Any, Reply]]


@dataclass(frozen=True, slots=True)
class Draw:
    """A request for tasks, and what it was made of."""

    number: int
    lang: str
    examples: Examples
    prefix: str
    request: Request


@dataclass(frozen=True, slots=True)
class Completed:
    """What the further steps made of an instruction."""

    candidates: list[Candidate]
    requests: tuple[str, ...] = ()
    """Keys of the requests that it took."""
    is_classification: bool | None = None
    """Self-Instruct's second step; None where the method has no such step."""


class Method(Protocol):
    """How a teacher is brought to write tasks."""

    def draw(self, number: int, lang: str, examples: Examples) -> Draw:
        """The request of this number."""
        ...

    def candidates(self, draw: Draw, reply: Reply) -> list[Candidate]:
        """What a reply to it holds: whole tasks, or instructions alone."""
        ...

    async def complete(self, candidate: Candidate, lang: str, ask: Ask) -> Completed:
        """Take a new instruction through the steps that are left."""
        ...

    def further_prompt_tokens(self, instruction: str, lang: str) -> int:
        """Estimated tokens of the prompts of these steps."""
        ...


@dataclass(frozen=True, slots=True)
class Alpaca:
    """One step: whole tasks, several a request."""

    config: MethodConfig
    style: Style
    make_request: MakeRequest
    seed: int
    conversations: dict[str, Conversation]
    """By language: the chat format in which tasks are written out, if they are conversations."""

    def draw(self, number: int, lang: str, examples: Examples) -> Draw:
        """A few whole tasks, and the place where the next ones begin."""
        method = self.config
        if self.conversations:
            opener = method.openers[number % len(method.openers)] if method.openers else ""
            prompt = self.conversations[lang].prompt(examples.tasks, opener)
        else:
            prompt = prompts.whole_tasks(
                examples.tasks, method.tasks_per_request, WORDINGS[lang], self.style
            )
        request = _tasks_request(prompt, method.tasks, self.make_request, self.seed, number)
        return Draw(number, lang, examples, prompt.prefix, request)

    def candidates(self, draw: Draw, reply: Reply) -> list[Candidate]:
        """The tasks in a reply."""
        cut = reply.finish == "length"
        if reply.error is not None:
            return [_failed(reply)]
        text = f"{draw.prefix}{reply.text}"
        if self.conversations:
            return parse.conversation(text, self.conversations[draw.lang], cut=cut)
        if draw.request.schema is not None and reply.text.lstrip().startswith(("{", "```")):
            return parse.json_tasks(text, cut=cut)
        first = len(draw.examples.tasks) + 1 if self.config.strict_numbers else None
        return _whole_reply(parse.blocks(text, cut=cut, first=first), cut, self.config)

    async def complete(self, candidate: Candidate, lang: str, ask: Ask) -> Completed:
        """Nothing is left to do."""
        return Completed([candidate])

    def further_prompt_tokens(self, instruction: str, lang: str) -> int:
        """There are no such prompts."""
        return 0


@dataclass(frozen=True, slots=True)
class SelfInstruct:
    """Instructions, whether each is classification, and then its instances."""

    config: MethodConfig
    style: Style
    make_request: MakeRequest
    seed: int

    def draw(self, number: int, lang: str, examples: Examples) -> Draw:
        """A list of instructions to go on with."""
        method = self.config
        texts = [task.instruction for task in examples.tasks]
        prompt = prompts.more_instructions(
            texts, method.tasks_per_request, WORDINGS[lang], self.style
        )
        request = _tasks_request(prompt, method.tasks, self.make_request, self.seed, number)
        return Draw(number, lang, examples, prompt.prefix, request)

    def candidates(self, draw: Draw, reply: Reply) -> list[Candidate]:
        """The instructions in a reply."""
        cut = reply.finish == "length"
        if reply.error is not None:
            return [_failed(reply)]
        text = f"{draw.prefix}{reply.text}"
        if draw.request.schema is not None and reply.text.lstrip().startswith(("{", "```")):
            return parse.json_instructions(text, cut=cut)
        found = _whole_reply(parse.numbered(text, cut=cut), cut, self.config)
        if self.config.capitalize:
            return [replace(one, instruction=one.instruction.capitalize()) for one in found]
        return found

    async def complete(self, candidate: Candidate, lang: str, ask: Ask) -> Completed:
        """Classification or not, then instances in the way of the one or the other."""
        instruction = candidate.instruction
        first = self._is_classification(instruction, lang)
        reply = await ask(first)
        if reply.error is not None:
            return Completed([replace(candidate, defect=_failed(reply).defect)], (first.key,))
        is_classification = parse.says_yes(reply.text)
        second = self._instances(instruction, lang, is_classification)
        reply = await ask(second)
        found = _instances(instruction, reply, is_classification, second.schema is not None)
        return Completed(found, (first.key, second.key), is_classification)

    def further_prompt_tokens(self, instruction: str, lang: str) -> int:
        """Of the question whether it is classification, and of one for instances."""
        first = self._is_classification(instruction, lang)
        second = self._instances(instruction, lang, is_classification=False)
        return first.estimated_prompt_tokens() + second.estimated_prompt_tokens()

    def _is_classification(self, instruction: str, lang: str) -> Request:
        words, shots = WORDINGS[lang], load_shots(lang)
        prompt = prompts.is_classification(instruction, shots, words, self.style)
        return self._request(prompt, self.config.classification, instruction)

    def _instances(self, instruction: str, lang: str, is_classification: bool) -> Request:
        words, shots = WORDINGS[lang], load_shots(lang)
        if is_classification:
            prompt = prompts.output_first(instruction, shots, words, self.style)
            return self._request(prompt, self.config.output_first, instruction)
        prompt = prompts.input_first(instruction, shots, words, self.style)
        return self._request(prompt, self.config.input_first, instruction)

    def _request(self, prompt: Prompt, step: StepConfig | None, instruction: str) -> Request:
        assert step is not None, "a method has all steps or one"
        drawn = derived_seed(self.seed, "selfinstruct", "instances", instruction) % SEEDS
        return _addressed(prompt, step, drawn, self.make_request)


def build_method(config: SelfInstructConfig) -> Method:
    """The method of a config."""
    method, generator = config.method, config.generator
    style = Style(generator.is_chat, generator.is_structured and method.structured)
    if not method.has_one_step:
        return SelfInstruct(method, style, generator.request, config.seed)
    conversations: dict[str, Conversation] = {}
    if method.as_conversations:
        assert generator.model is not None
        assert generator.prompt_format is not None
        tokenizer = load_tokenizer(generator.model)
        for lang in config.languages():
            marks = Conversation.of(tokenizer, generator.prompt_format, WORDINGS[lang])
            conversations[lang] = marks
    return Alpaca(method, style, generator.request, config.seed, conversations)


def _instances(
    instruction: str, reply: Reply, is_classification: bool, is_json: bool
) -> list[Candidate]:
    cut = reply.finish == "length"
    if reply.error is not None:
        return [replace(_failed(reply), instruction=instruction)]
    if is_json and reply.text.lstrip().startswith(("{", "```")):
        answer = "label" if is_classification else "output"
        return parse.json_instances(instruction, reply.text, cut=cut, output=answer)
    if is_classification:
        return parse.labelled_instances(instruction, reply.text, cut=cut)
    return parse.instances(instruction, reply.text, cut=cut)


def _tasks_request(
    prompt: Prompt, step: StepConfig, make_request: MakeRequest, seed: int, number: int
) -> Request:
    drawn = derived_seed(seed, "selfinstruct", "request", number) % SEEDS
    return _addressed(prompt, step, drawn, make_request)


def _addressed(prompt: Prompt, step: StepConfig, seed: int, make_request: MakeRequest) -> Request:
    # Stop texts that a config names take the place of the prompt's own.
    stop = () if step.stop else prompt.stop
    return make_request(prompt.content, step.sampling(seed, stop), prompt.schema)


def _whole_reply(found: list[Candidate], cut: bool, config: MethodConfig) -> list[Candidate]:
    if not (cut and config.drop_cut_replies):
        return found
    return [replace(candidate, defect=parse.CUT) for candidate in found]


def _failed(reply: Reply) -> Candidate:
    return Candidate("", defect=f"{FAILED}: {reply.error}")
