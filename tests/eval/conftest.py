import json
import logging
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM

from eval.config import EvalConfig
from eval.configs.sandbox import SandboxConfig
from eval.sandbox.sandbox import Sandbox
from pacos.configs.cluster import ClusterConfig, Device
from pacos.configs.stage import RunConfig
from pacos.configs.suite import SuiteConfig
from pacos.files import write_jsonl
from pacos.prompts.formats import PromptFormat

EMBEDDED = "embedded:smollm2-135m-instruct"

ROWS = [
    {"id": "a", "instruction": "Name a colour.", "input": "", "output": "Blue."},
    {"id": "b", "instruction": "Add the numbers.", "input": "2 and 3", "output": "The sum is 5."},
    {"id": "c", "instruction": "Say it in Korean.", "input": "water", "output": "물"},
    {"id": "d", "instruction": "Tell of rain.", "output": "It rains on the roof and the garden."},
    {"id": "e", "instruction": "Which is larger, 7 or 9?", "input": "", "output": "9"},
]


RUBRIC = {
    "lang": "en",
    "introduction": "You are given a request and an answer.",
    "source": "Request",
    "output": "Answer",
    "prompts": "short.jsonl",
    "criteria": {
        "clarity": {"scale": [1, 5], "definition": "Is it clear?"},
        "warmth": {"scale": [1, 5], "definition": "Is it warm?", "steps": "1. Feel."},
    },
}


@pytest.fixture(autouse=True, scope="package")
def _one_thread() -> Iterator[None]:
    """Models this small only lose by sharing work out, and most of all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def make_model(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Write a small LLaMA with random weights drawn from a seed."""

    def make(seed: int) -> Path:
        folder = tmp_path_factory.getbasetemp() / f"tiny-{seed}"
        if not folder.is_dir():
            torch.manual_seed(seed)
            shape = LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=512,
                # Wide enough that the choices' scores differ clearly.
                initializer_range=0.4,
                tie_word_embeddings=True,
                eos_token_id=tokenizer.eos_token_id,
            )
            LlamaForCausalLM(shape).save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def tiny(make_model: Callable[[int], Path]) -> Path:
    return make_model(1)


@pytest.fixture
def heldout(tmp_path: Path) -> Path:
    path = tmp_path / "heldout.jsonl"
    write_jsonl(path, ROWS)
    return path


@pytest.fixture
def config(tiny: Path, heldout: Path, tmp_path: Path) -> EvalConfig:
    """Two tasks of the smoke suite and the held-out rows, one model."""
    return EvalConfig(
        run=RunConfig(name="run", root=str(tmp_path / "runs")),
        target=str(tiny),
        suite=SuiteConfig(
            name="smoke",
            folder="shipped:smoke",
            tasks=["smoke_choice_en", "smoke_generation_ko"],
        ),
        heldout=str(heldout),
        prompt_format=PromptFormat.chatml,
        batch_size=3,
        limit=4,
        cluster=ClusterConfig(device=Device.cpu),
    )


@pytest.fixture
def own_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take back what a program sets for its whole process."""
    monkeypatch.setenv("TQDM_DISABLE", "1")
    logged_to = list(logging.getLogger().handlers)
    yield
    logging.getLogger().handlers[:] = logged_to


LESSER_KERNEL = Path(__file__).parent / "sandbox" / "lesser_kernel.py"


@pytest.fixture(scope="session")
def python_without(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Make a Python on a machine that lacks namespaces, landlock or seccomp, or several."""

    def make(*lacking: str) -> str:
        python = tmp_path_factory.mktemp("kernel") / "python"
        words = [sys.executable, str(LESSER_KERNEL), ",".join(lacking), sys.executable]
        python.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        python.chmod(0o755)
        return str(python)

    return make


@pytest.fixture(scope="session")
def sandbox_without(python_without: Callable[..., str]) -> Callable[..., Sandbox]:
    """Make a sandbox on such a machine."""

    def make(*lacking: str, **settings: Any) -> Sandbox:
        with pytest.MonkeyPatch.context() as patch:
            if lacking:
                patch.setattr(sys, "executable", python_without(*lacking))
            return Sandbox(SandboxConfig(**settings))

    return make


@pytest.fixture(scope="session")
def sandbox(sandbox_without: Callable[..., Sandbox]) -> Iterator[Sandbox]:
    with sandbox_without(timeout_seconds=60.0) as made:
        yield made


@pytest.fixture(scope="session")
def unguarded(sandbox_without: Callable[..., Sandbox]) -> Iterator[Sandbox]:
    """No isolation: where an attack has to work if it is to show anything."""
    with sandbox_without(run_without_isolation=True, timeout_seconds=60.0) as made:
        yield made


@pytest.fixture
def rubrics(tmp_path: Path) -> Path:
    """A folder with one rubric of two criteria, and six prompts."""
    folder = tmp_path / "rubrics"
    folder.mkdir()
    (folder / "short.yaml").write_text(yaml.safe_dump(RUBRIC))
    lines = [{"id": f"p{n}", "turns": [f"Say {n} words about rain."]} for n in range(6)]
    (folder / "short.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder
