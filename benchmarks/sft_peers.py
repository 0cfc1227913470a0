r"""One rank of a peer's trainer on tokenised rows, to compare with pacos.

torchrun --nproc_per_node 2 -m benchmarks.sft_peers \
    WAY ROWS MODEL MAX_LENGTH STEP_ROWS PRECISION MICRO

WAY `trl` is TRL's SFTTrainer with best-fit packing and its chunked loss. `alpaca` is transformers'
Trainer with batches padded to their longest row, as Alpaca was trained. ROWS is a JSONL file of
input_ids and labels. PRECISION is fp32, or bf16: weights in fp32 and matrix products in bf16, as in
pacos. MICRO is packs or rows per rank and pass. Trains one epoch with DDP over the ranks; rank 0
prints one JSON object: seconds and loss of each step.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments

from pacos.files import read_jsonl
from pacos.prompts.tokens import IGNORE


class Clock(TrainerCallback):
    """Records the seconds of each step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._started = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds.append(time.perf_counter() - self._started)


def padded(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Collate a batch as Alpaca's collator does."""
    longest = max(len(row["input_ids"]) for row in rows)

    def pad(key: str, filling: int) -> torch.Tensor:
        return torch.tensor(
            [row[key] + [filling] * (longest - len(row["input_ids"])) for row in rows]
        )

    for row in rows:
        row["attention_mask"] = [1] * len(row["input_ids"])
    return {
        "input_ids": pad("input_ids", 0),
        "attention_mask": pad("attention_mask", 0),
        "labels": pad("labels", IGNORE),
    }


def common(folder: str, accumulation: int, sizes: dict[str, Any]) -> dict[str, Any]:
    return {
        "output_dir": folder,
        "use_cpu": True,
        "bf16": sizes["bf16"],
        "per_device_train_batch_size": sizes["micro"],
        "gradient_accumulation_steps": accumulation,
        "gradient_checkpointing": False,
        "ddp_find_unused_parameters": False,
        "num_train_epochs": 1,
        "learning_rate": 1e-5,
        "lr_scheduler_type": "constant",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
    }


def trainer_of(way: str, model: Any, path: Path, folder: str, sizes: dict[str, Any]) -> Any:
    rows = list(read_jsonl(path))
    data = Dataset.from_list([{key: row[key] for key in ("input_ids", "labels")} for row in rows])
    micro, ranks = sizes["micro"], sizes["ranks"]
    if way == "alpaca":
        per_rank = sizes["step_rows"] // ranks
        arguments = TrainingArguments(
            **common(folder, per_rank // micro, sizes), remove_unused_columns=False
        )
        return Trainer(model=model, args=arguments, train_dataset=data, data_collator=padded)
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    tokens = sum(len(row["input_ids"]) for row in rows)
    packs_a_step = tokens * sizes["step_rows"] / len(rows) / sizes["max_length"]
    settings = SFTConfig(
        **common(folder, max(1, round(packs_a_step / ranks / micro)), sizes),
        max_length=sizes["max_length"],
        packing=True,
        packing_strategy="bfd",
        dataset_num_proc=1,
    )
    tokenizer = AutoTokenizer.from_pretrained(sizes["model"])
    return SFTTrainer(model=model, args=settings, train_dataset=data, processing_class=tokenizer)


def main() -> int:
    """Train one epoch as one rank, and return the exit code."""
    way, rows, model_path, max_length, step_rows, precision, micro = sys.argv[1:]
    torch.manual_seed(0)
    model: Any = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32)
    model.config.use_cache = False
    ranks = int(os.environ["WORLD_SIZE"])
    sizes: dict[str, Any] = {
        "max_length": int(max_length),
        "step_rows": int(step_rows),
        "micro": int(micro),
        "bf16": precision == "bf16",
        "ranks": ranks,
        "model": model_path,
    }
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(way, model, Path(rows), folder, sizes)
        trainer.add_callback(clock)
        trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    if trainer.is_world_process_zero():
        print(json.dumps({"seconds": clock.seconds, "losses": losses}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
