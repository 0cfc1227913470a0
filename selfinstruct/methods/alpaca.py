"""Alpaca's method: one step, several whole tasks per request."""

from __future__ import annotations

from dataclasses import dataclass

from pacos.llm.request import Reply
from pacos.seeds import derived_seed
from selfinstruct.candidates import json_reply, text_reply
from selfinstruct.candidates.candidate import Candidate, failed_candidate
from selfinstruct.configs.method import MethodConfig
from selfinstruct.methods.method import (
    Ask,
    Completion,
    MakeRequest,
    TaskRequest,
    drop_if_cut,
    make_step_request,
)
from selfinstruct.pool.pool import Examples
from selfinstruct.requests import prompts
from selfinstruct.requests.prompts import ChatMarks, Style
from selfinstruct.requests.wording import WORDINGS
from selfinstruct.screening.screen import Screen
from selfinstruct.screening.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Alpaca:
    """One step: a reply holds whole tasks."""

    config: MethodConfig
    style: Style
    make_request: MakeRequest
    seed: int
    chat_marks: dict[str, ChatMarks]
    """Marks of the chat format by language, if tasks are written as conversations; else empty."""

    def task_request(self, number: int, lang: str, examples: Examples) -> TaskRequest:
        """Show a few whole tasks, and ask for the next ones."""
        config = self.config
        if self.chat_marks:
            opener = config.openers[number % len(config.openers)] if config.openers else ""
            prompt = self.chat_marks[lang].prompt(examples.tasks, opener)
        else:
            prompt = prompts.whole_tasks(
                examples.tasks, config.tasks_per_request, WORDINGS[lang], self.style
            )
        seed = derived_seed(self.seed, "selfinstruct", "request", number)
        request = make_step_request(prompt, config.tasks, seed, self.make_request)
        return TaskRequest(number, lang, examples, prompt.prefix, request)

    def candidates(self, source: TaskRequest, reply: Reply) -> list[Candidate]:
        """Parse whole tasks, in the form that the reply came in."""
        if reply.error is not None:
            return [failed_candidate(reply)]
        cut = reply.finish == "length"
        text = f"{source.prefix}{reply.text}"
        if self.chat_marks:
            return text_reply.conversation(text, self.chat_marks[source.lang], cut=cut)
        # A server may ignore the schema and answer in text.
        if source.request.schema is not None and json_reply.looks_like_json(reply.text):
            return json_reply.tasks(text, cut=cut)
        # The prompt numbers its examples from 1, and the reply continues.
        first = len(source.examples.tasks) + 1 if self.config.strict_numbers else None
        return drop_if_cut(text_reply.tasks(text, cut=cut, first=first), reply, self.config)

    def screen_new(self, candidate: Candidate, lang: str, screen: Screen) -> Verdict:
        """Judge the whole task."""
        return screen.task(candidate, lang)

    async def complete(
        self, candidate: Candidate, lang: str, ask: Ask, screen: Screen
    ) -> Completion:
        """Return the task as it is: no step remains, and `screen_new` has judged all of it."""
        return Completion([candidate], [Verdict(None)])

    def further_prompt_tokens(self, instruction: str, lang: str) -> int:
        """Return 0: no step remains."""
        return 0
