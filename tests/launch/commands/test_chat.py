"""`pacos chat`: with a small model that answers at once, and nothing of sense."""

from __future__ import annotations

import builtins
import io
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pacos.errors import UserError
from pacos.files import write_json
from pacos.prompts.formats import FORMATS, PromptFormat
from sft import chat
from sft.chat import Chat, answer_lines, find_model, main, talk
from tests.conftest import Pacos
from tests.sft.byte_tokenizer import byte_tokenizer
from tests.sft.small_runs import SHAPE


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("chat") / "model"
    byte_tokenizer(FORMATS[PromptFormat.chatml].exported()).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        config = LlamaConfig(**SHAPE.settings(), initializer_range=0.3, eos_token_id=2)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def short_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "MAX_ANSWER_TOKENS", 24)


@pytest.fixture
def conversation(model: Path) -> Chat:
    return Chat(str(model))


def test_an_answer_comes_in_pieces_and_is_the_same_each_time(conversation: Chat) -> None:
    pieces = list(conversation.ask("Hello there"))
    assert len(pieces) > 1
    assert "".join(pieces)
    conversation.reset()
    assert "".join(conversation.ask("Hello there")) == "".join(pieces)


def test_what_was_said_is_remembered(conversation: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[dict[str, str]]] = []
    plain = conversation._tokenizer.apply_chat_template

    def listening(turns: Any, **options: Any) -> Any:
        asked.append([dict(turn) for turn in turns])
        return plain(turns, **options)

    monkeypatch.setattr(conversation._tokenizer, "apply_chat_template", listening)
    first = "".join(conversation.ask("a"))
    list(conversation.ask("b"))
    conversation.reset()
    list(conversation.ask("c"))
    assert asked[1] == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": first},
        {"role": "user", "content": "b"},
    ]
    assert asked[2] == [{"role": "user", "content": "c"}]


def test_an_answer_may_be_cut_and_the_conversation_goes_on(conversation: Chat) -> None:
    answer = conversation.ask("Hello")
    piece = next(answer)
    answer.close()
    assert conversation._turns[-1] == {"role": "assistant", "content": piece}
    assert list(conversation.ask("Go on"))


def test_a_conversation_that_is_too_long_is_refused_and_can_begin_anew(conversation: Chat) -> None:
    with pytest.raises(UserError, match=r"too long for the model; /reset starts a new one"):
        list(conversation.ask("word " * 200))
    assert list(conversation.ask("short"))


def test_a_failure_while_writing_is_told(
    conversation: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**options: Any) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(conversation._model, "generate", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        list(conversation.ask("Hello"))


def test_lines_of_a_pipe_are_prompts(
    conversation: Chat, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("Hello\n\n/reset\nHello\nMore"))
    asked: list[str] = []
    plain = conversation.ask
    monkeypatch.setattr(conversation, "ask", lambda text: (asked.append(text), plain(text))[1])
    answer_lines(conversation)
    assert asked == ["Hello", "Hello", "More"]
    conversation.reset()
    said = "".join(plain("Hello"))
    assert capsys.readouterr().out.startswith(f"{said}\n{said}\n")


def test_a_person_talks_until_ctrl_d(
    conversation: Chat, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def typed() -> Iterator[str]:
        yield "Hello"
        raise KeyboardInterrupt

    lines = typed()

    def read(prompt: str) -> str:
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr(builtins, "input", read)
    talk(conversation)
    out = capsys.readouterr().out
    assert "Ctrl-D exits" in out
    conversation.reset()
    assert "".join(conversation.ask("Hello")) in out


def test_a_run_stands_for_its_model(model: Path, tmp_path: Path) -> None:
    run = tmp_path / "pipeline" / "sft"
    run.mkdir(parents=True)
    write_json(run / "manifest.json", {"stage": "sft"})
    with pytest.raises(UserError, match="has no model yet"):
        find_model(str(run))
    (run / "model").symlink_to(model)
    assert find_model(str(run)) == str(run / "model")
    assert find_model(str(tmp_path / "pipeline")) == str(run / "model")
    assert find_model(str(model)) == str(model)


def test_what_cannot_be_talked_to_is_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "nothing")]) == 2
    assert "no such model directory" in capsys.readouterr().err
    assert main([]) == 2
    assert "give one run or one model" in capsys.readouterr().err
    mute = tmp_path / "mute"
    mute.mkdir()
    for path in model.iterdir():
        if path.name != "chat_template.jinja":
            (mute / path.name).write_bytes(path.read_bytes())
    assert main([str(mute)]) == 2
    assert "has no chat template, so it was not trained to converse" in capsys.readouterr().err
    (mute / "model.safetensors").unlink()
    assert main([str(mute)]) == 2
    assert "cannot be loaded" in capsys.readouterr().err


def test_the_command_shows_how_it_is_used(pacos: Pacos) -> None:
    done = pacos("chat", "--help")
    assert (done.returncode, "usage: pacos chat [-h] RUN|MODEL" in done.stdout) == (0, True)
    assert pacos("chat").returncode == 2
    assert "chat" in pacos("--help").stdout


@pytest.mark.slow
def test_the_command_answers_a_pipe_and_a_terminal(model: Path) -> None:
    command = [str(Path(sys.executable).with_name("pacos")), "chat", str(model)]
    piped = subprocess.run(command, input="Hello\n", capture_output=True, text=True, check=False)
    assert piped.returncode == 0, piped.stderr
    assert len(piped.stdout) > 2
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE) as talking:
        os.close(theirs)
        seen = _until(ours, b"> ")
        os.write(ours, b"Hello\n")
        seen += _until(ours, b"> ")
        os.write(ours, b"\x04")
        assert talking.wait(30) == 0
    os.close(ours)
    assert piped.stdout.split("\n")[0].encode() in seen


def _until(terminal: int, end: bytes) -> bytes:
    seen = b""
    while not seen.endswith(end):
        seen += os.read(terminal, 1024)
    return seen
