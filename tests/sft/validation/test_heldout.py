"""What is measured on held-out rows, and that nothing else notices."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from pacos.configs.frozen import load_frozen
from pacos.distributed import World
from pacos.errors import EXIT_DONE, UserError
from pacos.files import append_jsonl, read_json, read_jsonl
from pacos.prompts.formats import PromptFormat
from pacos.prompts.tokens import IGNORE
from pacos.run.lives import Lives, State
from pacos.run_paths import RunPaths
from pacos.tracking import metrics
from sft.config import SFTConfig
from sft.configs.compute import Precision
from sft.configs.deepspeed import DeepSpeedConfig
from sft.configs.validation import ValidationConfig
from sft.data.mixture import Mixture, load_data
from sft.data.split import split_heldout
from sft.model.loss import install_loss
from sft.steps.record import Step, StepRecord
from sft.validation.heldout import Validation
from tests.sft.byte_tokenizer import byte_tokenizer
from tests.sft.small_runs import ROWS, SHAPE, small_config, train

ALONE = World(rank=0, size=1, local_rank=0)
HELD = 7


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SFTConfig:
    monkeypatch.setenv("PACOS_CACHE", str(tmp_path / "cache"))
    return small_config(tmp_path, "run", validation=ValidationConfig(rows=HELD, sample_tokens=8))


def test_rows_are_held_out_by_the_seed_alone(config: SFTConfig) -> None:
    data = load_data(config, byte_tokenizer(), ALONE)
    trained, held = split_heldout(data, HELD, seed=1)
    assert (len(trained), len(held)) == (ROWS - HELD, HELD)
    assert sorted([*trained.indices, *held.indices]) == sorted(data.indices)
    assert split_heldout(data, HELD, seed=1)[1].indices.tolist() == held.indices.tolist()
    assert split_heldout(data, HELD, seed=2)[1].indices.tolist() != held.indices.tolist()
    for part in (trained, held):
        rows = [part.row(index) for index in range(len(part))]
        assert part.lengths.tolist() == [len(row.ids) for row in rows]
        assert part.num_supervised.tolist() == [row.num_supervised for row in rows]


def test_no_copy_of_a_held_out_row_is_trained_on(config: SFTConfig) -> None:
    config.data.weight = 2.5
    data = load_data(config, byte_tokenizer(), ALONE)
    trained, held = split_heldout(data, HELD, seed=1)
    assert not set(trained.indices) & set(held.indices)
    assert len(held) == HELD
    assert set(trained.indices) | set(held.indices) == set(data.indices)


def test_nothing_is_held_out_unless_asked_for(config: SFTConfig) -> None:
    data = load_data(config, byte_tokenizer(), ALONE)
    trained, held = split_heldout(data, 0, seed=1)
    assert trained.indices is data.indices
    assert len(held) == 0


def test_something_must_be_left_to_train_on(config: SFTConfig) -> None:
    data = load_data(config, byte_tokenizer(), ALONE)
    with pytest.raises(
        UserError, match=r"validation.rows = 40: the data has only 40 different rows"
    ):
        split_heldout(data, ROWS, seed=1)


@pytest.mark.parametrize("key", ["rows", "every_steps", "samples", "sample_tokens"])
def test_values_without_sense_are_refused(key: str) -> None:
    (problem,) = ValidationConfig(**{key: -1}).problems()
    assert problem.key == f"validation.{key}"


class BareEngine(torch.nn.Module):
    """What `Validation` needs of an engine, without one."""

    device = torch.device("cpu")

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, **inputs: Any) -> Any:
        return self.module(**inputs)


@pytest.fixture
def held(config: SFTConfig) -> Mixture:
    return split_heldout(load_data(config, byte_tokenizer(), ALONE), HELD, seed=1)[1]


def a_model() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LlamaForCausalLM(LlamaConfig(**SHAPE.settings()))


def mean_nll(model: Any, held: Mixture) -> float:
    """By transformers alone, one row after another."""
    nll = 0.0
    for index in range(len(held)):
        row = held.row(index)
        logits = model(torch.tensor(row.ids).long()[None]).logits[0, :-1]
        labels = torch.tensor(row.labels).long()[1:]
        nll += functional.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum").item()
    return nll / int(held.num_supervised.sum())


@torch.no_grad()
def test_the_loss_is_weighted_by_tokens(config: SFTConfig, held: Mixture, tmp_path: Path) -> None:
    model = a_model()
    expected = mean_nll(model, held)
    install_loss(model)
    config.validation.samples = 0
    samples = tmp_path / "samples.jsonl"
    validation = Validation(config, held, BareEngine(model), byte_tokenizer(), samples, ALONE)
    assert validation.measure(0, 9)[metrics.VALIDATION_LOSS] == pytest.approx(expected, rel=1e-5)
    assert not samples.exists()


def test_it_is_measured_at_the_beginning_at_intervals_and_at_the_end(
    config: SFTConfig, held: Mixture, tmp_path: Path
) -> None:
    model = a_model()
    install_loss(model)
    config.validation.samples, config.validation.every_steps = 0, 4
    validation = Validation(
        config, held, BareEngine(model), byte_tokenizer(), tmp_path / "samples.jsonl", ALONE
    )
    assert [step for step in range(11) if validation.measure(step, 10)] == [0, 4, 8, 10]
    assert model.training


def test_answers_draw_no_random_number_whatever_the_model_asks_for(
    config: SFTConfig, held: Mixture, tmp_path: Path
) -> None:
    model = a_model()
    model.generation_config = GenerationConfig(do_sample=True, temperature=9.0, top_k=50)
    install_loss(model)
    tokenizer, samples = byte_tokenizer(), tmp_path / "samples.jsonl"
    validation = Validation(config, held, BareEngine(model), tokenizer, samples, ALONE)
    before = torch.get_rng_state()
    validation.measure(0, 9)
    validation.measure(9, 9)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(parameter.grad is None for parameter in model.parameters())
    first, second, *again = read_jsonl(samples)
    assert [{**line, "step": 0} for line in again] == [first, second]
    row = held.row(0)
    start = int(np.flatnonzero(row.labels != IGNORE)[0])
    assert first["prompt"] == tokenizer.decode(row.ids[:start])
    assert first["prompt"].endswith("<|im_start|>assistant\n")
    assert first["reference"].startswith("0")
    assert "<|im_end|>" not in first["reference"]
    assert first["row"] == held.place(0)
    assert first["stopped"] is False


def test_the_answer_to_a_conversation_is_the_first(config: SFTConfig) -> None:
    from sft.validation.heldout import _question

    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}] * 2
    from pacos.prompts.encoder import encode

    (row,) = encode(byte_tokenizer(), PromptFormat.chatml, [turns])
    prompt, answer = _question(row)
    assert byte_tokenizer().decode(prompt).count("<|im_start|>assistant") == 1
    assert byte_tokenizer().decode(answer) == "b<|im_end|>"


WAYS = {
    "stage2": DeepSpeedConfig(stage=2),
    "stage3": DeepSpeedConfig(stage=3),
    "shared": DeepSpeedConfig(stage=1, sequence_ranks=2),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunPaths]:
    """The same run on 1 and 2 ranks; each also almost without being looked at."""
    folder = tmp_path_factory.mktemp("validation")
    often = ValidationConfig(rows=HELD, every_steps=1, samples=2, sample_tokens=3)
    seldom = ValidationConfig(rows=HELD, every_steps=1000, samples=0)
    done = {}
    for size, ways in ((1, {"alone": DeepSpeedConfig(stage=0)}), (2, WAYS)):
        configs = [
            small_config(
                folder,
                f"{name}-{which}",
                deepspeed=zero,
                validation=validation,
                precision=Precision.fp32,
            )
            for name, zero in ways.items()
            for which, validation in (("often", often), ("seldom", seldom))
        ]
        for run, code in train(size, configs):
            assert code == EXIT_DONE
            done[run.path.name] = run
    return done


def curve(run: RunPaths, name: str) -> list[float]:
    return [line[name] for line in read_jsonl(run.metrics) if name in line]


@pytest.mark.parametrize("way", WAYS)
def test_ranks_and_zero_measure_the_same(runs: dict[str, RunPaths], way: str) -> None:
    alone, run = runs["alone-often"], runs[f"{way}-often"]
    expected = curve(alone, metrics.VALIDATION_LOSS)
    found = curve(run, metrics.VALIDATION_LOSS)
    assert found[0] == pytest.approx(expected[0], rel=1e-6)
    assert found == pytest.approx(expected, rel=1e-4)
    assert found[-1] < found[0] - 0.05
    answers = [
        [line["answer"] for line in read_jsonl(one.path / "samples.jsonl") if line["step"] == 0]
        for one in (alone, run)
    ]
    assert len(answers[0]) == 2
    assert answers[0] == answers[1]


@pytest.mark.parametrize("way", WAYS)
def test_training_does_not_notice(runs: dict[str, RunPaths], way: str) -> None:
    often, seldom = (runs[f"{way}-{which}"] for which in ("often", "seldom"))
    steps = curve(seldom, metrics.LOSS)
    assert len(curve(often, metrics.VALIDATION_LOSS)) == len(steps) + 1
    assert len(curve(seldom, metrics.VALIDATION_LOSS)) == 2
    assert curve(often, metrics.LOSS) == steps
    assert curve(often, metrics.GRAD_NORM) == curve(seldom, metrics.GRAD_NORM)
    weights = [(run.model / "model.safetensors").read_bytes() for run in (often, seldom)]
    assert weights[0] == weights[1]


def test_held_out_rows_of_their_own_are_measured_answered_and_recorded(tmp_path: Path) -> None:
    config = small_config(tmp_path, "own")
    rows = (tmp_path / "rows.jsonl").read_text().splitlines()
    new = [json.dumps({"instruction": f"Say {n}.", "output": f"{n}"}) for n in range(3)]
    long = json.dumps({"instruction": "Sing.", "output": "la " * 100, "id": "long"})
    own = tmp_path / "own.jsonl"
    own.write_text("\n".join([rows[0], *new, long, ""]))
    config.validation = ValidationConfig(path=str(own), samples=1, sample_tokens=3)
    ((run, code),) = train(1, [config])
    assert code == EXIT_DONE
    losses = curve(run, metrics.VALIDATION_LOSS)
    assert len(losses) == 2
    assert losses[1] < losses[0]
    assert read_json(run.result)["validation_loss"] == losses[1]
    assert {line["row"] for line in read_jsonl(run.samples)} == {f"{own}:2"}
    inputs = read_json(run.manifest)["inputs"]
    assert inputs["validation"]["path"] == str(own)
    (dropped,) = read_jsonl(run.excluded_rows("dropped"))
    assert dropped["place"] == f"{own}:5"


@contextlib.contextmanager
def asked_to_stop_in_the_second_step() -> Iterator[None]:
    from sft.trainer import Trainer

    plain = Trainer.train_step

    def planted(trainer: Trainer, step: Step) -> StepRecord:
        if step.number == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return plain(trainer, step)

    Trainer.train_step = planted
    try:
        yield
    finally:
        Trainer.train_step = plain


def test_a_later_life_measures_nothing_twice(runs: dict[str, RunPaths]) -> None:
    straight = runs["stage2-often"]
    config = load_frozen(straight.config, SFTConfig)
    config.run.name = "stopped"
    ((run, code),) = train(2, [config], [asked_to_stop_in_the_second_step])
    assert code == EXIT_DONE, "a rank that saved on request"
    assert Lives(run).state() is State.saved
    assert len(curve(run, metrics.LOSS)) == 2
    # A step that was made and not saved is made again.
    lost = {metrics.STEP: 3, metrics.LOSS: 9.0, metrics.VALIDATION_LOSS: 9.0}
    append_jsonl(run.metrics, [lost])
    append_jsonl(run.path / "samples.jsonl", [lost])
    ((run, code),) = train(2, [config])
    assert Lives(run).state() is State.done
    for name in (metrics.STEP, metrics.LOSS, metrics.VALIDATION_LOSS):
        assert curve(run, name) == curve(straight, name)
    samples = [(one.path / "samples.jsonl").read_text() for one in (run, straight)]
    assert samples[0] == samples[1]


def test_the_result_and_the_card_name_the_last_loss(runs: dict[str, RunPaths]) -> None:
    run = runs["stage2-often"]
    last = curve(run, metrics.VALIDATION_LOSS)[-1]
    assert read_json(run.result)["validation_loss"] == last
    assert f"validation loss {last:.4f}" in (run.model / "README.md").read_text()
