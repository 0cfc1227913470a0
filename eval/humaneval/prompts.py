"""Prompts for a problem, and the program that an answer makes."""

from __future__ import annotations

import re
import textwrap

from pacos.benchmarks.items import CodeProblem

STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
"""Strings that end a base model's completion: whatever follows is no longer the function (Chen et
al. 2021, section 3.1)."""

REQUEST = (
    "Write a solution to the following problem and make sure that it passes the tests:\n"
    "```python\n{{prompt}}\n```\n"
)
"""The request to an assistant, as a template: the harness's own wording (humaneval_instruct)."""

_BLOCK = re.compile(r"^[ \t]*```[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
"""A fenced code block; the last one may lack its closing fence, cut off at the token limit."""
_FIRST_STATEMENT = re.compile(r"^(?:from|import|def|class|@)", re.MULTILINE)


def completion_program(problem: CodeProblem, answer: str) -> str:
    """Return the program of a base model, which continues the prompt."""
    return problem.prompt + answer


def reply_program(problem: CodeProblem, reply: str) -> str:
    """Return the program in an assistant's reply.

    It is the first code block that defines the function; failing that, the first block; failing
    that, the reply from its first statement on. A block without the function is taken for its body.
    Imports and helpers of the prompt are put in front: assistants often leave them out.
    """
    head = re.compile(rf"^[ \t]*(?:async[ \t]+)?def[ \t]+{problem.entry_point}\b", re.MULTILINE)
    # Blocks inside a list are indented.
    blocks = [textwrap.dedent(block) for block in _BLOCK.findall(reply)]
    if not blocks:
        first = _FIRST_STATEMENT.search(reply)
        blocks = [reply[first.start() :] if first else reply]
    code = next((block for block in blocks if head.search(block)), blocks[0])
    # Some assistants reply with the indented body alone, as a completion.
    if not head.search(code):
        return problem.prompt + textwrap.indent(code, "    ")
    prompt_head = head.search(problem.prompt)
    preamble = problem.prompt[: prompt_head.start()] if prompt_head else ""
    return f"{preamble}\n{code}"
