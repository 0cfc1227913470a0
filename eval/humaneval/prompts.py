"""What a model is asked, and the program that its answer makes."""

from __future__ import annotations

import re
import textwrap

from pacos.benchmarks.items import CodeProblem

STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
"""Where the function has ended that a base model goes on with (Chen et al. 2021, section 3.1)."""

REQUEST = (
    "Write a solution to the following problem and make sure that it passes the tests:\n"
    "```python\n{{prompt}}\n```\n"
)
"""What an assistant is asked, as a template: the harness's own words (humaneval_instruct)."""

_BLOCK = re.compile(r"^[ \t]*```[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
_FIRST_STATEMENT = re.compile(r"^(?:from|import|def|class|@)", re.MULTILINE)


def completed(problem: CodeProblem, answer: str) -> str:
    """The program, where a base model went on from the prompt."""
    return problem.prompt + answer


def replied(problem: CodeProblem, reply: str) -> str:
    """The program, where an assistant replied.

    It is the first block of code that defines the function, else the first block, else the reply
    from its first statement on. Imports and helpers of the prompt come before it. A block without
    the function is taken for its body.
    """
    head = re.compile(rf"^[ \t]*(?:async[ \t]+)?def[ \t]+{problem.entry_point}\b", re.MULTILINE)
    blocks = [textwrap.dedent(block) for block in _BLOCK.findall(reply)]
    if not blocks:
        first = _FIRST_STATEMENT.search(reply)
        blocks = [reply[first.start() :] if first else reply]
    code = next((block for block in blocks if head.search(block)), blocks[0])
    if not head.search(code):
        return problem.prompt + textwrap.indent(code, "    ")
    place = head.search(problem.prompt)
    before = problem.prompt[: place.start()] if place else ""
    return f"{before}\n{code}"
