"""Each proof of the doctor: it holds where all is well, and fails on the fault that it is for."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from pacos.config import ClusterConfig, Device, Init, PromptFormat
from pacos.distributed import World
from pacos.errors import UserError
from pacos.frozen import freeze
from pacos.prompts import FORMATS, Format
from pacos.proofs import Finding, Findings, Outcome, Skipped, prove
from sft import attention as attention_module
from sft.checkpoints import engine_state
from sft.config import SFTConfig
from sft.data_config import OnError
from sft.doctor import machine, model, ranks, tokens
from sft.engine_config import DeepSpeedConfig
from tests.sft.byte_tokenizer import byte_tokenizer
from tests.sft.ranks import run_ranks
from tests.sft.small_runs import SHAPE, small_config, write_rows

GIB = 2**30


@pytest.fixture
def config(tmp_path: Path) -> SFTConfig:
    return small_config(tmp_path, "run")


def failure(proof: Callable[[], str | Skipped]) -> str:
    finding = prove("proof", proof)
    assert finding.outcome is Outcome.failed
    return finding.what


# Versions.


def version_of(monkeypatch: pytest.MonkeyPatch, package: str, version: str | None) -> None:
    plain = importlib.metadata.version

    def planted(name: str) -> str:
        if name != package:
            return plain(name)
        if version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(importlib.metadata, "version", planted)


def test_the_tested_versions_are_those_of_the_constraints() -> None:
    from tests.conftest import ROOT

    pinned = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line and not line.startswith("#")
    )
    assert {name: pinned[name] for name in machine.TESTED} == machine.TESTED
    assert "deepspeed" in machine.versions()


@pytest.mark.parametrize(
    ("package", "version", "said"),
    [
        ("deepspeed", "0.18.8", "drops the last micro-batch"),
        ("accelerate", None, "accelerate is not installed; run: make setup"),
    ],
)
def test_a_package_that_is_missing_or_wrong(
    monkeypatch: pytest.MonkeyPatch, package: str, version: str | None, said: str
) -> None:
    version_of(monkeypatch, package, version)
    assert said in failure(machine.versions)


def test_another_version_is_said_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    version_of(monkeypatch, "transformers", "6.0.0")
    assert "tested with transformers 5.23.0" in machine.versions()


# The build of torch.


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A machine with this driver, and a torch that was built so."""

    def plant(supports: tuple[int, int] | None, built: str | None, gpus: int = 0) -> None:
        monkeypatch.setattr(machine, "driver_cuda", lambda: supports)
        monkeypatch.setattr(torch.version, "cuda", built)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)

    return plant


@pytest.mark.parametrize(
    ("supports", "built", "gpus", "said"),
    [
        ((12, 4), None, 0, "build without CUDA"),
        ((12, 4), "13.0", 0, "built for CUDA 13.0, the driver supports 12.4 at most"),
        ((12, 8), "12.6", 0, "sees no GPU"),
        ((12, 8), "12.6", 1, "cluster.ranks_per_node = 4: there are 1 GPUs here"),
    ],
)
def test_a_torch_that_does_not_fit_the_driver(
    config: SFTConfig,
    driver: Callable[..., None],
    supports: tuple[int, int],
    built: str | None,
    gpus: int,
    said: str,
) -> None:
    driver(supports, built, gpus)
    config.cluster = ClusterConfig(ranks_per_node=4)
    assert said in failure(lambda: machine.gpu_build(config))


