"""Commands in the documents: each parses, every config composes, every sweep expands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from launch.cli import COMMANDS, parse
from launch.config import SCHEMA_OF, SCHEMAS, AnyConfig
from launch.sweeps.search import sample_point
from pacos.configs.compose import compose_checked
from pacos.errors import ConfigError
from tests.conftest import ROOT

PAGES = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
STAGE_OF_OVERRIDES = {"plan": "sft", "doctor": "sft", "preview": "sft", "prefetch": "sft"}
"""Stage whose overrides a command takes, if its first word names no other."""


def lines(document: Path) -> list[str]:
    """Commands in a document's code blocks, continued lines joined."""
    blocks = re.findall(r"```(?:bash|console|sh)\n(.*?)```", document.read_text(), flags=re.S)
    return "\n".join(blocks).replace("\\\n", " ").splitlines()


def commands(document: Path) -> list[list[str]]:
    """The arguments of `pacos`, or of an sbatch script those of the stage that it runs."""
    found = []
    for line in lines(document):
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if "pacos" in words and words[0] in ("pacos", "srun"):
            found.append(words[words.index("pacos") + 1 :])
        elif words[:1] == ["sbatch"]:
            (script,) = [word for word in words if word.startswith("slurm/")] or [None]
            if script is not None:
                assert (ROOT / script).is_file()
                found.append([Path(script).stem, *words[words.index(script) + 1 :]])
    return found


def problems(
    schema: type[AnyConfig], overrides: Sequence[str], *, is_sweep: bool = False
) -> list[str]:
    """Problems of a command's config, apart from files that only its reader has."""
    try:
        # One point of a sweep is enough: a document has to be checked in seconds.
        compose_checked(schema, SCHEMAS, sample_point(overrides) if is_sweep else overrides)
    except ConfigError as error:
        texts = [str(problem) for problem in error.problems]
        return [text for text in texts if "no such key" in text or ": no " not in text]
    return []


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_in_a_block_of_its_language(page: str) -> None:
    """The test below reads these only. A line after `$ ` shows a command with its output."""
    pattern = re.compile(rf"(?:pacos (?:{'|'.join(COMMANDS)})|sbatch) ")
    written = [line for line in (ROOT / page).read_text().splitlines() if pattern.match(line)]
    assert len(written) == sum(bool(pattern.match(line)) for line in lines(ROOT / page))


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_the_documents_are_right(page: str) -> None:
    for words in commands(ROOT / page):
        if "--help" in words:
            with pytest.raises(SystemExit) as ended:
                parse(words)
            assert ended.value.code == 0
            continue
        args = parse(words)
        overrides = list(getattr(args, "overrides", []))
        stage = STAGE_OF_OVERRIDES.get(args.command, args.command)
        if overrides and overrides[0] in SCHEMA_OF:
            stage, *overrides = overrides
        if stage not in SCHEMA_OF or getattr(args, "rows", None):
            continue
        needs_data = args.command in ("doctor", "prefetch") or getattr(args, "hydra_options", [])
        given = any(override.startswith("data.path=") for override in overrides)
        extra = ["data.path=rows.jsonl"] if needs_data and stage == "sft" and not given else []
        is_sweep = getattr(args, "multirun", False)
        assert not problems(SCHEMA_OF[stage], [*overrides, *extra], is_sweep=is_sweep), words
