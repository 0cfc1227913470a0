"""The shape of Python functions: their syntax without names, constants and comments."""

from __future__ import annotations

import ast
import contextlib
import re
import textwrap
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

HEAD = re.compile(r"^([ \t]*)(?:async +)?def +\w", re.MULTILINE)

NO_BREAK_SPACE = "\xa0"
"""Code copied from web pages is indented with it."""

MIN_NODES = 12
"""Least nodes of the syntax tree, without operators. Smaller functions are alike by chance, such as
`return x + y` (docs/decontamination.md)."""

UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
"""Exceptions of ast for text that is not a program, or that nests thousands of expressions."""

UNCOUNTED = (ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop)
"""Nodes that Python adds to every name or operation, so they say nothing about size."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function in a text."""

    name: str
    shape: str
    """Equal for functions that differ only in their own names, constants and comments."""


def functions(text: str) -> list[Function]:
    """Return the Python functions in a text, which may hold prose too, except trivial ones."""
    result = []
    with warnings.catch_warnings():
        # ast warns about "\d" in a string, which concerns its author only.
        warnings.simplefilter("ignore")
        for source in _sources(text.replace(NO_BREAK_SPACE, " ")):
            with contextlib.suppress(*UNREADABLE):
                function = ast.parse(source).body[0]
                assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
                name, shape = function.name, _Shape(function)
                if shape.nodes >= MIN_NODES:
                    result.append(Function(name, shape.text))
    return result


def _sources(text: str) -> Iterator[str]:
    """Yield each `def` with the lines that belong to it, as a program of its own."""
    for head in HEAD.finditer(text):
        margin = head.group(1)
        lines = text[head.start() :].splitlines()
        end = 1
        while end < len(lines) and _continues(lines[end], margin):
            end += 1
        yield textwrap.dedent("\n".join(lines[:end]))


def _continues(line: str, margin: str) -> bool:
    """Return True for a line that is blank, indented, or closes a signature of several lines."""
    inner = line.removeprefix(margin)
    return not line.strip() or (line.startswith(margin) and inner[0] in " \t)")


class _Shape(ast.NodeTransformer):
    """Rewrites one function: its own names become numbers in order of appearance, constants types.

    Names from outside, such as those of library functions, stay: they are what the function does.
    """

    def __init__(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._own = _own_names(function)
        self._numbers: dict[str, str] = {}
        self.visit(function)
        self.nodes = sum(
            not isinstance(node, UNCOUNTED) for line in function.body for node in ast.walk(line)
        )
        self.text = ast.dump(function, annotate_fields=False)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._visit_function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._visit_function(node)

    def _visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        node.name, node.returns, node.decorator_list = self._renamed(node.name), None, []
        self.generic_visit(node)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg, node.annotation = self._renamed(node.arg), None
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self._renamed(node.id)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        # True, False and None steer the control flow. Numbers and texts are easily changed.
        if not isinstance(node.value, bool | None):
            node.value = type(node.value).__name__
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        # `x: int = 0` has the shape of `x = 0`, and a bare `x: int` has none.
        if node.value is None:
            return None
        visited: ast.AST = self.visit(ast.Assign([node.target], node.value))
        return visited

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        # A constant as a statement is a docstring or a comment.
        if isinstance(node.value, ast.Constant):
            return None
        self.generic_visit(node)
        return node

    def visit_Import(self, node: ast.Import) -> None:
        return None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        return None

    def _renamed(self, name: str) -> str:
        if name not in self._own:
            return name
        return self._numbers.setdefault(name, f"name{len(self._numbers)}")


def _own_names(function: ast.AST) -> set[str]:
    """Return the names that a function defines: its own, arguments, variables, inner functions."""
    names = set()
    for node in ast.walk(function):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names
