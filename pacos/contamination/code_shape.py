"""The shape of Python functions: what is left when names, constants and remarks are taken away."""

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
"""What web pages indent with."""

MIN_NODES = 12
"""Nodes of the syntax tree, without operators, below which functions are alike by chance."""

UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
"""What ast raises for text that is no program, or a sum of thousands."""

UNCOUNTED = (ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop)


@dataclass(frozen=True, slots=True)
class Function:
    """A function found in a text."""

    name: str
    shape: str
    """Equal for two functions that differ only in names of their own, constants and remarks."""


def functions(text: str) -> list[Function]:
    """The Python functions in a text, with or without words around them, that are not trivial."""
    found = []
    with warnings.catch_warnings():
        # "\d" in a string is worth a warning to its author, not to us.
        warnings.simplefilter("ignore")
        for source in _sources(text.replace(NO_BREAK_SPACE, " ")):
            with contextlib.suppress(*UNREADABLE):
                function = ast.parse(source).body[0]
                assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
                name, shape = function.name, _Shape(function)
                if shape.nodes >= MIN_NODES:
                    found.append(Function(name, shape.text))
    return found


def _sources(text: str) -> Iterator[str]:
    """Each `def` with the lines that belong to it, as a program by itself."""
    for head in HEAD.finditer(text):
        margin = head.group(1)
        lines = text[head.start() :].splitlines()
        end = 1
        while end < len(lines) and _continues(lines[end], margin):
            end += 1
        yield textwrap.dedent("\n".join(lines[:end]))


def _continues(line: str, margin: str) -> bool:
    """Blank, further in, or the closing bracket of a signature over several lines."""
    inner = line.removeprefix(margin)
    return not line.strip() or (line.startswith(margin) and inner[0] in " \t)")


class _Shape(ast.NodeTransformer):
    """Rewrites one function: its own names by order of appearance, constants by type."""

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
        # True, False and None decide what a function does; a number or a text is easily another.
        if not isinstance(node.value, bool | None):
            node.value = type(node.value).__name__
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return None
        visited: ast.AST = self.visit(ast.Assign([node.target], node.value))
        return visited

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
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
    """Names that the function gives: its own, arguments, variables, functions inside."""
    names = set()
    for node in ast.walk(function):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names
