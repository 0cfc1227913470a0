"""A conversation with a model in the terminal, or a line of standard input at a time.

python -m sft.chat RUN|MODEL
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Generator, Iterator, Sequence
from threading import Event, Thread
from typing import Any

from pacos.console import set_up_logging
from pacos.errors import EXIT_DONE, UserError, exit_with, first_line
from pacos.model.loading import model_directory
from pacos.model.paths import exported_model, path_problem
from pacos.schemas import Message

RESET = "/reset"
PROMPT = "> "
LONGEST_ANSWER = 1024
"""Tokens after which an answer is cut, for models that do not stop by themselves."""


def main(arguments: Sequence[str]) -> int:
    """Talk until the input ends; returns the exit code."""
    # A reader of the answers that has seen enough, such as `head`, ends the conversation.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    set_up_logging(is_main=True)
    try:
        if len(arguments) != 1:
            raise UserError("give one run or one model, such as runs/my-run")
        chat = Chat(arguments[0])
    except UserError as error:
        return exit_with(error)
    if sys.stdin.isatty():
        talk(chat)
    else:
        answer_lines(chat)
    return EXIT_DONE


def talk(chat: Chat) -> None:
    """Converse with a person; Ctrl-C ends an answer, Ctrl-D the conversation."""
    import readline  # noqa: F401  # gives input() a line editor with a history

    print(f"{RESET} begins anew, Ctrl-C cuts an answer, Ctrl-D ends")
    while True:
        try:
            text = input(PROMPT).strip()
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print()
            continue
        if text == RESET:
            chat.reset()
        elif text:
            _show(chat, text)


def answer_lines(chat: Chat) -> None:
    """Answer each line of standard input, all in one conversation until a line says /reset."""
    for line in sys.stdin:
        text = line.strip()
        if text == RESET:
            chat.reset()
        elif text:
            _show(chat, text)


def _show(chat: Chat, text: str) -> None:
    answer = chat.ask(text)
    try:
        for piece in answer:
            print(piece, end="", flush=True)
    except KeyboardInterrupt:
        answer.close()
    except UserError as error:
        print(f"pacos: {error}", end="", file=sys.stderr)
    print(flush=True)


class Chat:
    """A model and what was said so far."""

    def __init__(self, path: str) -> None:
        """Load a model and its tokenizer.

        Args:
            path: a training run, a pipeline run, a model directory, a hub id or an embedded model.

        Raises:
            UserError: there is no such model, or it has no chat template.
        """
        import torch
        import transformers

        from sft.model import cpu_bf16

        transformers.utils.logging.disable_progress_bar()
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        slow = cpu_bf16.is_needed(self._device, torch.bfloat16)
        dtype = torch.float32 if slow else torch.bfloat16
        folder = find_model(path)
        try:
            self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(
                folder, trust_remote_code=False
            )
            model: Any = transformers.AutoModelForCausalLM.from_pretrained(
                folder, dtype=dtype, trust_remote_code=False
            )
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot be loaded: {first_line(error)}") from error
        if self._tokenizer.chat_template is None:
            raise UserError(
                f"{path}: has no chat template, so it was not made to converse; give a run of "
                "pacos sft or an instruction-tuned model"
            )
        self._model = model.to(self._device).eval()
        self._turns: list[Message] = []

    def reset(self) -> None:
        """Forget what was said."""
        self._turns = []

    def ask(self, text: str) -> Generator[str, None, None]:
        """Say something; yields the answer as it is written.

        Answers are the most likely words, so that the same conversation can be had again. An answer
        that the reader does not wait for stays in the conversation as far as it went.

        Raises:
            UserError: the conversation is longer than the model can read.
        """
        turns = [*self._turns, {"role": "user", "content": text}]
        inputs = self._tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, return_dict=True, return_tensors="pt"
        ).to(self._device)
        room = self._model.config.max_position_embeddings - inputs["input_ids"].shape[1]
        if room <= 0:
            raise UserError(f"the conversation is too long for the model; {RESET} begins anew")
        self._turns, said = turns, ""
        answer = Answer(self._model, self._tokenizer, inputs, min(room, LONGEST_ANSWER))
        try:
            for piece in answer:
                said += piece
                yield piece
        finally:
            answer.stop()
            self._turns.append({"role": "assistant", "content": said})


class Answer:
    """Text that a model writes in another thread, piece by piece."""

    def __init__(self, model: Any, tokenizer: Any, inputs: Any, room: int) -> None:
        from transformers import TextIteratorStreamer

        self._stopped = Event()
        self._error: Exception | None = None
        self._pieces = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self._thread = Thread(target=self._write, args=(model, inputs, room))
        self._thread.start()

    def _write(self, model: Any, inputs: Any, room: int) -> None:
        try:
            model.generate(
                **inputs,
                max_new_tokens=room,
                streamer=self._pieces,
                stopping_criteria=[self._is_stopped],
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
            )
        except Exception as error:  # noqa: BLE001  # whatever it is, the reader has to hear of it
            self._error = error
            self._pieces.end()

    def _is_stopped(self, ids: Any, scores: Any, **options: Any) -> Any:
        import torch

        return torch.full((len(ids),), self._stopped.is_set(), device=ids.device)

    def __iter__(self) -> Iterator[str]:
        """Yield the text as it comes; whatever the writer raises is raised here."""
        yield from self._pieces
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Write no more, and wait for the thread."""
        self._stopped.set()
        self._thread.join()


def find_model(path: str) -> str:
    """What transformers can load of a path; of a run, its exported model.

    Raises:
        UserError: there is nothing, or the run has no model yet.
    """
    model = exported_model(path)
    if model is not None:
        return str(model)
    problem = path_problem("model", path)
    if problem is not None:
        raise UserError(str(problem))
    return model_directory(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
