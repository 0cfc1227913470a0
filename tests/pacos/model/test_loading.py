"""Models unpacked into a cache; tokenizers that cannot be used, told with the remedy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors

from pacos.errors import UserError
from pacos.model.loading import load_tokenizer
from tests.conftest import ROOT
from tests.llama2_tokenizer import save_llama2_tokenizer
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


def test_a_message_names_a_token_to_pad_with_that_ends_no_answer(folder: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    with pytest.raises(UserError, match=r"name an unused one$"):
        load_tokenizer(str(folder))
    tokens = ["<|eot_id|>", "<|reserved_special_token_0|>", "<|finetune_right_pad_id|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": tokens})
    tokenizer.save_pretrained(folder)
    for pad_token in (None, "<pad>"):
        with pytest.raises(UserError, match=r", such as <\|finetune_right_pad_id\|>$"):
            load_tokenizer(str(folder), pad_token=pad_token)


def test_a_message_names_the_key_of_the_model(tmp_path: Path) -> None:
    for damaged in (False, True):
        folder = save_llama2_tokenizer(tmp_path)
        if damaged:
            cut(folder)
        with pytest.raises(UserError, match=f"^generator.model = {folder}: its tokenizer "):
            load_tokenizer(str(folder), key="generator.model")


def test_llama_2_keeps_the_blank_after_a_special_token(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(save_llama2_tokenizer(tmp_path)), pad_token="<unk>")
    text = "<s>[INST] Hi [/INST] a </s><s>[INST]"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    tokens = [tokenizer.convert_ids_to_tokens(number) for number in ids]
    # Of Meta's own code and of tokenizer.json; transformers 5 makes "[" of both.
    assert tokens[:2] == ["<s>", "▁["]
    assert tokens[-8:-5] == ["</s>", "<s>", "▁["]
    assert tokenizer("Hi")["input_ids"][0] == tokenizer.bos_token_id


UNPACK = """
import platform, sys
from pacos.model.loading import model_directory

node = sys.argv[1]
if node:
    # Another machine at the same disk, whose lock this one does not see.
    platform.node = lambda: node
print(model_directory("embedded:smollm2-135m-instruct"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("nodes", [("", ""), ("node-a", "node-b")], ids=["one", "two"])
def test_processes_that_meet_a_fresh_cache_get_the_whole_model(
    tmp_path: Path, nodes: tuple[str, str]
) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", UNPACK, node],
            cwd=ROOT,
            env={**os.environ, "PACOS_CACHE": str(tmp_path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for node in nodes
    ]
    folders = {process.communicate()[0].splitlines()[-1] for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    (folder,) = map(Path, folders)
    assert {path.name for path in folder.iterdir()} >= {"config.json", "tokenizer.json"}
    with safetensors.safe_open(folder / "model.safetensors", "pt") as weights:
        assert len(weights.keys()) == 272
    # Nothing half-written stays beside it.
    assert [path for path in folder.parent.iterdir() if path.is_dir()] == [folder]
