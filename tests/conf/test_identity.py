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
        "50b8e3d79b6a829dd396dcb62a63ac21c4b89ef02b50673f9e6cf9debd3a57cd",
    ),
    (
        SFTConfig,
        "experiment=alpaca_7b",
        "98a7639c69de4c5d5e542adcf4da426d68bfeb121ba9da89c604cc531eb93703",
    ),
    (
        SFTConfig,
        "model=llama3_1_8b data=rows data.path=rows.jsonl batch.rows=64 precision=bf16_states "
        "seed=7",
        "f6392c3a0a475d92882124b472ad25251a0fb74ea29fe7ed536d22246e667af4",
    ),
    (
        SFTConfig,
        "model=tiny validation.rows=8 max_steps=10 batch.layout=grouped",
        "d932f970e0e06de5353b0435110b198ffdb6ef8d0e1b3f42ebc34cb7874ffed7",
    ),
    (
        SelfInstructConfig,
        "",
        "3ac01f4d0f95983d27e7fde8b0e630e2a19bbabb0bc63f72051cd22d846181b3",
    ),
    (
        SelfInstructConfig,
        "method=self_instruct_paper generator=openai judge=openai lang=en_ko",
        "b27f9ca31ef9156fd5e18bdae8ff1db9ab9ba35fee719800a6fd22d74eaae5bf",
    ),
    (
        SelfInstructConfig,
        "method=alpaca_small generator=vllm generator.endpoint.model=m generator.terms=t "
        "suite=mmlu seeds.heldout=20 filters.words=kiwi",
        "c54b8438490eb12499694e1deca664c2e9fd14779b54b27a60b75a0fa777e764",
    ),
    (
        SelfInstructConfig,
        "generator=local target_rows=100",
        "daaaa1be6dee4e3a0b9a7719e60d230c50eb3bcb673633ff7015fb4b06b9a670",
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
        "b540b62e6ffefef2aeb5c53000877cc0d32eba0527b03b4f8a9c54c37b8e8037",
    ),
    (
        PipelineConfig,
        "experiment=demo",
        "5c4ebea4a83edcf57078c8cd7b34747c4580e83bd02d5366996bd97f056b235f",
    ),
    (
        PipelineConfig,
        "where=cluster sft.model.license=x selfinstruct.seed=3",
        "78693d1a927a254dd726e24d653886184ff2238f5de4b64f929d2f4b641588b7",
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
    *("generator.batch_size", "generator.serve"),
    *(f"generator.endpoint.{key}" for key in ENDPOINT),
    *(f"judge.endpoint.{key}" for key in ENDPOINT),
]
SFT = [
    *("run", "cluster", "tracking", "deepspeed", "checkpoint", "health", "inloop"),
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
    *("run", "where"),
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
