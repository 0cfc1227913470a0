"""A conversation with a model: in the terminal, or a line of standard input at a time.

python -m sft.chat RUN|MODEL
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Generator, Iterator, Sequence
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, cast

from pacos.console import set_up_logging
from pacos.errors import EXIT_DONE, UserError, exit_with, first_line
from pacos.model.loading import model_directory
from pacos.model.paths import exported_model, path_problem
from pacos.model.placement import gpus_needed, load_causal_lm
from pacos.model.protocols import CausalLM, Tokenizer
from pacos.schemas import Message

if TYPE_CHECKING:
    import torch

RESET = "/reset"
PROMPT = "> "
MAX_ANSWER_TOKENS = 1024
"""Tokens after which an answer is cut off, for models that never write their stop token."""


def main(arguments: Sequence[str]) -> int:
    """Converse until the input ends; return the exit code."""
    # A reader of the answers that has seen enough, such as `head`, ends the program silently.
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
    """Converse with a person at the terminal."""
    import readline  # noqa: F401  # gives input() line editing and a history

    print(f"{RESET} starts a new conversation, Ctrl-C stops an answer, Ctrl-D exits")
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
            _print_answer(chat, text)


def answer_lines(chat: Chat) -> None:
    """Answer each line of standard input, in one conversation until a line says /reset."""
    for line in sys.stdin:
        text = line.strip()
        if text == RESET:
            chat.reset()
        elif text:
            _print_answer(chat, text)


def _print_answer(chat: Chat, text: str) -> None:
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
    """A model and the conversation with it so far."""

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
        self._device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
        slow_bf16 = cpu_bf16.is_needed(self._device, torch.bfloat16)
        dtype = torch.float32 if slow_bf16 else torch.bfloat16
        folder = find_model(path)
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            self._model = load_causal_lm(folder, dtype, self._devices(folder, dtype))
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot be loaded: {first_line(error)}") from error
        self._tokenizer = cast(Tokenizer, tokenizer)
        if self._tokenizer.chat_template is None:
            raise UserError(
                f"{path}: has no chat template, so it was not trained to converse; give a run of "
                "pacos sft or an instruction-tuned model"
            )
        self._model.eval()
        self._turns: list[Message] = []

    def _devices(self, folder: str, dtype: torch.dtype) -> list[torch.device]:
        """Return the CPU, or the fewest GPUs that hold the model.

        Raises:
            UserError: all GPUs of this machine do not hold it.
        """
        import torch

        if self._device.type == "cpu":
            return [self._device]
        needed, here = gpus_needed(folder, dtype), torch.cuda.device_count()
        if needed > here:
            raise UserError(
                f"{folder}: takes {needed} GPUs like those of this machine, which shows {here}; "
                "free more with CUDA_VISIBLE_DEVICES, or use a machine with more"
            )
        return [torch.device("cuda", number) for number in range(needed)]

    def reset(self) -> None:
        """Start a new conversation."""
        self._turns = []

    def ask(self, text: str) -> Generator[str, None, None]:
        """Send a user turn; yield the answer as it is written.

        Decoding is greedy, so that the same conversation gives the same answers. If the caller
        closes the generator early, the answer stays in the conversation as far as it went.

        Raises:
            UserError: the conversation is longer than the model's context.
        """
        turns = [*self._turns, {"role": "user", "content": text}]
        inputs = self._tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, return_dict=True, return_tensors="pt"
        ).to(self._device)
        room = self._model.config.max_position_embeddings - inputs["input_ids"].shape[1]
        if room <= 0:
            raise UserError(f"the conversation is too long for the model; {RESET} starts a new one")
        self._turns, written = turns, ""
        answer = StreamedAnswer(self._model, self._tokenizer, inputs, min(room, MAX_ANSWER_TOKENS))
        try:
            for piece in answer:
                written += piece
                yield piece
        finally:
            answer.stop()
            self._turns.append({"role": "assistant", "content": written})


class StreamedAnswer:
    """Text that a model generates in another thread, read piece by piece."""

    def __init__(self, model: CausalLM, tokenizer: Tokenizer, inputs: Any, max_tokens: int) -> None:
        from transformers import TextIteratorStreamer

        self._stopped = Event()
        self._error: Exception | None = None
        streamed_by: Any = tokenizer
        self._pieces = TextIteratorStreamer(streamed_by, skip_prompt=True, skip_special_tokens=True)
        # generate() returns only at the end; the streamer hands text over from another thread.
        self._thread = Thread(target=self._generate, args=(model, inputs, max_tokens))
        self._thread.start()

    def _generate(self, model: CausalLM, inputs: Any, max_tokens: int) -> None:
        try:
            model.generate(
                **inputs,
                max_new_tokens=max_tokens,
                streamer=self._pieces,
                stopping_criteria=[self._is_stopped],
                do_sample=False,
                # A model's own sampling settings would only cause warnings here.
                temperature=None,
                top_p=None,
                top_k=None,
            )
        except Exception as error:  # noqa: BLE001  # raised again in the reading thread
            self._error = error
            self._pieces.end()

    def _is_stopped(self, ids: torch.Tensor, scores: Any, **options: Any) -> torch.Tensor:
        import torch

        return torch.full((len(ids),), self._stopped.is_set(), device=ids.device)

    def __iter__(self) -> Iterator[str]:
        """Yield the text as it is written; raise whatever the writing thread raised."""
        yield from self._pieces
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Stop generating, and wait for the thread to end."""
        self._stopped.set()
        self._thread.join()


def find_model(path: str) -> str:
    """Return the directory or hub id that transformers loads; of a run, its exported model.

    Raises:
        UserError: there is no such model, or the run has exported none yet.
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
