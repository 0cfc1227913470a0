"""A server whose model judges: by the length of what it is shown, and badly where it is told to.

python -m tests.eval.geval.judge_server --port 8000
"""

from __future__ import annotations

import argparse
import hashlib
import math
import re
import threading
from collections.abc import Callable
from typing import Any

from tests.pacos.llm.scripted_server import ScriptedServer

OUTPUT = re.compile(r"<(output\w*)>\n(.*?)\n</\1>", re.DOTALL)
STEPS = "1. Read the text.\n2. Look for what the criterion names.\n3. Choose a score."


class JudgeServer(ScriptedServer):
    """Speaks OpenAI's API; its model writes steps, scores and preferences.

    Attributes:
        gives_logprobs: whether it sends them when it is asked.
        says: the model's reply to a request for a score, from the score that it has in mind.
    """

    gives_logprobs = True
    says: Callable[[float], str] = staticmethod(lambda score: f"{score:g}")

    def reply(self, sent: dict[str, Any], prompt: str) -> dict[str, Any]:
        """A completion object."""
        shown = [text for _, text in OUTPUT.findall(prompt)]
        likeliest: dict[str, float] = {}
        if len(shown) == 2:
            text = self.prefer(*shown)
        elif shown:
            score = self.score(shown[0])
            likeliest = {f"{near}": 0.25 for near in (score - 1, score + 1) if 1 <= near <= 5}
            likeliest[f"{score}"] = 1.0 - sum(likeliest.values()) - 0.01
            drawn = score if sent["temperature"] == 0 else self.draw(sent, prompt, likeliest)
            text = self.says(drawn)
        else:
            text = STEPS
        message = {"role": "assistant", "content": text}
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "message": message}
        if sent.get("logprobs") and self.gives_logprobs:
            choice["logprobs"] = {"content": [_token(piece, likeliest) for piece in text]}
        usage = {"prompt_tokens": len(prompt) // 4, "completion_tokens": len(text)}
        return {"object": "completion", "choices": [choice], "model": sent["model"], "usage": usage}

    @staticmethod
    def score(text: str) -> int:
        """1 to 5, the higher the longer the text is."""
        return min(5, 1 + len(text) // 20)

    def prefer(self, first: str, second: str) -> str:
        """The longer, and of equals the first."""
        return "2" if len(second) > len(first) else "1"

    def draw(self, sent: dict[str, Any], prompt: str, likeliest: dict[str, float]) -> float:
        """A score drawn from the probabilities, another at each time that one is asked for."""
        digest = hashlib.sha256(f"{prompt}{self.seen[prompt]}".encode()).digest()
        at, reached = int.from_bytes(digest[:8], "big") / 2**64, 0.0
        for score, share in sorted(likeliest.items()):
            reached += share
            if at < reached:
                return float(score)
        return float(max(likeliest))


def _token(piece: str, likeliest: dict[str, float]) -> dict[str, Any]:
    """One character as a token; at a digit, the other scores are there with their probabilities."""
    places = likeliest if piece in likeliest else {piece: 1.0}
    top = [{"token": text, "logprob": math.log(share)} for text, share in places.items()]
    return {"token": piece, "logprob": math.log(places[piece]), "top_logprobs": top}


def main() -> None:
    """Serve until killed; prints the base URL first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    with JudgeServer(port=parser.parse_args().port) as server:
        print(server.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
