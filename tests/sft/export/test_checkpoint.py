"""Models made of checkpoints: the run's own, any other, without ranks; and what is refused."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from pacos.configs.frozen import load_frozen
from pacos.configs.license import terms_record
from pacos.errors import UserError
from pacos.identity import identity
from pacos.model.architectures import ARCHITECTURES, ModelType
from pacos.model.shape import differences, shape_of
from pacos.run.lives import Lives
from pacos.run.manifest import add_inputs
from pacos.run.open import open_run
from pacos.run_paths import RunPaths
from sft.checkpoints.manifest import CheckpointManifest
from sft.checkpoints.shards import Shards, Span, name_of, shard_name, write_shard
from sft.config import SFTConfig
from sft.configs.checkpoint import CheckpointConfig
from sft.configs.deepspeed import DeepSpeedConfig
from sft.configs.export import ExportConfig, Exported, ExportRequest
from sft.configs.validation import ValidationConfig
from sft.data.tokenizer import build_tokenizer
from sft.export import run as program
from sft.export import writer
from sft.export.run import export, main
from sft.model.skeleton import build_skeleton
from tests.doubles.hub import serve
from tests.sft.small_runs import SHAPE, small_config, train

SHARD = 30_000
"""Bytes: the small model has 53 thousand parameters."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunPaths]:
    """Runs of two ranks whose rate is so high that an early checkpoint is the best."""
    root = tmp_path_factory.mktemp("export")
    own = {
        "epochs": 3,
        "checkpoint": CheckpointConfig(every_steps=2, keep=2),
        "validation": ValidationConfig(rows=8, every_steps=2, samples=0),
    }
    last = small_config(root, "last", **own)
    last.optimizer.lr = 3.0
    # A rate that rises to the end: the first steps help, the later ones do harm.
    last.schedule.warmup_ratio = 0.99
    best = dataclasses.replace(
        small_config(root, "best", **own),
        optimizer=last.optimizer,
        schedule=last.schedule,
        export=ExportConfig(checkpoint=Exported.best),
        deepspeed=DeepSpeedConfig(stage=3),
    )
    done = train(2, [last, best])
    assert [code for _, code in done] == [0, 0]
    return {run.path.name: run for run, _ in done}


@pytest.fixture
def copy(runs: dict[str, RunPaths], tmp_path: Path) -> RunPaths:
    return RunPaths(Path(shutil.copytree(runs["last"].path, tmp_path / "last")))


def model_of(run: RunPaths, out: Path, **request: str) -> dict[str, bytes]:
    folder = export(ExportRequest(run=str(run.path), out=str(out), **request))
    assert folder == out
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_last_checkpoint_gives_the_files_that_the_run_wrote(
    runs: dict[str, RunPaths], tmp_path: Path
) -> None:
    assert model_of(runs["last"], tmp_path / "model") == contents(runs["last"].model)


@pytest.mark.slow
def test_every_family_comes_out_of_its_checkpoint_as_out_of_its_run(tmp_path: Path) -> None:
    configs = []
    for number, family in enumerate(ModelType):
        shape = dataclasses.replace(
            SHAPE,
            model_type=family,
            num_key_value_heads=2,
            head_dim=12,
            tie_word_embeddings=family is ModelType.qwen2,
            attention_bias="attention_bias" in ARCHITECTURES[family].defaults,
            mlp_bias="mlp_bias" in ARCHITECTURES[family].defaults,
        )
        config = small_config(tmp_path, family.value, max_steps=2)
        config.model = dataclasses.replace(config.model, shape=shape)
        config.deepspeed = DeepSpeedConfig(stage=number)
        configs.append(config)
    done = train(2, configs)
    assert [code for _, code in done] == [0] * len(configs)
    for config, (run, _) in zip(configs, done, strict=True):
        assert model_of(run, tmp_path / f"{run.path.name}-again") == contents(run.model)
        written = json.loads((run.model / "config.json").read_text())
        assert differences(config.model.shape, shape_of(written)) == {}
        weights = load_file(run.model / "model.safetensors")
        sizes = sum(weight.numel() for weight in weights.values())
        assert sizes == config.model.shape.num_parameters()


def test_a_run_leaves_its_best_checkpoint_if_asked_to(
    runs: dict[str, RunPaths], tmp_path: Path
) -> None:
    best = contents(runs["best"].model)
    origin = json.loads(best["origin.json"])
    losses = {
        record["step"]: record["validation/loss"]
        for line in runs["best"].metrics.read_text().splitlines()
        if "validation/loss" in (record := json.loads(line)) and record["step"]
    }
    assert origin["step"] == min(losses, key=losses.__getitem__) < max(losses)
    assert f"validation loss {losses[origin['step']]:.4f}" in best["README.md"].decode()
    assert f"for {origin['step']} steps" in best["README.md"].decode()
    assert best == model_of(runs["best"], tmp_path / "again", checkpoint="best")
    assert best["model.safetensors"] != contents(runs["last"].model)["model.safetensors"]


