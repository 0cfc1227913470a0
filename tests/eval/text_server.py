"""A server of a real model that speaks OpenAI's API, log-probabilities of the prompt included.

python -m tests.eval.text_server MODEL --port 8000
"""

from __future__ import annotations

import argparse
import threading
from typing import Any

import torch

from tests.pacos.llm.scripted_server import ScriptedServer


class TextServer(ScriptedServer):
    """Continues texts and answers conversations, greedily.

    Attributes:
        gives_logprobs: whether it sends them when it is asked.
        shift: places by which the log-probabilities of a prompt are off, as llama-cpp-python's.
        adds_special: whether texts get the tokenizer's special tokens, as in vLLM.
    """

    gives_logprobs = True
    shift = 0
    adds_special = False

    def __init__(self, model: Any, tokenizer: Any, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._model, self._tokenizer = model, tokenizer

    def reply(self, sent: dict[str, Any], prompt: str) -> dict[str, Any]:
        """A completion object."""
        text = prompt
        if "messages" in sent:
            text = self._tokenizer.apply_chat_template(
                sent["messages"], add_generation_prompt=True, tokenize=False
            )
        ids = self._tokenizer(text, add_special_tokens=self.adds_special)["input_ids"]
        written = self._written(ids, sent)
        said = self._tokenizer.decode(written)
        for stop in sent.get("stop", ()):
            said = said.partition(stop)[0]
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
        if "messages" in sent:
            choice["message"] = {"role": "assistant", "content": said}
        else:
            choice["text"] = text + said if sent.get("echo") else said
            if sent.get("echo") and "logprobs" in sent and self.gives_logprobs:
                choice["logprobs"] = self._echoed(ids + written)
        usage = {"prompt_tokens": len(ids), "completion_tokens": len(written)}
        return {"object": "completion", "choices": [choice], "model": sent["model"], "usage": usage}

    def _written(self, ids: list[int], sent: dict[str, Any]) -> list[int]:
        grown = list(ids)
        for _ in range(sent["max_tokens"]):
            following = int(self._logprobs(grown)[-1].argmax())
            if following == self._tokenizer.eos_token_id:
                break
            grown.append(following)
        return grown[len(ids) :]

    def _echoed(self, ids: list[int]) -> dict[str, Any]:
        found = self._logprobs(ids)
        # Texts of tokens need not be whole characters; they only have to differ.
        texts = [f"{self._tokenizer.decode([token])}|{token}" for token in ids]
        top: list[dict[str, float] | None] = [None]
        for place in range(1, len(ids)):
            row = found[place - 1 + self.shift]
            likeliest, own = int(row.argmax()), ids[place]
            top.append(
                {
                    f"{self._tokenizer.decode([token])}|{token}": float(row[token])
                    for token in (likeliest, own)
                }
            )
        own_logprobs = [
            None if one is None else one[text] for one, text in zip(top, texts, strict=True)
        ]
        return {"tokens": texts, "token_logprobs": own_logprobs, "top_logprobs": top}

    @torch.no_grad()
    def _logprobs(self, ids: list[int]) -> torch.Tensor:
        return torch.log_softmax(self._model(torch.tensor([ids])).logits[0].float(), dim=-1)


def main() -> None:
    """Serve a model until killed."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    with TextServer(model, tokenizer, port=arguments.port) as server:
        server.adds_special = True
        print(server.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
