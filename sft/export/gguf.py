"""Conversion of an exported model to GGUF, by llama.cpp's own converter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pacos.errors import UserError
from sft.configs.export import ExportDtype

CONVERTER = "convert_hf_to_gguf.py"
OUT_TYPES = {ExportDtype.bf16.value: "bf16", ExportDtype.fp32.value: "f32"}
"""The converter's names of number formats."""


def find_converter(path: str) -> Path:
    """Return llama.cpp's converter.

    Args:
        path: the script, or a folder that holds it.

    Raises:
        UserError: it is not there.
    """
    given = Path(path).expanduser()
    script = given / CONVERTER if given.is_dir() else given
    if path and script.is_file():
        return script
    raise UserError(
        f"--gguf {path or None}: no {CONVERTER} there; it comes with llama.cpp: git clone "
        f"https://github.com/ggml-org/llama.cpp, then --gguf llama.cpp/{CONVERTER}"
    )


def convert(converter: Path, model: Path, dtype: str) -> Path:
    """Convert a model directory, and return the GGUF file in it. An existing one is kept.

    Raises:
        UserError: the converter fails.
    """
    file = model / f"model-{dtype}.gguf"
    if file.is_file():
        return file
    partial = file.with_name(f".{file.name}.tmp")
    # The converter imports the modules beside it, which this variable would forbid.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    command = [sys.executable, str(converter), str(model)]
    command += ["--outfile", str(partial), "--outtype", OUT_TYPES[dtype]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        partial.unlink(missing_ok=True)
        said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise UserError(
            f"--gguf {converter}: it failed on {model}: {said}; the model itself is complete, and "
            "the same command tries again"
        )
    partial.rename(file)
    return file
