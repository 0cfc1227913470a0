"""What a version of transformers makes of models: `python in_transformers.py OUT FOLDER…`."""

from __future__ import annotations

import sys

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

TEXT = "Hello <|im_end|>wörld\n\n  한국어 12,345 don't stop , ok ?"
TURNS = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Yes ."},
    {"role": "user", "content": "Bye"},
]
IDS = [number * 7919 % 251 for number in range(400)]


def main() -> None:
    out, *folders = sys.argv[1:]
    found = {"version": transformers.__version__}
    for folder in folders:
        model, loading = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        ids = tokenizer(TEXT)["input_ids"]
        with torch.no_grad():
            logits = model.float()(torch.tensor([IDS])).logits[0]
        inputs = tokenizer("Count", return_tensors="pt")
        written = model.generate(**inputs, max_new_tokens=4, do_sample=False)
        found[folder] = {
            "logits": logits,
            "missing": [*loading["missing_keys"], *loading["unexpected_keys"]],
            "dtype": str(next(model.parameters()).dtype),
            "ids": ids,
            "text": tokenizer.decode(ids),
            "chat": tokenizer.apply_chat_template(
                TURNS, tokenize=False, add_generation_prompt=True
            ),
            "special": sorted(tokenizer.all_special_tokens),
            "stop": tokenizer.eos_token_id,
            "pad": tokenizer.pad_token_id,
            "written": written[0].tolist(),
            "sampling": [
                model.generation_config.do_sample,
                model.generation_config.temperature,
                model.generation_config.top_p,
            ],
            "stops": model.generation_config.eos_token_id,
        }
    torch.save(found, out)


if __name__ == "__main__":
    main()
