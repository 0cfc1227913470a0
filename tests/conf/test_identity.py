"""The identity of configs: the digests that name existing runs, and the fields that are free."""

from __future__ import annotations

import pytest

from eval.config import EvalConfig
from launch.config import SCHEMAS, PipelineConfig
from pacos.configs.compose import compose_with_problems
from pacos.configs.stage import StageConfig
from pacos.identity import flatten, identity, identity_fields
from selfinstruct.config import SelfInstructConfig
from sft.config import SFTConfig

DIGESTS: list[tuple[type[StageConfig], str, str]] = [
    (
        SFTConfig,
        "",
        "c59ee4896aea4c60a9e0bca934675f543b97a8e9abffcc59df00444931305ce1",
    ),
    (
        SFTConfig,
        "experiment=alpaca_7b",
        "7f07f079cd87002cf67f93c6c151ccc7ccd442f650cb44c65e2f006bb62eb29c",
    ),
    (
        SFTConfig,
        "model=llama3_1_8b data=rows data.path=rows.jsonl batch.rows=64 precision=bf16_states "
        "seed=7",
        "f0afbc2a6ecef0fc40991808c0ccd8692a89c81e56d012c1b4e1cba66f1bb80a",
    ),
    (
        SFTConfig,
        "model=tiny validation.rows=8 max_steps=10 batch.layout=grouped",
        "7c8549c73a15611286969f624caeb12c07139a43998f5ce08a1e5266631e6715",
    ),
    (
        SelfInstructConfig,
        "",
        "a6df9235d693498b52b10256f421fe73f833bc655def24bef7594719f9e09baf",
    ),
    (
        SelfInstructConfig,
        "method=self_instruct_paper generator=openai judge=openai lang=en_ko",
        "a76d317d6cb252535f127ac9a1f4e5290b93f50b3ef79542b3902cc71e5021a2",
    ),
    (
        SelfInstructConfig,
        "method=alpaca_small generator=vllm generator.endpoint.model=m generator.terms=mit "
        "suite=mmlu seeds.heldout=20 filters.words=kiwi",
        "3d556d1b1bcc37a2c33d50691e500536c7a726464653152d55197af405d6f55d",
    ),
    (
        SelfInstructConfig,
        "generator=local target_rows=100",
        "1221b6ac99bba559756b938dd6d08056f1e9f78d13fb7c0c4a2b059e3c6a2d54",
    ),
    (
        EvalConfig,
        "target=m",
        "31bd78faacc3e838b8fdb9a7fc4e2c68841c2d2f3d2b367e772287f3be0da378",
    ),
    (
        EvalConfig,
        "suite=geval target=m baseline=b judge=openai geval.temperature=0.7",
        "b2ab888bb96d689905885170bd547f049df054520062c5d10f57b5ada2a2696f",
    ),
    (
        EvalConfig,
        "suite=humaneval target=endpoint endpoint=openai prompt_format=llama3 limit=5",
        "b23e5b33690900f7db467bb0357951ced6a198549c5abec5d17fbac939912635",
    ),
    (
        PipelineConfig,
        "",
        "42daa9d2d965f251b69f2c19334f0975427b771b65583cc6f199ac7881990719",
    ),
    (
        PipelineConfig,
        "experiment=demo",
        "09e5f26a1b4c93ea5a268f06c303d3bdde1acf4dfb3b3dd39ea8dee6bcbafbc6",
    ),
    (
        PipelineConfig,
        "where=cluster sft.model.license=x selfinstruct.seed=3",
        "f246995b46b05abede059e6be9db945f6aa6084f07568b53ed0391869f997ba5",
    ),
]
"""Stage, overrides, digest. If one changes, the command of an existing run starts a new one."""

ENDPOINT = [
    "mode",
    "api_key_env",
    "concurrency",
    "requests_per_minute",
    "tokens_per_minute",
    "requests_per_second",
    "tokens_per_second",
    "timeout",
    "retries",
    "prompt_price",
    "completion_price",
    "budget_usd",
    "budget_tokens",
]
SELFINSTRUCT = [
    *("run", "cluster", "tracking", "pilot", "max_fruitless"),
    *("license_policy", "license_waiver"),
    *("generator.batch_size", "generator.serve"),
    *(f"generator.endpoint.{key}" for key in ENDPOINT),
    *(f"judge.endpoint.{key}" for key in ENDPOINT),
]
SFT = [
    *("run", "cluster", "tracking", "deepspeed", "checkpoint", "export", "health", "inloop"),
    *("license_policy", "license_waiver", "model.license", "data.terms"),
    *("validation.every_steps", "validation.samples", "validation.sample_tokens"),
    *("batch.micro_packs", "activation_checkpointing", "attention", "compile"),
    "model.pretraining_tokens",
]
EVAL = [
    *("run", "cluster", "tracking", "judge", "batch_size", "batch_tokens"),
    *("serve", "gpus_per_model"),
    "humaneval.sandbox.workers",
    *(f"endpoint.{key}" for key in ENDPOINT),
    *("geval.scoring", "geval.samples", "geval.reply_tokens", "geval.rated"),
]
PIPELINE = [
    *("run", "where", "license_policy", "license_waiver"),
    *(f"selfinstruct.{key}" for key in SELFINSTRUCT),
    *(f"sft.{key}" for key in SFT),
    *(f"eval.{key}" for key in EVAL),
]
FREE: list[tuple[type[StageConfig], str, list[str]]] = [
    (SelfInstructConfig, "generator=vllm judge=server", SELFINSTRUCT),
    (SFTConfig, "", SFT),
    (EvalConfig, "endpoint=openai judge=openai", EVAL),
    (
        PipelineConfig,
        "generator@selfinstruct.generator=vllm judge@selfinstruct.judge=server",
        PIPELINE,
    ),
]
"""Stage, overrides that fill in its endpoints, and the fields or groups that are free."""


def compose(schema: type[StageConfig], overrides: str) -> StageConfig:
    config, _ = compose_with_problems(schema, SCHEMAS, overrides.split())
    return config


@pytest.mark.parametrize(("schema", "overrides", "digest"), DIGESTS)
def test_the_identity_of_a_config_stays_the_same(
    schema: type[StageConfig], overrides: str, digest: str
) -> None:
    assert identity(compose(schema, overrides)) == digest


@pytest.mark.parametrize(("schema", "overrides", "free"), FREE)
def test_these_fields_may_change_between_lives_and_no_others(
    schema: type[StageConfig], overrides: str, free: list[str]
) -> None:
    config = compose(schema, overrides)
    fixed = identity_fields(config)
    prefixes = tuple(f"{key}." for key in free)
    expected = [key for key in flatten(config) if key in free or key.startswith(prefixes)]
    assert [key for key in flatten(config) if key not in fixed] == expected
