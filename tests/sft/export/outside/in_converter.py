"""llama.cpp's converter for a tokenizer that it does not know: `in_converter.py MODEL OPTIONS…`.

It recognises published tokenizers by how they divide a text, and refuses all others.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from typing import Any

LLAMA_CPP = Path(os.environ["LLAMA_CPP"])


def main() -> None:
    sys.path[:0] = [str(LLAMA_CPP), str(LLAMA_CPP / "gguf-py")]
    from conversion.base import TextModel

    model: Any = TextModel
    model.get_vocab_base_pre = lambda self, tokenizer: "llama-bpe"
    script = LLAMA_CPP / "convert_hf_to_gguf.py"
    sys.argv[0] = str(script)
    runpy.run_path(str(script), run_name="__main__")


if __name__ == "__main__":
    main()
