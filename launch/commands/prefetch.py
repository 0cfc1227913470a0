"""`pacos prefetch`: download what a config names on the hub, where there is a network."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from eval.config import EvalConfig
from launch.commands.parser import CommandParser
from launch.config import SCHEMA_OF, SCHEMAS, AnyConfig, JobConfig, PipelineConfig
from launch.local import child_environment
from pacos.configs.compose import compose_with_problems
from pacos.configs.frozen import freeze, load_frozen
from pacos.configs.model import Init
from pacos.data.location import locate
from pacos.errors import EXIT_DONE, EXIT_USER_ERROR, ConfigError, UserError
from pacos.files import read_json
from pacos.model.hub import DATA_FILES, TOKENIZER_FILES, WEIGHT_FILES, Repository, fetch, files_of
from pacos.model.paths import EMBEDDED, exported_model, looks_local
from pacos.run_paths import RunPaths
from sft.config import SFTConfig
from sft.configs.compute import Attention

DETAILS = """\
Download from the Hugging Face hub, on a machine with a network, what a config names: weights,
tokenizers, data sets, data of benchmarks, and the kernels of attention=kernels.

Takes the overrides of the command that will need them (sft unless another is named first), or a
run. It prints sizes and checks the disk first, resumes broken downloads, and explains models whose
licence has to be accepted. Jobs on nodes without a network then find everything in the cache, which
HF_HOME must place on a file system that they see. HF_HUB_OFFLINE=1 keeps them from trying the
network first."""

OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
"""Variables that sites set for jobs. They are ignored here, where downloading is the purpose."""

MODEL_KEYS = ("model.path", "generator.model")
"""Keys whose values name a model on the hub and must be right."""
OPTIONAL_KEYS = ("data.path", "validation.path", "target", "baseline")
"""Keys whose values may name something on the hub, or what another command will still create."""

DATASET_COPIES = 2
"""Copies of a data set on disk: the downloaded files, and Arrow files made from them."""


def declare(parser: CommandParser) -> None:
    """Declare the arguments of the command."""
    parser.description = DETAILS
    parser.accept_overrides(f"[{'|'.join(SCHEMA_OF)}] KEY=VALUE… | RUN")


def run(args: argparse.Namespace) -> int:
    """Download what a config names and return the exit code.

    Raises:
        UserError: the config cannot be read, or the disk is too small.
    """
    configs = _configs(args.overrides)
    for name in OFFLINE_VARIABLES:
        os.environ.pop(name, None)
    wanted = list(dict.fromkeys(item for config in configs for item in repositories(config)))
    problems: list[str] = []
    available = _announce(wanted, problems)
    for repository in available:
        if repository.kind == "model":
            print(f"{repository.name}: {fetch(repository)}", flush=True)
    for program, part in [pair for config in configs for pair in _programs(config)]:
        # Without one of its data sets a program would only fail again.
        datasets = {item for item in repositories(part) if item.kind == "dataset"}
        if datasets <= set(available):
            problems += _run(program, part)
    for problem in problems:
        print(f"pacos: {problem}", file=sys.stderr)
    return EXIT_USER_ERROR if problems else EXIT_DONE


def _configs(args: Sequence[str]) -> list[JobConfig]:
    """Return the configs of the stages that a command line is about.

    Their data may be missing: another command may create it before the stage runs.
    """
    if len(args) == 1 and RunPaths(Path(args[0])).manifest.is_file():
        run = RunPaths(Path(args[0]))
        config: AnyConfig = load_frozen(run.config, SCHEMA_OF[read_json(run.manifest)["stage"]])
    else:
        first = args[0] if args else ""
        stage = first if first in SCHEMA_OF else SFTConfig.STAGE
        overrides = args[1:] if first in SCHEMA_OF else args
        _refuse_other_words(overrides)
        config, problems = compose_with_problems(SCHEMA_OF[stage], SCHEMAS, overrides)
        typed = {override.partition("=")[0] for override in overrides}
        blocking = [problem for problem in problems if problem.key in typed & set(MODEL_KEYS)]
        if blocking:
            raise ConfigError(blocking)
        for problem in problems:
            if problem.key in typed & set(OPTIONAL_KEYS):
                print(f"{problem.key} = {problem.value}: not on this machine and not on the hub")
    if isinstance(config, PipelineConfig):
        return list(config.stages(Path(config.run.root)))
    return [config]


def _refuse_other_words(overrides: Sequence[str]) -> None:
    see = "pacos prefetch --help shows the usage"
    for override in overrides:
        if "=" not in override:
            raise UserError(f"{override}: neither a run nor KEY=VALUE; {see}")
    if not overrides:
        raise UserError(f"prefetch: give the overrides of a command, or a run; {see}")


def repositories(config: JobConfig) -> Iterator[Repository]:
    """Yield what a config names on the hub, apart from the data of benchmarks."""
    if isinstance(config, SFTConfig):
        if _on_hub(config.model.path):
            is_random = config.model.init is Init.random
            patterns = TOKENIZER_FILES if is_random else (*TOKENIZER_FILES, *WEIGHT_FILES)
            yield Repository("model.path", config.model.path, config.model.revision, patterns)
        first, *others = config.data.weights()
        sources = [("data.path", first), *(("data.mix", path) for path in others)]
        if config.validation.path is not None:
            sources.append(("validation.path", config.validation.path))
        for key, path in sources:
            dataset = _hub_dataset(path)
            if dataset is not None:
                name, revision = dataset
                yield Repository(key, name, revision, DATA_FILES, "dataset", path)
    elif isinstance(config, EvalConfig):
        for path in config.models().values():
            if _on_hub(path) and exported_model(path) is None:
                yield Repository("target", path)
    elif config.generator.model is not None and _on_hub(config.generator.model):
        yield Repository("generator.model", config.generator.model)


def _on_hub(path: str) -> bool:
    return bool(path) and not path.startswith(EMBEDDED) and not looks_local(path)


def _hub_dataset(path: str) -> tuple[str, str | None] | None:
    """Return id and revision of a data set on the hub; None for local data and missing paths."""
    try:
        location = locate(path)
    except UserError:
        return None
    return (str(location.path), location.revision) if location.on_hub else None


def _announce(wanted: Sequence[Repository], problems: list[str]) -> list[Repository]:
    """Print what will be downloaded and return the repositories that can be.

    Args:
        wanted: what the configs name.
        problems: gets a message for each repository that cannot be downloaded.

    Raises:
        UserError: the disk has too little space.
    """
    available, needed = [], 0
    for repository in wanted:
        try:
            files = files_of(repository)
        except UserError as error:
            problems.append(str(error))
            continue
        missing = [file for file in files if file.will_download]
        size = sum(file.file_size or 0 for file in missing)
        needed += size * (DATASET_COPIES if repository.kind == "dataset" else 1)
        left = f"{len(missing)} to download, {_gb(size)}" if missing else "all of them in the cache"
        print(f"{repository.name} ({repository.key}): {len(files)} files, {left}", flush=True)
        available.append(repository)
    # Deferred, because the package resolves HF_HOME when it is imported.
    from huggingface_hub.constants import HF_HUB_CACHE

    cache = Path(HF_HUB_CACHE)
    folder = next(path for path in (cache, *cache.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"HF_HOME: the download needs {_gb(needed)}, and {folder} has {_gb(free)} free; set "
            "HF_HOME to a folder on a larger disk, for the jobs as well"
        )
    return available


def _programs(config: JobConfig) -> Iterator[tuple[str, JobConfig]]:
    """Yield the stage programs that download what only heavy libraries can, with their configs."""
    if isinstance(config, SFTConfig):
        has_data = any(item.kind == "dataset" for item in repositories(config))
        if has_data or config.attention is Attention.kernels:
            yield "sft.prefetch", config
        if config.inloop.suite is not None:
            yield "eval.harness.prefetch", EvalConfig(target="", suite=config.inloop.suite)
    elif isinstance(config, EvalConfig) and config.suite.tasks:
        yield "eval.harness.prefetch", config


def _run(program: str, config: JobConfig) -> list[str]:
    """Run a download program and return its problems."""
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
    lines = [line.removeprefix("pacos: ") for line in done.stderr.splitlines() if line.strip()]
    return ["\n".join(lines) if done.returncode == EXIT_USER_ERROR else f"{program}: {lines[-1:]}"]


def _gb(size: float) -> str:
    return f"{size / 1e9:,.2f} GB" if size >= 1e7 else f"{size / 1e3:,.1f} kB"