def test_fp32_has_every_digit_of_the_optimizers_weights(
    runs: dict[str, RunPaths], tmp_path: Path
) -> None:
    writer_limit, writer.SHARD_BYTES = writer.SHARD_BYTES, SHARD
    try:
        model_of(runs["last"], tmp_path / "model", dtype="fp32")
    finally:
        writer.SHARD_BYTES = writer_limit
    rounded = load_file(runs["last"].model / "model.safetensors")
    newest = runs["last"].checkpoints / "step-000009"
    shards = Shards(sorted(newest.glob("*.safetensors")))
    files = sorted((tmp_path / "model").glob("*.safetensors"))
    assert len(files) > 3
    found = {name: weight for file in files for name, weight in load_file(file).items()}
    assert found.keys() == rounded.keys()
    for name, weight in found.items():
        kept = torch.empty(weight.numel())
        shards.copy(Span("weight", name, 0, weight.numel()), kept)
        assert torch.equal(weight, kept.view_as(weight))
        assert torch.equal(weight.bfloat16(), rounded[name])
    assert sum(weight.numel() for weight in found.values()) == SHAPE.num_parameters()
    assert json.loads((tmp_path / "model" / "config.json").read_text())["dtype"] == "float32"


@pytest.mark.slow
def test_the_program_needs_neither_deepspeed_nor_ranks(
    runs: dict[str, RunPaths], tmp_path: Path
) -> None:
    code = (
        "import sys; from sft.export.run import main; code = main(sys.argv[1:]);"
        "print(code, 'deepspeed' in sys.modules)"
    )
    asked = {"run": str(runs["last"].path), "out": str(tmp_path / "model")}
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(asked)], capture_output=True, text=True, cwd="/"
    )
    assert done.stdout.endswith("0 False\n"), done.stderr
    assert f"exported to {tmp_path / 'model'}" in done.stdout


def refusal(run: RunPaths, **request: str) -> str:
    with pytest.raises(UserError) as caught:
        export(ExportRequest(run=str(run.path), **request))
    return str(caught.value)


def test_a_checkpoint_that_is_not_there_is_refused_with_those_that_are(copy: RunPaths) -> None:
    said = refusal(copy, checkpoint="3")
    assert "--checkpoint 3" in said
    assert "there are: 2 (validation loss" in said
    assert ", 9 (validation loss" in said
    shutil.rmtree(copy.checkpoints)
    assert "has no checkpoint" in refusal(copy)
    assert "no run of pacos sft" in refusal(RunPaths(copy.path / "none"))


def flip_a_bit(folder: Path) -> None:
    with (folder / "rank-00001.safetensors").open("r+b") as file:
        file.seek(20_000)
        byte = file.read(1)[0]
        file.seek(20_000)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (flip_a_bit, "rank-00001.safetensors has changed since it was written"),
        (
            lambda folder: (folder / "rank-00000.safetensors").unlink(),
            "00000.safetensors is missing",
        ),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "its digest differs"),
    ],
)
def test_a_damaged_checkpoint_is_refused_and_left_as_it_is(
    copy: RunPaths, harm: Callable[[Path], None], says: str
) -> None:
    harm(copy.checkpoints / "step-000009")
    assert says in refusal(copy)
    assert (copy.checkpoints / "step-000009").is_dir()
    assert not list(copy.path.glob("model-step*"))
    export(ExportRequest(run=str(copy.path), checkpoint="8"))


def test_what_exists_is_not_replaced(copy: RunPaths) -> None:
    folder = export(ExportRequest(run=str(copy.path)))
    assert folder == copy.path / "model-step-000009"
    assert "exists; remove it" in refusal(copy)
    assert "exists; remove it" in refusal(copy, out=str(copy.path))


def test_a_run_at_work_is_refused(copy: RunPaths) -> None:
    lives = Lives(copy)
    lives.begin()
    assert "a process is at work there" in refusal(copy)


def test_a_disk_that_is_too_small_is_refused(
    copy: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program.shutil, "disk_usage", lambda _: SimpleNamespace(free=50_000))
    assert "0.00 GiB are free; free space" in refusal(copy)
    assert not list(copy.path.glob("*model-step*"))


CONVERTER = """
import pathlib, sys
model, _, out, _, kind = sys.argv[1:]
assert pathlib.Path(model, "config.json").is_file()
if kind == "f32": sys.exit("no such number format")
pathlib.Path(out).write_text("GGUF")
"""


