"""A model whose layers lie in several places: the scores and answers of one in a single place."""

from __future__ import annotations

import os
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

import eval.measures
from eval.config import EvalConfig
from eval.engine import loading
from eval.engine.decoding import GenerationRequest, _DecodingPass, _Generation, _KVCache
from eval.engine.lm import SharedPrefixLM
from eval.engine.loading import build_lm, copy_devices
from eval.engine.packed_pass import PackedPass
from eval.engine.plan import plan_passes
from eval.engine.rank_workers import RankWorkers
from eval.harness.heldout import answer_nlls
from eval.run import main
from pacos.configs.cluster import ClusterConfig
from pacos.configs.stage import RunConfig
from pacos.distributed import World
from pacos.errors import EXIT_DONE, UserError
from pacos.prompts.encoder import encode
from pacos.prompts.formats import PromptFormat
from pacos.run.open import open_run
from tests.eval.engine.test_decoding import TEXTS, asked
from tests.eval.engine.test_lm import CHOICES
from tests.eval.engine.test_rank_workers import measured
from tests.sft.ranks import run_ranks


@pytest.fixture
def whole(tiny: Path, config: EvalConfig) -> SharedPrefixLM:
    return build_lm(str(tiny), replace(config, batch_tokens=50))


@pytest.fixture
def spread(tiny: Path, whole: SharedPrefixLM, tmp_path: Path) -> SharedPrefixLM:
    """Memory for one of the two layers: accelerate reads the other from a disk when it is used."""
    model = AutoModelForCausalLM.from_pretrained(
        tiny,
        dtype=torch.float32,
        attn_implementation="sdpa",
        device_map={"model.embed_tokens": "cpu", "lm_head": "cpu", "model.rotary_emb": "cpu"}
        | {"model.layers.0": "cpu", "model.layers.1": "disk", "model.norm": "cpu"},
        offload_folder=tmp_path / "offload",
    )
    assert {"cpu", "disk"} == set(model.hf_device_map.values())
    workers = RankWorkers(World.from_env())
    return SharedPrefixLM(model, whole.tokenizer, workers, batch_size=3, batch_tokens=50, seed=0)


def test_a_spread_model_scores_and_answers_as_a_whole_one(
    whole: SharedPrefixLM, spread: SharedPrefixLM
) -> None:
    found = spread.start_certificate()
    assert spread.loglikelihood(CHOICES, True) == whole.loglikelihood(CHOICES, True)
    assert spread.generate_until(asked(TEXTS), True) == whole.generate_until(asked(TEXTS), True)
    assert found.answers, "the harness's own code ran, too"
    penalised = asked(TEXTS[:2], repetition_penalty=1.5)
    assert spread.generate_until(penalised, True) == whole.generate_until(penalised, True)


def test_held_out_rows_are_scored_as_by_a_whole_one(
    whole: SharedPrefixLM, spread: SharedPrefixLM
) -> None:
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello there."}]
    rows = encode(whole.tokenizer, PromptFormat.chatml, [talk, talk * 2])
    assert answer_nlls(spread.model, rows, 2) == answer_nlls(whole.model, rows, 2)


def test_each_layer_attends_on_its_own_gpu(whole: SharedPrefixLM) -> None:
    """torch refuses to mix tensors of two devices; the second has no memory."""
    requests = whole._encoder.pairs([request.args for request in CHOICES])
    passes = [one for chain in plan_passes(requests, 512, 50) for one in chain]
    first, second = torch.device("cpu"), torch.device("meta")
    prompt = GenerationRequest(0, [1, 2, 3], 4, [])
    with torch.no_grad():
        for one in passes:
            packed = PackedPass(one, whole.model, first, {})
            attend_on(packed, packed.ids, (first, second))
        cache = _KVCache(whole.model, 2, 8)
        steps = [([], [_Generation(prompt)]), ([_Generation(prompt, [5])], [_Generation(prompt)])]
        for running, new in steps:
            step = _DecodingPass(running, new, cache, first)
            attend_on(step, step.ids, (first, second))
        cache.move(1, 0)


def attend_on(packed: Any, ids: torch.Tensor, gpus: tuple[torch.device, ...]) -> None:
    for layer, gpu in enumerate(gpus):
        heads = [torch.zeros(ids.shape[1], count, 8, device=gpu) for count in (4, 2, 2)]
        assert packed.attend(layer, *heads, 1.0).device == gpu


@pytest.mark.parametrize(
    ("needed", "wanted", "found"),
    [
        (1, None, [[0], [1], [2], [3], [4]]),
        (2, None, [[0, 1], [], [2, 3], [], []]),
        (1, 3, [[0, 1, 2], [], [], [], []]),
        (3, 1, [[0], [1], [2], [3], [4]]),
    ],
)
def test_the_first_of_neighbouring_ranks_has_the_copy(
    config: EvalConfig,
    monkeypatch: pytest.MonkeyPatch,
    needed: int,
    wanted: int | None,
    found: list[list[int]],
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(loading, "gpus_needed", lambda *_: needed)
    many = replace(config, cluster=ClusterConfig(ranks_per_node=5), gpus_per_model=wanted)
    got = []
    for rank in range(5):
        # Of the second machine: only the place on it counts.
        for name, value in (("RANK", rank + 5), ("LOCAL_RANK", rank), ("WORLD_SIZE", 10)):
            monkeypatch.setenv(name, str(value))
        got.append([device.index for device in copy_devices(config.target, many)])
    assert got == found
    monkeypatch.setattr(loading, "gpus_needed", lambda *_: 6)
    with pytest.raises(UserError, match=r"ranks_per_node = 5: a copy .* takes 6 GPUs in fp32"):
        copy_devices(config.target, replace(many, gpus_per_model=None))


def evaluate_spread(run: str) -> int:
    """What each rank does: the first of every two has the model."""

    def devices(path: str, config: EvalConfig) -> list[torch.device]:
        return [torch.device("cpu")] * (int(os.environ["LOCAL_RANK"]) % 2 == 0)

    eval.measures.copy_devices = devices
    return main(["--config", f"{run}/config.yaml"])


@pytest.mark.usefixtures("own_process")
def test_ranks_without_a_copy_leave_the_work_to_the_others(
    config: EvalConfig, make_model: Any
) -> None:
    both = replace(config, heldout=None, baseline=str(make_model(2)))
    _, expected = measured(both, "one", 1, suite="smoke")
    run = open_run(replace(both, run=RunConfig(name="three", root=both.run.root), batch_tokens=200))
    assert run_ranks(3, evaluate_spread, str(run.path)) == [EXIT_DONE] * 3
    assert measured(both, "three", 1, suite="smoke")[1] == expected


@pytest.mark.usefixtures("own_process")
def test_one_model_is_gone_before_the_next_is_loaded(
    config: EvalConfig, make_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory may not hold two, and another rank's copy may need this rank's GPU."""
    before: list[weakref.ref[SharedPrefixLM]] = []

    def build(*arguments: Any) -> SharedPrefixLM:
        assert not any(model() for model in before)
        lm = build_lm(*arguments)
        before.append(weakref.ref(lm))
        return lm

    monkeypatch.setattr(eval.measures, "build_lm", build)
    run = open_run(replace(config, heldout=None, baseline=str(make_model(2))))
    assert main(["--config", str(run.config)]) == EXIT_DONE
    assert len(before) == 2
