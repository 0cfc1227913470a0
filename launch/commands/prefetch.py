"""`pacos prefetch`: what a config names on the hub, downloaded where there is a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from eval.config import EvalConfig
from launch.config import SCHEMA_OF, SCHEMAS, AnyConfig, JobConfig, PipelineConfig
from launch.local import child_environment
from pacos.configs.compose import compose_with_problems
from pacos.configs.frozen import freeze, load_frozen
from pacos.configs.shared import Init
from pacos.data.location import Kind, locate
from pacos.errors import EXIT_DONE, EXIT_USER_ERROR, ConfigError, UserError
from pacos.files import read_json
from pacos.model.hub import DATA_FILES, TOKENIZER_FILES, WEIGHT_FILES, Repository, fetch, files_of
from pacos.model.paths import EMBEDDED, exported_model, looks_local
from pacos.run_paths import RunPaths
from sft.config import SFTConfig
from sft.configs.compute import Attention

USAGE = """\
usage: pacos prefetch [sft|eval|selfinstruct|pipeline] KEY=VALUE…   with the words of that command
       pacos prefetch RUN                                        what a run names

Downloads, on a machine with a network, what the config names on the Hugging Face hub: weights,
tokenizers, data sets, data of the evaluation's tasks, kernels of attention=kernels. It says sizes
first, looks at the disk, takes what an earlier try has left, and explains models whose licence has
to be accepted. Jobs on nodes without a network find all in the cache, which they must see: HF_HOME,
with HF_HUB_OFFLINE=1 they do not even ask."""

OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
"""A site sets them for jobs; they do not count for whoever wants to download."""

MODELS = ("model.path", "generator.model")
LATER = ("data.path", "target", "baseline")
"""Keys whose values may name something on the hub, or what other commands will have made."""

ARROW = 2
"""Copies of a data set: as it is downloaded, and as the library datasets keeps it."""


def run_prefetch(arguments: Sequence[str]) -> int:
    """Download what a config names; returns the exit code.

    Raises:
        UserError: the config cannot be read, or the disk is too small.
    """
    configs = _configs(arguments)
    for name in OFFLINE:
        os.environ.pop(name, None)
    wanted = list(dict.fromkeys(one for config in configs for one in repositories(config)))
    problems: list[str] = []
    there = _announced(wanted, problems)
    for repository in there:
        if repository.kind == "model":
            print(f"{repository.name}: {fetch(repository)}", flush=True)
    for program, part in [pair for config in configs for pair in _programs(config)]:
        data = {one for one in repositories(part) if one.kind == "dataset"}
        if data <= set(there):
            problems += _run(program, part)
    for problem in problems:
        print(f"pacos: {problem}", file=sys.stderr)
    return EXIT_USER_ERROR if problems else EXIT_DONE


def _configs(arguments: Sequence[str]) -> list[JobConfig]:
    """The configs of the stages that a command line means; data may be wrong or missing in them."""
    if len(arguments) == 1 and RunPaths(Path(arguments[0])).manifest.is_file():
        run = RunPaths(Path(arguments[0]))
        config: AnyConfig = load_frozen(run.config, SCHEMA_OF[read_json(run.manifest)["stage"]])
    else:
        first = arguments[0] if arguments else ""
        stage = first if first in SCHEMA_OF else SFTConfig.STAGE
        words = arguments[1:] if first in SCHEMA_OF else arguments
        wrong = [word for word in words if "=" not in word]
        if wrong or not words:
            shown = f"{wrong[0]}: neither a run nor KEY=VALUE\n" if wrong else ""
            raise UserError(f"{shown}{USAGE}")
        config, problems = compose_with_problems(SCHEMA_OF[stage], SCHEMAS, words)
        typed = {word.partition("=")[0] for word in words}
        hindering = [one for one in problems if one.key in typed & set(MODELS)]
        if hindering:
            raise ConfigError(hindering)
        for problem in problems:
            if problem.key in typed & set(LATER):
                print(f"{problem.key} = {problem.value}: not here, and not on the hub")
    if isinstance(config, PipelineConfig):
        return list(config.stages(Path(config.run.root)))
    return [config]


def repositories(config: JobConfig) -> Iterator[Repository]:
    """What a config names on the hub, but for the data of the evaluation's tasks."""
    if isinstance(config, SFTConfig):
        if _on_hub(config.model.path):
            drawn = config.model.init is Init.random
            patterns = TOKENIZER_FILES if drawn else (*TOKENIZER_FILES, *WEIGHT_FILES)
            yield Repository("model.path", config.model.path, config.model.revision, patterns)
        for number, path in enumerate(config.data.weights()):
            location = _location(path)
            if location is not None:
                key = "data.mix" if number else "data.path"
                name, revision = location
                yield Repository(key, name, revision, DATA_FILES, "dataset")
    elif isinstance(config, EvalConfig):
        for path in config.models().values():
            if _on_hub(path) and exported_model(path) is None:
                yield Repository("target", path)
    elif config.generator.model is not None and _on_hub(config.generator.model):
        yield Repository("generator.model", config.generator.model)


