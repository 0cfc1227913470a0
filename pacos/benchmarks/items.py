"""Items of benchmarks, one class per family of tasks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """The texts by which decontamination recognises an item."""

    questions: tuple[str, ...]
    """Each identifies the item, even if it is short."""
    passages: tuple[str, ...] = ()
    """Passages and worked answers. Each identifies the item if enough of it is found."""
    choices: tuple[str, ...] = ()
    """Identify the item only together with the first question."""
    program: str = ""
    """Python source whose functions solve the item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MultipleChoice:
    """A question with answers to choose from, or the start of a text with continuations."""

    benchmark: str
    id: str
    question: str
    choices: tuple[str, ...]
    answers: tuple[int, ...]
    """Indices of the right choices, the benchmark's preferred one first."""
    context: str = ""
    """The passage that the question is about. Without it, the question fits many items."""

    def traces(self) -> Traces:
        """Return the context, if there is one, or the question as what identifies the item."""
        if self.context:
            return Traces(questions=(self.context,), choices=(self.question, *self.choices))
        return Traces(questions=(self.question,), choices=self.choices)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenQuestion:
    """A question or task with an answer in free text."""

    benchmark: str
    id: str
    question: str
    answers: tuple[str, ...] = ()
    """Reference answers. Empty if answers are judged by other means."""
    context: str = ""
    """A passage or an input for the question."""
    explanation: str = ""
    """The worked solution, if the benchmark has one."""

    def traces(self) -> Traces:
        """Return the question, and the passage and answers each on its own."""
        passages = (self.context, self.explanation, *self.answers)
        return Traces(questions=(self.question,), passages=tuple(filter(None, passages)))


@dataclass(frozen=True, slots=True, kw_only=True)
class SentencePair:
    """Two sentences that differ only in the group of people they are about."""

    benchmark: str
    id: str
    stereotypical: str
    """The sentence that a biased model finds more likely."""
    other: str

    def traces(self) -> Traces:
        """Return either sentence as what identifies the pair."""
        return Traces(questions=(self.stereotypical, self.other))


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeProblem:
    """A Python function to complete."""

    benchmark: str
    id: str
    prompt: str
    """Imports, helpers, signature and docstring."""
    solution: str
    """The function's body, which follows the prompt."""
    tests: str
    """Source of `check(candidate)`."""
    entry_point: str
    """Name of the function."""

    def traces(self) -> Traces:
        """Return the prompt, the solution as text, and both as a program."""
        program = self.prompt + self.solution
        return Traces(questions=(self.prompt,), passages=(self.solution,), program=program)


Item = MultipleChoice | OpenQuestion | SentencePair | CodeProblem
