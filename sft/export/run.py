"""The program of `pacos export`: a model from a checkpoint, without training and without ranks.

python -m sft.export.run '{"run": "runs/my-run", "checkpoint": "best"}'
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from pacos.cards.model import renew_card
from pacos.configs.frozen import load_frozen
from pacos.console import set_up_logging
from pacos.distributed import World
from pacos.errors import EXIT_DONE, UserError, disk_problem, exit_with
from pacos.files import read_json
from pacos.identity import identity
from pacos.lineage.library import Library, root_of
from pacos.run.lives import Lives
from pacos.run_paths import RunPaths
from sft.checkpoints.manifest import CheckpointManifest
from sft.config import SFTConfig
from sft.configs.export import ExportDtype, ExportRequest
from sft.export.choose import choose_checkpoint, verify
from sft.export.gguf import convert, find_converter
from sft.export.push import prepare_push, push

ALONE = World(rank=0, size=1, local_rank=0)


def main(arguments: Sequence[str]) -> int:
    """Carry out one request, given as JSON; return the exit code."""
    set_up_logging(is_main=True)
    request = ExportRequest(**json.loads(arguments[0]))
    try:
        # Both before anything else: an export may take an hour.
        converter = None if request.gguf is None else find_converter(request.gguf)
        token = None if request.push is None else prepare_push(request.push)
        folder = export(request)
        if converter is not None:
            print(f"{convert(converter, folder, request.dtype)} written", flush=True)
        if request.push is not None and token is not None:
            address = push(folder, request.push, token, public=request.public)
            print(f"{folder} pushed: {address}", flush=True)
    except UserError as error:
        return exit_with(error)
    return EXIT_DONE


def export(request: ExportRequest) -> Path:
    """Make a model of a checkpoint and return its folder.

    A folder that already holds this model is taken as it is if it shall be converted or pushed.

    Raises:
        UserError: there is no such checkpoint, it is damaged, a process works on the run, the
            folder exists, or the disk is too small.
    """
    run, config = _open(Path(request.run).expanduser())
    folder, manifest = choose_checkpoint(run, request.checkpoint)
    out = request.out_folder(run.path, manifest.step).absolute()
    if _is_there(out, request, config, manifest, run):
        # An evaluation since then has scores for it.
        renew_card(out, Library.below(root_of(run.path)))
        return out
    if Lives(run).is_locked():
        raise UserError(
            f"{run.path}: a process is at work there, which may remove a checkpoint while it is "
            f"read; wait for it, or end it with: touch {run.stop}"
        )
    if manifest.identity != identity(config):
        raise UserError(f"{folder} belongs to a run with another config; move it away")
    print(f"verifying {folder}", flush=True)
    verify(folder, manifest)
    try:
        _write(run, config, folder, manifest, out, request)
    except OSError as error:
        raise disk_problem(error, out) or error from error
    return out


def _open(path: Path) -> tuple[RunPaths, SFTConfig]:
    """Return a run of sft, or that of a pipeline, with its config."""
    for run in (RunPaths(path), RunPaths(path).stage(SFTConfig.STAGE)):
        if run.manifest.is_file() and read_json(run.manifest)["stage"] == SFTConfig.STAGE:
            return RunPaths(run.path.absolute()), load_frozen(run.config, SFTConfig)
    raise UserError(
        f"{path}: no run of pacos sft, and no pipeline; give a folder such as runs/my-run"
    )


def _is_there(
    out: Path,
    request: ExportRequest,
    config: SFTConfig,
    manifest: CheckpointManifest,
    run: RunPaths,
) -> bool:
    """Return True if the folder holds the model that is asked for, and only more of it is wanted.

    Raises:
        UserError: it holds something else, or nothing more is wanted.
    """
    from sft.export.writer import Origin

    if not out.exists():
        return False
    wanted = Origin.of_run(config, run, manifest.data, manifest.step, request.dtype)
    if Origin.read(out) == wanted and (request.gguf is not None or request.push is not None):
        print(f"{out} holds this model already", flush=True)
        return True
    raise UserError(f"--out {out}: exists; remove it, or name another folder with --out")


def _write(
    run: RunPaths,
    config: SFTConfig,
    folder: Path,
    manifest: CheckpointManifest,
    out: Path,
    request: ExportRequest,
) -> None:
    from sft.data.tokenizer import build_tokenizer
    from sft.export.card import card_of_run
    from sft.export.checkpoint import CheckpointWeights
    from sft.export.writer import Origin, write_model
    from sft.model.skeleton import build_skeleton

    # Relative paths in the config start at the folder of the run's first command.
    with contextlib.suppress(OSError):
        os.chdir(read_json(run.manifest)["folder"])
    tokenizer = build_tokenizer(config.model)
    model = build_skeleton(config.model, tokenizer)
    weights = CheckpointWeights(folder, manifest, model, config.precision, ALONE)
    _require_room(out, sum(weights.sizes.values()), request)
    origin = Origin.of_run(config, run, manifest.data, manifest.step, request.dtype)
    card = card_of_run(run, origin, Library.below(root_of(run.path)))
    write_model(out, model, weights, tokenizer, config, card, origin, world=ALONE, replaces=False)
    print(f"model of step {manifest.step} exported to {out}", flush=True)


def _require_room(out: Path, parameters: int, request: ExportRequest) -> None:
    """Check that the disk has room for the model, and for its GGUF file if one is wanted."""
    size = parameters * (2 if request.dtype == ExportDtype.bf16.value else 4)
    needed = size * (1 if request.gguf is None else 2)
    place = next(parent for parent in out.parents if parent.is_dir())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise UserError(
            f"--out {out}: {needed / 2**30:.2f} GiB are needed and {free / 2**30:.2f} GiB are "
            "free; free space, or name a folder on another disk"
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
