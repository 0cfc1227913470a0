"""The real model on real benchmarks: what the harness's own HFLM scores, to 1e-4 nats in fp32."""

from pathlib import Path

import pytest
from lm_eval.models.huggingface import HFLM

from eval.config import EvalConfig
from eval.engine.certificate import TOLERANCE, Certificate
from eval.engine.lm import SharedPrefixLM
from eval.engine.loading import build_lm
from eval.harness.suites import build_suite, leaves
from pacos.configs.cluster import ClusterConfig, Device
from pacos.configs.suite import SuiteConfig
from tests.eval.conftest import EMBEDDED

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lm() -> SharedPrefixLM:
    config = EvalConfig(target=EMBEDDED, cluster=ClusterConfig(device=Device.cpu))
    return build_lm(EMBEDDED, config)


@pytest.mark.parametrize(
    ("task", "shots", "items"),
    [
        ("mmlu_anatomy", 5, 8),
        ("hellaswag", 10, 2),
        ("truthfulqa_mc2", 0, 6),
        ("smoke_choice_ko", 0, 4),
        ("smoke_continuation_ko", 0, 6),
    ],
)
def test_scores_are_the_harness_own(
    lm: SharedPrefixLM, shared_data: Path, task: str, shots: int, items: int
) -> None:
    suite = SuiteConfig(
        name="smoke", tasks=[task], num_fewshot={task: shots}, data_dir=str(shared_data)
    )
    (built,) = leaves(build_suite(suite).tasks)
    built.set_fewshot_seed(1234)
    built.build_all_requests(limit=items, rank=0, world_size=1)
    harness = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=8)
    expected = harness.loglikelihood(built.instances, disable_tqdm=True)
    got = lm.loglikelihood(built.instances, disable_tqdm=True)
    found = Certificate()
    for number in range(items):
        own = [n for n, request in enumerate(built.instances) if request.doc_id == number]
        found.compare_scores([got[n] for n in own], [expected[n] for n in own])
    assert found.items == items
    assert found.max_difference <= TOLERANCE
    assert found.flips_beyond_rounding == 0
    assert found.greedy_flips == 0


def test_answers_are_the_harness_own(lm: SharedPrefixLM, shared_data: Path) -> None:
    """TyDiQA in Korean: a Korean task, with passages of all lengths."""
    suite = SuiteConfig(name="x", tasks=["tydiqa_goldp_ko"], data_dir=str(shared_data))
    (built,) = build_suite(suite).tasks
    built.set_config("num_fewshot", 0)
    built.set_config("generation_kwargs", {"until": ["\n"], "max_gen_toks": 24})
    built.build_all_requests(limit=6, rank=0, world_size=1)
    harness = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=1)
    expected = harness.generate_until(built.instances, disable_tqdm=True)
    assert lm.generate_until(built.instances, disable_tqdm=True) == expected
