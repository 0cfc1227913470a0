"""What a benchmark asks, one record a family of tasks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """The texts by which an item can be recognised in other data."""

    questions: tuple[str, ...]
    """Each gives the item away, even where it is short."""
    passages: tuple[str, ...] = ()
    """Passages and worked answers: each gives the item away if it is long enough to be its own."""
    choices: tuple[str, ...] = ()
    """Only together with the first question."""
    program: str = ""
    """Python source whose functions solve the item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MultipleChoice:
    """A question, or the beginning of a text, with ways to answer or to go on."""

    benchmark: str
    id: str
    question: str
    choices: tuple[str, ...]
    answers: tuple[int, ...]
    """Indices of the right choices; the first is the one that the benchmark prefers."""
    context: str = ""
    """What the question is about; without it the question could be anybody's."""

    def traces(self) -> Traces:
        """The context if there is one, else the question; then what stands with it."""
        if self.context:
            return Traces(questions=(self.context,), choices=(self.question, *self.choices))
        return Traces(questions=(self.question,), choices=self.choices)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenQuestion:
    """A question or a task that is answered in free text."""

    benchmark: str
    id: str
    question: str
    answers: tuple[str, ...] = ()
    """Reference answers; none where answers are judged by what they do."""
    context: str = ""
    """A passage or an input that comes with the question."""
    explanation: str = ""
    """The way to the answer, where the benchmark shows one."""

    def traces(self) -> Traces:
        """The question; the passage and the answers by themselves."""
        passages = (self.context, self.explanation, *self.answers)
        return Traces(questions=(self.question,), passages=tuple(filter(None, passages)))


@dataclass(frozen=True, slots=True, kw_only=True)
class SentencePair:
    """Two sentences that differ in the group of people they speak of."""

    benchmark: str
    id: str
    stereotypical: str
    """The sentence that a biased model finds likelier."""
    other: str

    def traces(self) -> Traces:
        """Either sentence."""
        return Traces(questions=(self.stereotypical, self.other))


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeProblem:
    """A Python function to complete."""

    benchmark: str
    id: str
    prompt: str
    """Imports, helpers, signature and docstring."""
    solution: str
    """The body that comes after the prompt."""
    tests: str
    """Source of `check(candidate)`."""
    entry_point: str
    """Name of the function."""

    def traces(self) -> Traces:
        """The prompt, the solution's words, and the shape of its functions."""
        program = self.prompt + self.solution
        return Traces(questions=(self.prompt,), passages=(self.solution,), program=program)


Item = MultipleChoice | OpenQuestion | SentencePair | CodeProblem
