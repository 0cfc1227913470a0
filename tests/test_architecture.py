"""What the structure promises, held by the machine."""

from __future__ import annotations

import ast
import importlib.metadata
import itertools
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from launch.cli import COMMANDS
from tests.conftest import ROOT

PACKAGES = ["pacos", "conf", "launch", "selfinstruct", "sft", "eval", "slurm"]
HEAVY = ["torch", "transformers", "deepspeed", "wandb", "lm_eval", "datasets"]
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize(
    "module",
    [
        "launch.cli",
        *(f"launch.commands.{module}" for module, _ in COMMANDS.values()),
        "launch.stage.run",
        "launch.report.page",
        "pacos.configs.compose",
        "pacos.run.open",
    ]
    + [f"{stage}.config" for stage in ("selfinstruct", "sft", "eval", "launch")],
)
def test_the_front_is_free_of_heavy_libraries(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("package", ["selfinstruct", "sft", "eval", "launch", "conf", "slurm"])
def test_a_package_imports_as_nothing_but_a_docstring(package: str) -> None:
    body = ast.parse((ROOT / package / "__init__.py").read_text()).body
    assert len(body) == 1
    assert isinstance(body[0], ast.Expr)


def test_top_level_names_are_ours_in_this_environment() -> None:
    owners = importlib.metadata.packages_distributions()
    for package in PACKAGES:
        assert set(owners.get(package, ["pacos"])) == {"pacos"}, f"another {package} is installed"


def test_the_wheel_holds_the_packages_with_their_data(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in [*PACKAGES, "hydra_plugins", "pyproject.toml", "README.md", "LICENSE"]:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        source.mkdir(exist_ok=True)
        copy(ROOT / name, source / name)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", tmp_path, source],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        *PACKAGES,
        "hydra_plugins",
    }
    shipped = ["conf/**/*.yaml", "slurm/*.sbatch", "slurm/*.sh", "pacos/suites/**/*.*"]
    shipped += [
        "selfinstruct/seeds/*.jsonl",
        "selfinstruct/requests/shots/*/*.jsonl",
        "launch/report/*.j2",
        "launch/accelerate/*.yaml",
    ]
    shipped += ["pacos/review/*.html", "pacos/terms/*.yaml", "pacos/prompts/templates/*.jinja"]
    shipped += ["sft/preview/*.j2"]
    for pattern in shipped:
        files = [path for path in ROOT.glob(pattern) if "__pycache__" not in path.parts]
        assert files, pattern
        for path in files:
            assert str(path.relative_to(ROOT)) in names


def test_files_and_functions_keep_their_size() -> None:
    for path in SOURCES:
        text = path.read_text()
        assert text.count("\n") <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                assert node.end_lineno - node.lineno < 80, f"{path}: {node.name}"


def test_a_folder_holds_at_most_15_loose_modules() -> None:
    loose = Counter(path.parent for path in SOURCES if path.name != "__init__.py")
    assert {str(folder): count for folder, count in loose.items() if count > 15} == {}


PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
PATH_IN_TEXT = re.compile(
    r"\b(?:pacos|conf|launch|selfinstruct|sft|eval|slurm|tests|examples|benchmarks|docs)"
    r"/(?:[\w.-]+/)*[\w.-]+\.(?:py|md|sh|sbatch|yaml|toml)\b"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_name_files_that_exist(page: Path) -> None:
    # Commands and listings in code blocks may name what a user has: prose and tables may not.
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    named = {match.group() for match in PATH_IN_TEXT.finditer(prose)}
    missing = {path for path in named if "NAME" not in path and not (ROOT / path).exists()}
    assert missing == set()


STIFF_OPENINGS = {"What", "Whether", "How", "Where", "Who", "Which", "Of"}


def test_docstrings_open_with_a_verb_or_a_noun_phrase() -> None:
    texts = [text for path in SOURCES for text in docstrings_of(ast.parse(path.read_text()))]
    stiff = [text for text in texts if text.split()[0] in STIFF_OPENINGS]
    assert len(stiff) <= 0.02 * len(texts), "\n".join(stiff[:20])


def docstrings_of(tree: ast.Module) -> Iterator[str]:
    """Yield the docstrings of a module: its own, and those of classes, functions and fields."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        for before, statement in itertools.pairwise([node, *body]):
            documents = isinstance(before, ast.Assign | ast.AnnAssign) or (
                before is node
                and isinstance(
                    node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
                )
            )
            match statement:
                case ast.Expr(value=ast.Constant(value=str(text))) if documents and text.strip():
                    yield text