def _on_hub(path: str) -> bool:
    return bool(path) and not path.startswith(EMBEDDED) and not looks_local(path)


def _location(path: str) -> tuple[str, str | None] | None:
    """Id and revision of a data set of the hub; None for others, and for what is not there."""
    try:
        location = locate(path)
    except UserError:
        return None
    return (str(location.path), location.revision) if location.kind is Kind.hub else None


def _announced(wanted: Sequence[Repository], problems: list[str]) -> list[Repository]:
    """Say what will be downloaded; what cannot be had is put among the problems.

    Raises:
        UserError: the disk has no room for it.
    """
    there, needed = [], 0
    for repository in wanted:
        try:
            files = files_of(repository)
        except UserError as error:
            problems.append(str(error))
            continue
        missing = [file for file in files if file.will_download]
        size = sum(file.file_size or 0 for file in missing)
        needed += size * (ARROW if repository.kind == "dataset" else 1)
        left = f"{len(missing)} to download, {_gb(size)}" if missing else "all of them here"
        print(f"{repository.name} ({repository.key}): {len(files)} files, {left}", flush=True)
        there.append(repository)
    from huggingface_hub.constants import HF_HUB_CACHE

    cache = Path(HF_HUB_CACHE)
    folder = next(path for path in (cache, *cache.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"HF_HOME: {_gb(needed)} are to be downloaded, and {folder} has {_gb(free)} free; set "
            "HF_HOME to a folder on a larger disk, the same for the jobs"
        )
    return there


def _programs(config: JobConfig) -> Iterator[tuple[str, JobConfig]]:
    """The programs that download what only other libraries can, each with its config."""
    if isinstance(config, SFTConfig):
        has_data = any(one.kind == "dataset" for one in repositories(config))
        if has_data or config.attention is Attention.kernels:
            yield "sft.prefetch", config
        if config.inloop.suite is not None:
            yield "eval.harness.prefetch", EvalConfig(target="", suite=config.inloop.suite)
    elif isinstance(config, EvalConfig) and config.suite.tasks:
        yield "eval.harness.prefetch", config


def _run(program: str, config: JobConfig) -> list[str]:
    """Run a program of a stage; returns what it could not do."""
    with tempfile.TemporaryDirectory(prefix="pacos-prefetch-") as folder:
        file = Path(folder) / "config.yaml"
        freeze(config, file)
        done = subprocess.run(
            [sys.executable, "-m", program, "--config", str(file)],
            env=child_environment(config),
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    if done.returncode == EXIT_DONE:
        return []
    said = [line.removeprefix("pacos: ") for line in done.stderr.splitlines() if line.strip()]
    return ["\n".join(said) if done.returncode == EXIT_USER_ERROR else f"{program}: {said[-1:]}"]


def _gb(size: float) -> str:
    return f"{size / 1e9:,.2f} GB" if size >= 1e7 else f"{size / 1e3:,.1f} kB"
