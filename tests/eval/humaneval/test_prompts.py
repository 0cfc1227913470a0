import pytest

from eval.humaneval.prompts import completion_program, reply_program
from pacos.benchmarks.items import CodeProblem

PROMPT = (
    "from typing import List\n\n\ndef helper(x):\n    return x + 1\n\n\n"
    'def solve(x: int) -> List[int]:\n    """A list."""\n'
)
PROBLEM = CodeProblem(
    benchmark="humaneval", id="x", prompt=PROMPT, solution="", tests="", entry_point="solve"
)
WHOLE = "def solve(x: int) -> List[int]:\n    return [helper(x)]\n"


def result(program: str) -> object:
    namespace: dict[str, object] = {}
    exec(program, namespace)
    return namespace["solve"](1)  # type: ignore[operator]


def test_a_base_model_goes_on_from_the_prompt() -> None:
    assert result(completion_program(PROBLEM, "    return [helper(x)]\n")) == [2]


@pytest.mark.parametrize(
    "reply",
    [
        f"```python\n{WHOLE}```",
        f"Sure! Here it is:\n\n```python\n{WHOLE}```\n\nIt adds one. ```x```",
        f"```\n{WHOLE}\n```",
        f"```py\n{WHOLE}",
        f"```python\n{PROMPT}    return [helper(x)]\n```",
        f"Run this:\n```bash\npip install x\n```\nthen\n```python\n{WHOLE}```\n",
        f"```python\n{WHOLE}```\nFor example:\n```python\nsolve(1)\n```",
        "1. Write it:\n\n   ```python\n   def solve(x):\n       return [helper(x)]\n   ```\n",
        "```python\n    return [helper(x)]\n```",
        "```python\nreturn [helper(x)]\n```",
        "```python\ny = helper(x)\nif y:\n    return [y]\n```",
        WHOLE,
        f"Here you are.\n{WHOLE}",
        "```python\nimport math\ndef solve(x):\n    return [helper(x)]\nprint(solve(3))\n```",
    ],
)
def test_the_code_of_a_reply_is_found(reply: str) -> None:
    assert result(reply_program(PROBLEM, reply)) == [2]


def test_a_reply_without_code_is_no_program() -> None:
    with pytest.raises(SyntaxError):
        result(reply_program(PROBLEM, "I cannot do that."))
