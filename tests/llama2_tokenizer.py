"""A small tokenizer in the form of LLaMA 2's, as the hub has it."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

SPECIAL = ["<unk>", "<s>", "</s>"]
MERGES = ["▁ [", "▁ B", "▁ H", "▁ a"]


def save_llama2_tokenizer(folder: Path, **config: Any) -> Path:
    """Write tokenizer.json and tokenizer_config.json.

    Args:
        folder: of the files.
        config: entries of tokenizer_config.json besides those of the hub.
    """
    letters = ["▁", *string.ascii_letters, *string.digits, *"[]/<>.,:#!?"]
    merged = [merge.replace(" ", "") for merge in MERGES]
    pieces = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *letters, *merged]
    added = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    whole = {
        "version": "1.0",
        "added_tokens": [
            {"id": number, "content": token, "special": True, **added}
            for number, token in enumerate(SPECIAL)
        ],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "<s>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
            ],
            "pair": [
                {"SpecialToken": {"id": "<s>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "unk_token": "<unk>",
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": {piece: number for number, piece in enumerate(pieces)},
            "merges": MERGES,
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(whole), encoding="utf-8")
    published = {
        "tokenizer_class": "LlamaTokenizer",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "legacy": False,
        "add_bos_token": True,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps({**published, **config}))
    return folder
