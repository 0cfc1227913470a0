"""The stages that can be a job of their own."""

from __future__ import annotations

from eval.config import EvalConfig
from selfinstruct.config import SelfInstructConfig
from sft.config import SFTConfig

JobConfig = SelfInstructConfig | SFTConfig | EvalConfig

JOB_STAGES: dict[str, type[JobConfig]] = {
    schema.STAGE: schema for schema in (SelfInstructConfig, SFTConfig, EvalConfig)
}
