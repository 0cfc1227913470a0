"""Small files of rows, and what is trained on of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pacos.distributed import World
from sft.data.mixture import Mixture

ALONE = World(rank=0, size=1, local_rank=0)


def record(name: str, number: int) -> dict[str, Any]:
    terms = {"terms": f"terms of {name}"}
    return {"instruction": f"{name} {number}", "output": f"{number}.", "lineage": terms}


def write(path: Path, rows: list[Any]) -> str:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(line + "\n" for line in lines))
    return str(path)


def instructions(tokenizer: Any, data: Mixture) -> list[str]:
    texts = [tokenizer.decode(data.row(index).ids) for index in range(len(data))]
    return [text.partition("user\n")[2].partition("<|im_end|>")[0] for text in texts]