def test_a_model_that_is_there_is_converted_without_another_export(
    copy: RunPaths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "convert_hf_to_gguf.py").write_text(CONVERTER)
    asked = {"run": str(copy.path), "gguf": str(tmp_path)}
    assert main([json.dumps(asked)]) == 0
    assert (copy.path / "model-step-000009" / "model-bf16.gguf").read_text() == "GGUF"
    assert main([json.dumps(asked)]) == 0
    assert "holds this model already" in capsys.readouterr().out
    assert main([json.dumps({**asked, "dtype": "fp32"})]) == 2
    said = capsys.readouterr().err
    assert "no such number format; the model itself is complete" in said
    assert main([json.dumps({**asked, "gguf": str(copy.path)})]) == 2
    assert "git clone https://github.com/ggml-org/llama.cpp" in capsys.readouterr().err


def test_a_model_is_pushed_with_its_card(copy: RunPaths) -> None:
    with serve({}) as hub:
        own = {
            "HF_ENDPOINT": hub.url,
            "HF_TOKEN": hub.granted,
            "HF_HUB_OFFLINE": "1",
            "HF_HUB_DISABLE_XET": "1",
        }
        asked = {"run": str(copy.path), "checkpoint": "best", "push": "owner/new"}
        done = subprocess.run(
            [sys.executable, "-m", "sft.export.run", json.dumps(asked)],
            env={**os.environ, **own},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert hub.models["owner/new"].private
        assert hub.models["owner/new"].files == contents(copy.path / "model-step-000002")
        assert b"library_name: transformers" in hub.models["owner/new"].files["README.md"]


def test_the_run_of_a_pipeline_is_found(copy: RunPaths, tmp_path: Path) -> None:
    pipeline = tmp_path / "pipeline"
    shutil.copytree(copy.path, pipeline / "sft")
    (pipeline / "manifest.json").write_text('{"stage": "pipeline"}')
    folder = export(ExportRequest(run=str(pipeline)))
    assert folder == pipeline / "sft" / "model-step-000009"


def test_the_best_needs_losses_and_must_be_kept(runs: dict[str, RunPaths]) -> None:
    config = load_frozen(runs["best"].config, SFTConfig)
    assert not [problem for problem in config.problems() if problem.key == "export.checkpoint"]
    config.validation.rows = 0
    config.checkpoint.keep_best = False
    said = [str(each) for each in config.problems() if each.key == "export.checkpoint"]
    assert "set validation.rows" in said[0]
    assert "set checkpoint.keep_best=true" in said[1]


LARGE = dataclasses.replace(
    SHAPE, vocab_size=32_000, hidden_size=1024, intermediate_size=2816, num_hidden_layers=16
)
"""250 million parameters: 1 GB of optimizer's weights."""


def large_checkpoint(run: RunPaths, config: SFTConfig) -> None:
    """Write a checkpoint of zeros, as 3 ranks would that divide all parameters."""
    tokenizer = build_tokenizer(config.model)
    shapes = {n: p.numel() for n, p in build_skeleton(config.model, tokenizer).named_parameters()}
    folder = run.checkpoints / "step-000004"
    folder.mkdir(parents=True)
    files = {}
    for rank in range(3):
        spans = [
            Span("weight", name, rank * size // 3, (rank + 1) * size // 3 - rank * size // 3)
            for name, size in shapes.items()
        ]
        layout = [(name_of(span), torch.float32, span.count) for span in spans]
        tensors = (torch.zeros(span.count) for span in spans)
        files[shard_name(rank)] = write_shard(folder / shard_name(rank), layout, tensors)
    CheckpointManifest(
        step=4,
        updates=4,
        identity=identity(config),
        data="",
        world_size=3,
        stage=3,
        wandb_id=None,
        validation_loss=None,
        files=files,
    ).write(folder)


def anonymous_bytes() -> int:
    """Memory of this process that the kernel cannot take back, unlike pages of mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("RssAnon")]
    return int(line.split()[1]) * 1024


@pytest.mark.slow
def test_memory_grows_by_a_file_and_not_by_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(tmp_path, "large")
    config.model.shape = LARGE
    run = open_run(config)
    add_inputs(
        run, {}, rows=1, terms=terms_record([], config.license_policy, config.license_waiver)
    )
    large_checkpoint(run, config)
    shard = 4 * LARGE.vocab_size * LARGE.hidden_size + 1
    monkeypatch.setattr(writer, "SHARD_BYTES", shard)
    peak, ended = 0, Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.002):
            peak = max(peak, anonymous_bytes())

    before = anonymous_bytes()
    watcher = Thread(target=watch)
    watcher.start()
    export(ExportRequest(run=str(run.path), dtype="fp32"))
    ended.set()
    watcher.join()
    weights = 4 * LARGE.num_parameters()
    print(f"{weights / 2**20:.0f} MiB: {(peak - before) / 2**20:.0f} MiB more")
    assert peak - before < 3 * shard < weights
