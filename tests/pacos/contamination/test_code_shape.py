from __future__ import annotations

import pytest

from pacos.contamination.code_shape import functions

RUNS = '''
def longest_run(values: list[int], start=0) -> int:
    """Longest run of equal values."""
    best, count = 0, 0
    for i in range(1, len(values)):
        if values[i] == values[i - 1]:
            count += 1  # one more
        best = max(best, count)
    return best
'''

RENAMED = """Here is the function:

```python
    def f(
        xs,
        k=7,
    ):
        # another remark
        top, n = 1, 1
        for j in range(5, len(xs)):
            if xs[j] == xs[j - 9]:
                n += 3
            top = max(top, n)
        return top
```
It returns the longest run."""


def shape(text: str) -> str:
    (function,) = functions(text)
    return function.shape


def test_names_constants_and_remarks_do_not_count() -> None:
    assert shape(RENAMED) == shape(RUNS)
    assert [function.name for function in functions(RENAMED)] == ["f"]


@pytest.mark.parametrize(
    ("old", "new"),
    [("max(", "min("), ("==", "!="), ("count += 1", "count -= 1"), ("return best", "return count")],
)
def test_what_a_function_does_counts(old: str, new: str) -> None:
    assert shape(RUNS.replace(old, new)) != shape(RUNS)


def test_truth_values_count() -> None:
    code = "def f(a):\n for b in a:\n  if b > a[0]:\n   return True\n return False"
    assert shape(code.replace("True", "None")) != shape(code)


@pytest.mark.parametrize(
    "text",
    [
        "def add(a, b):\n    return a + b",
        "def is_palindrome(text):\n    return text == text[::-1]",
        "def plan(the trip): first we go to the sea, then home",
        "the default def of a word",
        "def broken(a):\n    return a +",
        "def \0null(a):\n    return a",
        f"def total(a):\n    return {'a + ' * 5000} a",
        "",
    ],
)
def test_trivial_functions_and_prose_are_none(text: str) -> None:
    assert functions(text) == []


def test_methods_and_functions_inside_others_are_found() -> None:
    inner = RUNS.strip().replace("\n", "\n    ")
    names = [f.name for f in functions(f"class Runs:\n    {inner}\n\n{RUNS}\nprint(1)")]
    assert names == ["longest_run", "longest_run"]


def test_indentation_of_web_pages() -> None:
    assert shape(RUNS.replace("    ", "\xa0" * 4)) == shape(RUNS)
