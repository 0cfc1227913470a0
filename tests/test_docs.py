"""Commands in the documents: every option is one, every config composes, every sweep expands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from launch.cli import OTHERS
from launch.config import SCHEMA_OF, SCHEMAS, AnyConfig
from launch.sweeps.search import sampled
from pacos.configs.compose import compose_checked
from pacos.errors import ConfigError
from tests.conftest import ROOT

DOCUMENTS = ["README.md", "docs/cluster.md", "docs/sweeps.md", "docs/week.md"]
OPTIONS = {"-m", "--dry-run", "--help", "--cfg", "job", "--rows", "--tokens", "--json"}
WITH_CONFIG = {"plan": "sft", "doctor": "sft", "prefetch": "sft"}
"""Commands that take the words of a stage, and the stage where they name none."""


def lines(document: Path) -> list[str]:
    """Commands in a document's code blocks, continued lines joined."""
    blocks = re.findall(r"```(?:bash|console|sh)\n(.*?)```", document.read_text(), flags=re.S)
    return "\n".join(blocks).replace("\\\n", " ").splitlines()


def commands(document: Path) -> list[list[str]]:
    """The words after `pacos`, and of an sbatch script those of the stage that it runs."""
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


def problems(schema: type[AnyConfig], words: Sequence[str]) -> list[str]:
    """What is wrong with a command's words, but for files that its reader has."""
    values = [word for word in words if "=" in word and not word.startswith("-")]
    try:
        # Of a sweep its first point: a document has to be checked in seconds.
        compose_checked(schema, SCHEMAS, sampled(values) if "-m" in words else values)
    except ConfigError as error:
        texts = [str(problem) for problem in error.problems]
        return [text for text in texts if "no such key" in text or ": no " not in text]
    return []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_in_the_documents_are_right(document: str) -> None:
    found = commands(ROOT / document)
    assert found
    for name, *words in found:
        if name == "--help":
            continue
        stage = next((word for word in words if word in SCHEMA_OF), WITH_CONFIG.get(name, name))
        assert name in (*SCHEMA_OF, *OTHERS, "prefetch", "sync"), name
        unknown = [word for word in words if word.startswith("-") and word not in OPTIONS]
        assert not unknown, (name, unknown)
        if stage not in SCHEMA_OF or {"--help", "--rows"} & {*words}:
            continue
        needs_data = name in ("doctor", "prefetch") or "--cfg" in words
        given = any(word.startswith("data.path=") for word in words)
        extra = ["data.path=rows.jsonl"] if needs_data and stage == "sft" and not given else []
        assert not problems(SCHEMA_OF[stage], [*words, *extra]), (name, words)