def test_a_gpu_without_units_for_bf16(
    config: SFTConfig, driver: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver((12, 8), "12.6", 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla V100")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 0))
    config.cluster = ClusterConfig()
    assert "Tesla V100 has no units for bf16" in failure(lambda: machine.gpu_build(config))


def test_cuda_that_is_asked_for_and_not_there(
    config: SFTConfig, driver: Callable[..., None]
) -> None:
    driver(None, None)
    assert isinstance(machine.gpu_build(config), Skipped), "this config asks for the CPU"
    config.cluster = ClusterConfig(device=Device.auto)
    assert isinstance(machine.gpu_build(config), Skipped)
    config.cluster = ClusterConfig(device=Device.cuda)
    assert "there is no NVIDIA driver here" in failure(lambda: machine.gpu_build(config))


# Disks.


def test_a_disk_that_is_too_small(config: SFTConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "free in" in machine.disks(config)
    config.model.shape = dataclasses.replace(SHAPE, num_hidden_layers=200_000)
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=20 * GIB))
    said = failure(lambda: machine.disks(config))
    assert "20.0 GiB are free, and 3 checkpoints" in said
    assert "checkpoint.keep = 2" in said


def test_a_folder_that_cannot_be_written(
    config: SFTConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(machine.tempfile, "TemporaryFile", refuse)
    config.run.root = str(tmp_path / "not" / "there" / "yet")
    said = failure(lambda: machine.disks(config))
    assert "run.root" in said
    assert "cannot be written (Permission denied)" in said
    assert not (tmp_path / "not").exists()


# The model.


@pytest.fixture
def pretrained(config: SFTConfig, tmp_path: Path) -> SFTConfig:
    """With weights in several files."""
    from transformers import AutoConfig, LlamaForCausalLM

    folder = tmp_path / "model"
    architecture: Any = AutoConfig.from_pretrained(folder)
    LlamaForCausalLM(architecture).save_pretrained(folder, max_shard_size="50KB")
    config.model.init = Init.pretrained
    return config


def edit_config(config: SFTConfig, **values: Any) -> None:
    path = Path(config.model.path) / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_model_that_is_whole(pretrained: SFTConfig) -> None:
    assert "weight files" in model.model_class(pretrained)


def test_a_model_of_another_class(pretrained: SFTConfig) -> None:
    edit_config(pretrained, model_type="mistral")
    assert "its architecture is mistral" in failure(lambda: model.model_class(pretrained))


def test_a_shape_that_is_not_the_model_s(pretrained: SFTConfig) -> None:
    pretrained.model.shape = dataclasses.replace(SHAPE, num_hidden_layers=3)
    said = failure(lambda: model.model_class(pretrained))
    assert "model.shape.num_hidden_layers = 3, there 2" in said


def test_a_model_with_a_missing_file(pretrained: SFTConfig) -> None:
    first = sorted(Path(pretrained.model.path).glob("model-*.safetensors"))[0]
    first.unlink()
    said = failure(lambda: model.model_class(pretrained))
    assert first.name in said
    assert "weight files are missing" in said


def contaminating_kernel(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, ends: Any, longest: int, scale: Any
) -> torch.Tensor:
    """Sees the documents before its own, as a mask that is dropped lets it."""
    parts = [tensor.transpose(0, 1)[None] for tensor in (query, key, value)]
    output = torch.nn.functional.scaled_dot_product_attention(*parts, is_causal=True, scale=scale)
    return output[0].transpose(0, 1)


def test_attention_that_mixes_documents(config: SFTConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    assert model.attention(config).startswith("packed = separate by sdpa in bfloat16 on the CPU")
    monkeypatch.setattr(attention_module, "sdpa_kernel", contaminating_kernel)
    said = failure(lambda: model.attention(config))
    assert "attention = auto: sdpa is wrong on cpu: the gradient of a pack differs" in said


# The tokenizer and the first rows.


def look(config: SFTConfig) -> dict[str, Finding]:
    """What the proofs about tokens find, as the program makes them."""
    found = tokens.Tokens(config)
    findings = {}
    for name, proof in {
        "tokenizer": found.tokenizer,
        "mask": found.mask,
        "stop token": found.stop_token,
    }.items():
        findings[name] = prove(name, proof)
        if findings[name].outcome is Outcome.failed:
            break
    return findings


def first_fault(config: SFTConfig) -> str:
    last = list(look(config).values())[-1]
    assert last.outcome is Outcome.failed, last
    return f"{last.proof}: {last.what}"


def test_rows_as_they_should_be(config: SFTConfig) -> None:
    found = look(config)
    assert {finding.outcome for finding in found.values()} == {Outcome.ok}
    assert "<|im_end|> ends an answer, <|endoftext|> pads" in found["tokenizer"].what
    assert "tokens in 40 rows carry loss" in found["mask"].what
    assert found["stop token"].what == "<|im_end|> carries loss after each of 40 answers"


def test_a_pad_token_that_ends_answers(config: SFTConfig) -> None:
    config.model.pad_token = "<|im_end|>"
    assert "tokenizer: model.pad_token = <|im_end|>: <|im_end|> also ends" in first_fault(config)


def test_a_tokenizer_without_a_pad_token(config: SFTConfig) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.pad_token = None
    tokenizer.save_pretrained(config.model.path)
    config.model.pad_token = None
    assert "has no pad token; name an unused one" in first_fault(config)
    config.model.pad_token = "<pad>"
    assert "model.pad_token = <pad>: not in the tokenizer's vocabulary" in first_fault(config)


def test_a_format_whose_stop_token_the_tokenizer_lacks(config: SFTConfig) -> None:
    config.model.prompt_format = PromptFormat.llama3
    assert "its stop token <|eot_id|> is not in the tokenizer's vocabulary" in first_fault(config)


MARKS = "{% generation %}{{ m['content'] + '<|im_end|>' }}{% endgeneration %}"


@pytest.mark.parametrize(
    ("instead", "said"),
    [
        ("{{ m['content'] + '<|im_end|>' }}", "mask: model.prompt_format = chatml:"),
        ("{{ m['content'] + '<|im_end|>' }}", "rows.jsonl:1 carries no loss: the mask is empty"),
        (
            "{% generation %}{{ m['content'] }}{% endgeneration %}{{ '<|im_end|>' }}",
            "stop token: model.prompt_format = chatml:",
        ),
        (
            "{{ m['content'][:1] }}{% generation %}"
            "{{ m['content'][1:] + '<|im_end|>' }}{% endgeneration %}",
            "learns '<|im_end|>' in place of '0'",
        ),
        (
            "{% generation %}{{ m['content'] + '<|im_end|><|im_end|>' }}{% endgeneration %}",
            "learns <|im_end|> 2 times after an answer, not once",
        ),
    ],
)
def test_a_template_that_marks_answers_wrongly(
    config: SFTConfig, monkeypatch: pytest.MonkeyPatch, instead: str, said: str
) -> None:
    plain = FORMATS[PromptFormat.chatml]
    assert MARKS in plain.template
    wrong = Format(plain.template.replace(MARKS, instead), plain.stop_token)
    monkeypatch.setitem(FORMATS, PromptFormat.chatml, wrong)
    lines = write_rows(Path(config.data.path)).read_text().splitlines(keepends=True)
    # The first answer is one letter, "0".
    lines.insert(0, lines.pop(8))
    Path(config.data.path).write_text("".join(lines))
    assert said in first_fault(config)


def test_a_template_that_marks_only_the_last_answer(
    config: SFTConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = FORMATS[PromptFormat.chatml]
    last = "{% if loop.last %}" + MARKS + "{% else %}{{ m['content'] + '<|im_end|>' }}{% endif %}"
    monkeypatch.setitem(
        FORMATS,
        PromptFormat.chatml,
        Format(plain.template.replace(MARKS, last), plain.stop_token),
    )
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}] * 2
    Path(config.data.path).write_text(json.dumps({"messages": turns}) + "\n")
    assert "rows.jsonl:1 has 2 answers, of which 1 carry loss" in first_fault(config)


def test_rows_that_cannot_be_used(config: SFTConfig) -> None:
    path = Path(config.data.path)
    path.write_text('{"instruction": "Sing."}\n' + path.read_text())
    assert "rows.jsonl:1: output = None" in first_fault(config)
    config.data.on_error = OnError.quarantine
    assert {finding.outcome for finding in look(config).values()} == {Outcome.ok}


# Ranks.


@contextlib.contextmanager
def mean_of_means() -> Iterator[None]:
    """Each pass is divided by its own tokens, as in many loops."""
    from sft import loss

    plain = loss.nll_sum

    def planted(engine: Any, batch: Any) -> Any:
        usual = 40.0
        return plain(engine, batch) * usual / max(1, len(batch.targets))

    loss.nll_sum = planted
    try:
        yield
    finally:
        loss.nll_sum = plain


@contextlib.contextmanager
def lost_pass() -> Iterator[None]:
    """The second rank's last pass is not added."""
    from sft import engine

    plain, passes = engine.backward, []

    def planted(running: Any, nll: Any, step_tokens: int, world: World) -> None:
        passes.append(nll)
        lost = world.rank == 1 and len(passes) == 2
        plain(running, nll * 0.0 if lost else nll, step_tokens, world)

    engine.backward = planted
    try:
        yield
    finally:
        engine.backward = plain


@contextlib.contextmanager
def wrong_sums() -> Iterator[None]:
    """A link that drops what the last rank sends."""
    from torch import distributed

    plain = distributed.all_reduce

    def planted(tensor: Any, *arguments: Any, **options: Any) -> Any:
        if tensor.numel() == 1 << 16 and distributed.get_rank() == 1:
            tensor.zero_()
        return plain(tensor, *arguments, **options)

    distributed.all_reduce = planted
    try:
        yield
    finally:
        distributed.all_reduce = plain


@contextlib.contextmanager
def other_rows() -> Iterator[None]:
    """The second rank reads another copy of the data."""
    plain = ranks.read_first_rows

    def planted(config: SFTConfig, tokenizer: Any) -> Any:
        rows = list(plain(config, tokenizer))
        return rows[World.from_env().rank :]

    ranks.read_first_rows = planted
    try:
        yield
    finally:
        ranks.read_first_rows = plain


@contextlib.contextmanager
def forgotten_moment() -> Iterator[None]:
    """Adam's second moment begins anew after a resume."""
    plain = engine_state.EngineState.fill

    def planted(self: Any, read: Callable[[Any], torch.Tensor], updates: int) -> None:
        def other(span: Any) -> torch.Tensor:
            values = read(span)
            return torch.zeros_like(values) if span.kind == "exp_avg_sq" else values

        plain(self, other, updates)

    engine_state.EngineState.fill = planted
    try:
        yield
    finally:
        engine_state.EngineState.fill = plain


@contextlib.contextmanager
def stale_weights() -> Iterator[None]:
    """The working weights stay what they were before a resume."""
    plain = engine_state.EngineState.spread
    engine_state.EngineState.spread = lambda self: None
    try:
        yield
    finally:
        engine_state.EngineState.spread = plain


Case = tuple[str, SFTConfig, Callable[[], contextlib.AbstractContextManager[None]]]


def make_proofs(cases: Sequence[Case], path: Path) -> list[Finding]:
    """In each rank: one proof a case, as `sft.doctor.ranks` makes it."""
    from sft.engine import start_ranks

    world = World.from_env()
    device = start_ranks(world)
    found = []
    for name, config, plant in cases:
        proofs: dict[str, Callable[[], str | Skipped]] = {
            "communication": lambda: ranks.communication(world, device),
            "ranks agree": lambda c=config: ranks.agreement(c, path, world),
            "gradients": lambda c=config: ranks.gradients(c, world, device),
            "resume": lambda c=config: ranks.resume(c, path.parent, world, device),
        }
        with plant():
            found.append(ranks.together(prove(name, proofs[name]), world))
    return found


WELL = contextlib.nullcontext


def test_ranks_find_what_is_wrong_between_them(config: SFTConfig, tmp_path: Path) -> None:
    def zero(stage: int, **more: Any) -> SFTConfig:
        return dataclasses.replace(config, deepspeed=DeepSpeedConfig(stage=stage, **more))

    expected: list[tuple[Case, Outcome, str]] = [
        (("communication", config, WELL), Outcome.ok, "gloo sums, gathers and sends rightly"),
        (("communication", config, wrong_sums), Outcome.failed, "all_reduce gave wrong numbers"),
        (("ranks agree", config, WELL), Outcome.ok, "tokenizer, first rows are the same on 2"),
        (("ranks agree", config, other_rows), Outcome.failed, "first rows of rank 1: "),
        *(
            (("gradients", zero(stage), WELL), Outcome.ok, f"ZeRO-{stage} over 2 ranks")
            for stage in (2, 3)
        ),
        (("gradients", zero(1, sequence_ranks=2), WELL), Outcome.ok, "ZeRO-1 over 2 ranks"),
        (("gradients", zero(2), mean_of_means), Outcome.failed, "the gradient differs by "),
        (("gradients", zero(1), lost_pass), Outcome.failed, "deepspeed.stage = 1: over 2 ranks"),
        *(
            (("resume", zero(stage), WELL), Outcome.ok, f"ZeRO-{stage} over 2 ranks in bf16: state")
            for stage in (2, 3)
        ),
        (("resume", zero(1), forgotten_moment), Outcome.failed, "exp_avg_sq/model.embed_tokens"),
        (("resume", zero(2), stale_weights), Outcome.failed, "the next loss is "),
    ]
    path = tmp_path / "config.yaml"
    freeze(config, path)
    found = run_ranks(2, make_proofs, [case for case, _, _ in expected], path)[0]
    for finding, (case, outcome, said) in zip(found, expected, strict=True):
        assert finding.outcome is outcome, (case[0], finding)
        assert said in finding.what


def test_one_rank_has_nobody_to_agree_with(config: SFTConfig, tmp_path: Path) -> None:
    alone = World(rank=0, size=1, local_rank=0)
    assert isinstance(ranks.communication(alone, torch.device("cpu")), Skipped)
    assert isinstance(ranks.agreement(config, tmp_path, alone), Skipped)


# What becomes of a proof.


def test_a_proof_ends_in_one_of_three_ways(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> str:
        raise ImportError("libcudart.so.12: cannot open shared object file")

    def refused() -> str:
        raise UserError("key = 1: is wrong; set 2")

    findings = Findings(tmp_path / "findings.jsonl")
    findings.prove("good", lambda: "shown")
    findings.prove("none", lambda: Skipped("no GPU"))
    findings.prove("broken", broken)
    findings.prove("refused", refused)
    findings.prove("later", lambda: "shown", needs=["good", "refused"])
    assert [(one.outcome.value, one.what) for one in findings.all()] == [
        ("ok", "shown"),
        ("skipped", "no GPU"),
        ("failed", "ImportError: libcudart.so.12: cannot open shared object file"),
        ("failed", "key = 1: is wrong; set 2"),
        ("skipped", "needs: refused"),
    ]
    assert len(capsys.readouterr().out.splitlines()) == 5
