"""Tokenizers that cannot be used, told with the remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pacos.errors import UserError
from pacos.model.loading import load_tokenizer
from tests.sft.byte_tokenizer import byte_tokenizer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    byte_tokenizer().save_pretrained(tmp_path)
    return tmp_path


def cut(folder: Path) -> None:
    path = folder / "tokenizer.json"
    path.write_text(path.read_text()[:500])


def break_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "llama",')
    (folder / "tokenizer_config.json").unlink()


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.parametrize("damage", [cut, break_config, empty])
def test_a_tokenizer_that_is_not_whole_is_told(
    folder: Path, damage: Callable[[Path], None]
) -> None:
    damage(folder)
    with pytest.raises(UserError) as told:
        load_tokenizer(str(folder))
    assert f"model.path = {folder}: its tokenizer cannot be loaded: " in str(told.value)
    assert "\n" not in str(told.value)


def test_a_pad_token_is_needed_and_must_be_known(folder: Path) -> None:
    assert load_tokenizer(str(folder)).pad_token == "<|endoftext|>"
    assert load_tokenizer(str(folder), pad_token="<|im_end|>").pad_token == "<|im_end|>"
    with pytest.raises(UserError, match=r"model.pad_token = <pad>: not in the tokenizer"):
        load_tokenizer(str(folder), pad_token="<pad>")
    tokenizer = byte_tokenizer()
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    with pytest.raises(UserError, match="has no pad token; name an unused one"):
        load_tokenizer(str(folder))
