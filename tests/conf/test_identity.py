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
        "83868f60e2a2ecc7bdc50d2ee862a08910f4b12f52011522e683123b89cb6aca",
    ),
    (
        SFTConfig,
        "experiment=alpaca_7b",
        "ca0e093127c82ec29d9f0ab2429dabccfcef9b1bc284c161240dd9b6b2e12938",
    ),
    (
        SFTConfig,
        "model=llama3_1_8b data=rows data.path=rows.jsonl batch.rows=64 precision=bf16_states "
        "seed=7",
        "db90c32509a9f2e314e9c1e00fa28e673bbaca2f8d27bfc80230fbe79aba7bf6",
    ),
    (
        SFTConfig,
        "model=tiny validation.rows=8 max_steps=10 batch.layout=grouped",
        "5bf483b5265e33f0692f4d0f0ef1a3d51d52df779bb4f414ac1c195f02f7fa98",
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
        "a2416cef5cb2e4368a9414da4be0c902b46234510456d417ef996feb0e287f33",
    ),
    (
        EvalConfig,
        "suite=geval target=m baseline=b judge=openai geval.temperature=0.7",
        "33f4c35b26c1d89f3643f30ccd22eccc3149a653b3a3b7919133ca3dc0848a82",
    ),
    (
        EvalConfig,
        "suite=humaneval target=endpoint endpoint=openai prompt_format=llama3 limit=5",
        "d2dfaa29fc248e4c007db617c45867efeed87ea6fab25376351038e6798aa110",
    ),
    (
        PipelineConfig,
        "",
        "410dfeb42a3874e61254b8d1ca4fb8671825f9276f745e16353204e29ccb40b9",
    ),
    (
        PipelineConfig,
        "experiment=demo",
        "0665682ad722274ae9ffa078e4e5dfc5d23cf59b82f6576c8e77cd57ed3b2258",
    ),
    (
        PipelineConfig,
        "where=cluster sft.model.license=x selfinstruct.seed=3",
        "94016fe0f4ddfc18a060b859f5fdfd4fef8aba58e712e6266e567e8680f1d128",
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
