"""Self-Instruct's method: instructions, then whether each is a classification, then instances."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pacos.llm.request import Reply, Request
from pacos.seeds import derived_seed
from selfinstruct.candidates import json_reply, text_reply
from selfinstruct.candidates.candidate import Candidate, failed_candidate
from selfinstruct.configs.method import MethodConfig, StepConfig
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
from selfinstruct.requests.prompts import Prompt, Style
from selfinstruct.requests.shots import load_shots
from selfinstruct.requests.wording import WORDINGS
from selfinstruct.screening.screen import Screen
from selfinstruct.screening.verdict import Verdict


@dataclass(frozen=True, slots=True)
class SelfInstruct:
    """Three steps, two of them for each accepted instruction."""

    config: MethodConfig
    style: Style
    make_request: MakeRequest
    seed: int

    def task_request(self, number: int, lang: str, examples: Examples) -> TaskRequest:
        """Show a list of instructions, and ask for more of them."""
        config = self.config
        texts = [task.instruction for task in examples.tasks]
        prompt = prompts.more_instructions(
            texts, config.tasks_per_request, WORDINGS[lang], self.style
        )
        seed = derived_seed(self.seed, "selfinstruct", "request", number)
        request = make_step_request(prompt, config.tasks, seed, self.make_request)
        return TaskRequest(number, lang, examples, prompt.prefix, request)

    def candidates(self, source: TaskRequest, reply: Reply) -> list[Candidate]:
        """Parse instructions, in the form that the reply came in."""
        if reply.error is not None:
            return [failed_candidate(reply)]
        cut = reply.finish == "length"
        text = f"{source.prefix}{reply.text}"
        # A server may ignore the schema and answer in text.
        if source.request.schema is not None and json_reply.looks_like_json(reply.text):
            return json_reply.instructions(text, cut=cut)
        candidates = drop_if_cut(text_reply.instructions(text, cut=cut), reply, self.config)
        if not self.config.capitalize:
            return candidates
        return [
            replace(candidate, instruction=candidate.instruction.capitalize())
            for candidate in candidates
        ]

    def screen_new(self, candidate: Candidate, lang: str, screen: Screen) -> Verdict:
        """Judge the instruction; its instances do not exist yet."""
        return screen.instruction(candidate, lang)

    async def complete(
        self, candidate: Candidate, lang: str, ask: Ask, screen: Screen
    ) -> Completion:
        """Ask whether it is a classification, then for instances of that kind, and judge them."""
        instruction, at_most = candidate.instruction, self.config.max_instances
        first = self._classification_request(instruction, lang)
        reply = await ask(first)
        if reply.error is not None:
            failed = [failed_candidate(reply, instruction)]
            return Completion(failed, screen.instances(failed, lang, at_most), (first.key,))
        is_classification = text_reply.says_yes(reply.text)
        second = self._instances_request(instruction, lang, is_classification)
        reply = await ask(second)
        instances = _parse_instances(instruction, reply, is_classification, second)
        verdicts = screen.instances(instances, lang, at_most)
        return Completion(instances, verdicts, (first.key, second.key), is_classification)

    def further_prompt_tokens(self, instruction: str, lang: str) -> int:
        """Estimate the prompts of the classification question and of one for instances."""
        first = self._classification_request(instruction, lang)
        second = self._instances_request(instruction, lang, is_classification=False)
        return first.estimated_prompt_tokens() + second.estimated_prompt_tokens()

    def _classification_request(self, instruction: str, lang: str) -> Request:
        shots = load_shots(lang)
        prompt = prompts.is_classification(instruction, shots, WORDINGS[lang], self.style)
        return self._request(prompt, self.config.classification, instruction)

    def _instances_request(self, instruction: str, lang: str, is_classification: bool) -> Request:
        wording, shots = WORDINGS[lang], load_shots(lang)
        # Asked for inputs first, a generator tends to write inputs of one class only (the paper).
        if is_classification:
            prompt = prompts.output_first(instruction, shots, wording, self.style)
            return self._request(prompt, self.config.output_first, instruction)
        prompt = prompts.input_first(instruction, shots, wording, self.style)
        return self._request(prompt, self.config.input_first, instruction)

    def _request(self, prompt: Prompt, step: StepConfig | None, instruction: str) -> Request:
        assert step is not None, "validation: a method has all later steps or none"
        # By the instruction, not by a counter: later steps of different tasks end in any order.
        seed = derived_seed(self.seed, "selfinstruct", "instances", instruction)
        return make_step_request(prompt, step, seed, self.make_request)


def _parse_instances(
    instruction: str, reply: Reply, is_classification: bool, request: Request
) -> list[Candidate]:
    if reply.error is not None:
        return [failed_candidate(reply, instruction)]
    cut = reply.finish == "length"
    if request.schema is not None and json_reply.looks_like_json(reply.text):
        output = "label" if is_classification else "output"
        return json_reply.instances(instruction, reply.text, cut=cut, output=output)
    if is_classification:
        return text_reply.labelled_instances(instruction, reply.text, cut=cut)
    return text_reply.instances(instruction, reply.text, cut=cut)
