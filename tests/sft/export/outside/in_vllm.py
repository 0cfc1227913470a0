"""What vLLM makes of a model: `python in_vllm.py OUT FOLDER`."""

from __future__ import annotations

import json
import os
import sys

TOP = 20


def main() -> None:
    os.environ |= {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    from in_transformers import IDS, TURNS
    from vllm import LLM, SamplingParams, TokensPrompt

    out, folder = sys.argv[1:]
    llm = LLM(folder, dtype="float32", enforce_eager=True, max_model_len=512, max_logprobs=TOP)
    asked = SamplingParams(max_tokens=1, prompt_logprobs=TOP)
    (done,) = llm.generate(TokensPrompt(prompt_token_ids=IDS), asked)
    (chat,) = llm.chat(TURNS, SamplingParams(max_tokens=1))
    defaults = llm.get_default_sampling_params()
    found = {
        "top": [
            {token: each.logprob for token, each in position.items() if each.rank <= TOP}
            for position in done.prompt_logprobs[1:]
        ],
        "chat": list(chat.prompt_token_ids),
        "sampling": [defaults.temperature, defaults.top_p],
    }
    with open(out, "w") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main()
