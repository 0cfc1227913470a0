"""A candidate: a task as the generator wrote it, before any filter has judged it."""

from __future__ import annotations

from dataclasses import dataclass

from pacos.llm.request import Reply

# Reasons of rejection that the parsers give; they are stored in rejected.jsonl.
CUT = "cut by the token limit"
NO_OUTPUT = "no output part"
WRONG_NUMBER = "numbered wrongly"
NOT_JSON = "not the JSON asked for"
REQUEST_FAILED = "request failed"

NO_INPUT = frozenset({"none", "noinput", "n/a", "없음", "입력없음"})
"""Spellings of "no input", in lower case, without spaces, brackets and the full stop."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A task that the generator wrote: whole, or an instruction without its instances yet."""

    instruction: str
    input: str = ""
    output: str = ""
    defect: str | None = None
    """Why parsing failed; `instruction` then holds the raw text. None: parsed."""

    @property
    def texts(self) -> tuple[str, str, str]:
        """Instruction, input and output."""
        return self.instruction, self.input, self.output


def failed_candidate(reply: Reply, instruction: str = "") -> Candidate:
    """Return the candidate that stands for a request without a reply, so that it is counted."""
    return Candidate(instruction, defect=f"{REQUEST_FAILED}: {reply.error}")


def encodable(text: str) -> str:
    r"""Replace lone surrogates, which JSON can escape (`\ud83d`) and UTF-8 cannot encode."""
    return text.encode(errors="replace").decode()


def normalize_input(text: str) -> str:
    """Return the input without surrounding whitespace; empty if it only says "none".

    Weak models also copy the dots that stand for the value in the JSON sketch of the prompt.
    """
    text = text.strip()
    bare = text.casefold().strip(" .<>()").replace(" ", "")
    return "" if bare in NO_INPUT or not text.strip(" .…") else text
