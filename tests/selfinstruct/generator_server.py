"""A server that writes tasks: the same ones for the same request, some of them bad.

python -m tests.selfinstruct.generator_server --port 8000
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.pacos.llm.scripted_server import ScriptedServer

VERBS = ["Describe", "Sketch in words", "Invent", "Compare", "Praise", "Mock", "Sell", "Defend"]
THINGS = ["a blue harbour", "two old clocks", "the last tram", "some spilt tea", "one loud parrot"]
PLACES = ["in Oslo", "under heavy rain", "for my aunt", "at dawn", "on a slow train", "by heart"]
MANNERS = ["rhyming twice", "as a riddle", "without verbs", "for sailors", "like a judge would"]
ENGLISH = (VERBS, THINGS, PLACES, MANNERS)
KOREAN = (
    ["푸른 항구의", "낡은 시계의", "마지막 전차의", "쏟은 찻물의", "시끄러운 앵무새의"],
    ["아침을", "비 오는 날을", "오랜 친구를", "느린 기차를", "옛 추억을"],
    ["이모에게", "선원에게", "판사에게", "아이에게", "선생님에게"],
    [
        "두 문장으로 설명해 주세요.",
        "수수께끼로 말해 주세요.",
        "편지로 써 주세요.",
        "칭찬해 주세요.",
    ],
)


class GeneratorServer(ScriptedServer):
    """Speaks OpenAI's API; its model writes tasks in JSON, as blocks, or as a list."""

    words: Sequence[str] = ()
    """Eight of these end each instruction: with some thousands, hardly two are alike."""

    def asked(self) -> Counter[str]:
        """How often each request came."""
        return Counter(json.dumps(sent, sort_keys=True) for sent in list(self.bodies))

    def reply(self, sent: dict[str, Any], prompt: str) -> dict[str, Any]:
        """A completion object with tasks in it."""
        text = write(sent, prompt, self.words)
        draw = _random(sent)
        finish = "length" if draw.random() < 0.2 else "stop"
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish}
        if "prompt" in sent:
            choice["text"] = text
        else:
            choice["message"] = {"role": "assistant", "content": text}
        usage = {"prompt_tokens": len(prompt) // 4, "completion_tokens": len(text) // 4}
        return {"object": "completion", "choices": [choice], "model": sent["model"], "usage": usage}


def _random(sent: dict[str, Any]) -> random.Random:
    return random.Random(hashlib.sha256(json.dumps(sent, sort_keys=True).encode()).digest())


def write(sent: dict[str, Any], prompt: str, words: Sequence[str] = ()) -> str:
    """What the model says to a request."""
    draw = _random(sent)
    if words:
        return json.dumps({"tasks": [_wide_task(draw, words) for _ in range(5)]})
    korean = sum("가" <= letter <= "힣" for letter in prompt) > len(prompt) / 5
    if prompt.endswith(("Is it classification?", "분류 과제인가?")):
        return draw.choice(["Yes", "No"] if not korean else ["예", "아니요"])
    if "response_format" in sent:
        form = sent["response_format"]["json_schema"]["schema"]["properties"]
        return json.dumps(_json(form, draw, korean), ensure_ascii=False)
    if prompt.splitlines()[-1].startswith("Task:"):
        if "Class label:" in prompt:
            return "Class label: warm\nthe sun\nClass label: cold\nan icicle"
        return f"Output: {_answer(draw, korean)}"
    if "Instruction:" in prompt:
        given = f"4. Input:\nnone\n4. Output:\n{_answer(draw, korean)}"
        second = "5. Instruction: one without an output part"
        return f" {_instruction(draw, korean)}\n{given}\n###\n{second}"
    return "\n".join(f"{n}. {_instruction(draw, korean)}" for n in range(9, 12))


def _json(form: dict[str, Any], draw: random.Random, korean: bool) -> dict[str, Any]:
    if "score" in form:
        return {"reason": "so", "score": draw.choice([3, 8, 9])}
    if "fraud" in form:
        answers = {name: False for name in form if name != "reason"}
        return {"reason": "so", **answers, "fraud": draw.random() < 0.3}
    if "tasks" in form:
        tasks: list[dict[str, str]] = [
            {
                "instruction": _instruction(draw, korean),
                "input": "",
                "output": _answer(draw, korean),
            }
            for _ in range(2)
        ]
        return {"tasks": [*tasks, {"instruction": _instruction(draw, korean), "output": ""}]}
    if "instructions" in form:
        return {"instructions": [_instruction(draw, korean) for _ in range(3)]}
    if "label" in form["instances"]["items"]["properties"]:
        pairs = [("따뜻함", "오월의 햇볕"), ("차가움", "처마 끝 고드름")]
        english = [("warm", "the sun in May"), ("cold", "an icicle at the gutter")]
        return {
            "instances": [
                {"label": label, "input": text} for label, text in (pairs if korean else english)
            ]
        }
    return {"instances": [{"input": "", "output": _answer(draw, korean)}]}


def _wide_task(draw: random.Random, words: Sequence[str]) -> dict[str, str]:
    named = f"{_instruction(draw, False)}, naming {' '.join(draw.choices(words, k=8))}"
    return {"instruction": named, "input": "", "output": _answer(draw, False)}


def _instruction(draw: random.Random, korean: bool) -> str:
    return " ".join(draw.choice(part) for part in (KOREAN if korean else ENGLISH))


def _answer(draw: random.Random, korean: bool) -> str:
    number = draw.randrange(1000)
    if korean:
        return f"물론입니다. 답은 {number}번째 줄에 적어 둔 이야기에 모두 들어 있습니다."
    return f"It is answer number {number}, written out in full and with some care."


def main() -> None:
    """Serve until killed; prints the base URL first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    with GeneratorServer(port=parser.parse_args().port) as server:
        print(server.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
