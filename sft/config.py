"""Config of the fine-tuning stage, and the arithmetic of its batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar

from pacos.config import ClusterConfig, ModelConfig, RunConfig, TrackingConfig
from pacos.errors import Problem
from pacos.model_paths import path_problem
from sft.batch_config import BatchConfig
from sft.data_config import DataConfig


class Precision(Enum):
    """Number format of weights and activations; the optimizer's master copy is fp32."""

    bf16 = "bf16"
    fp32 = "fp32"


class Decay(Enum):
    """How the learning rate falls after warm-up."""

    cosine = "cosine"
    linear = "linear"
    constant = "constant"


@dataclass(kw_only=True, slots=True)
class OptimizerConfig:
    """AdamW and its clipping."""

    lr: float = 2e-5
    """Peak learning rate."""
    weight_decay: float = 0.0
    """Decoupled decay, on matrices only."""
    beta1: float = 0.9
    """Decay of the mean of gradients."""
    beta2: float = 0.999
    """Decay of the mean of squared gradients."""
    eps: float = 1e-8
    """Added to the root of the second moment."""
    max_grad_norm: float = 1.0
    """Global gradient norm above which gradients are scaled down; 0 turns clipping off."""


@dataclass(kw_only=True, slots=True)
class ScheduleConfig:
    """Learning rate over the steps."""

    decay: Decay = Decay.cosine
    """Shape after warm-up; `cosine` and `linear` end at 0."""
    warmup_ratio: float = 0.03
    """Share of all steps in which the rate rises linearly from 0 (Alpaca: 0.03)."""


@dataclass(kw_only=True, slots=True)
class DeepSpeedConfig:
    """How parameters, gradients and optimizer states are divided over ranks."""

    stage: int = 2
    """ZeRO stage: 0 nothing, 1 optimizer states, 2 and gradients, 3 and parameters."""
    offload_optimizer: bool = False
    """Keep optimizer states in host memory."""
    offload_parameters: bool = False
    """Keep parameters in host memory between uses; ZeRO-3 only."""


@dataclass(kw_only=True, slots=True)
class CheckpointConfig:
    """What a crash may cost."""

    every_steps: int = 200
    """Steps between checkpoints; a crash loses at most these."""
    keep: int = 2
    """Newest checkpoints kept on disk."""


@dataclass(kw_only=True, slots=True)
class SFTConfig:
    """Everything that `pacos sft` needs to know."""

    STAGE: ClassVar[str] = "sft"
    FREE: ClassVar[tuple[str, ...]] = (
        "cluster",
        "tracking",
        "deepspeed",
        "checkpoint",
        "batch.micro_packs",
    )

    run: RunConfig = field(default_factory=RunConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    deepspeed: DeepSpeedConfig = field(default_factory=DeepSpeedConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    epochs: int = 3
    """Passes over the data (Alpaca 7B: 3)."""
    max_steps: int | None = None
    """End after this many steps even if epochs remain; null runs all epochs."""
    precision: Precision = Precision.bf16
    """`bf16`, or `fp32` for exact comparisons."""
    activation_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a quarter more time."""
    seed: int = 42
    """Seed of the order of packs and of random weights."""

    def subject(self) -> str:
        return self.model.name

    def problems(self) -> list[Problem]:
        return [
            *self.cluster.problems(),
            *self.data.problems(),
            *self.batch.problems(self.data.max_length, self.cluster.world_size()),
            *self._length_problems(),
            *self._range_problems(),
        ]

    def _length_problems(self) -> list[Problem]:
        longest = self.model.shape.max_position_embeddings
        if self.data.max_length <= longest:
            return []
        what = f"{self.model.name} was made for at most {longest} tokens"
        return [Problem("data.max_length", self.data.max_length, what, f"set it to {longest}")]

    def _range_problems(self) -> list[Problem]:
        at_least_one = {
            "checkpoint.every_steps": self.checkpoint.every_steps,
            "checkpoint.keep": self.checkpoint.keep,
            "epochs": self.epochs,
            "max_steps": self.max_steps,
        }
        found = [
            Problem(key, value, "must be at least 1", "raise it")
            for key, value in at_least_one.items()
            if value is not None and value < 1
        ]
        if self.optimizer.lr <= 0:
            found.append(Problem("optimizer.lr", self.optimizer.lr, "must be above 0", "raise it"))
        if self.optimizer.max_grad_norm < 0:
            norm = self.optimizer.max_grad_norm
            remedy = "use 0 for no clipping"
            found.append(Problem("optimizer.max_grad_norm", norm, "must not be below 0", remedy))
        if not 0 <= self.schedule.warmup_ratio < 1:
            ratio = self.schedule.warmup_ratio
            found.append(
                Problem("schedule.warmup_ratio", ratio, "is a share", "choose one in [0, 1)")
            )
        stage = self.deepspeed.stage
        if stage not in (0, 1, 2, 3):
            found.append(Problem("deepspeed.stage", stage, "no such stage", "choose 0 to 3"))
        elif self.deepspeed.offload_parameters and stage != 3:
            remedy = "use deepspeed=zero3_offload, or turn it off"
            found.append(
                Problem("deepspeed.offload_parameters", True, f"needs stage 3, not {stage}", remedy)
            )
        return found

    def missing_files(self) -> list[Problem]:
        model = path_problem("model.path", self.model.path)
        return [*([model] if model else []), *self.data.missing_files()]


SCHEMAS = {
    "sft_schema": SFTConfig,
    "model/schema": ModelConfig,
    "data/schema": DataConfig,
    "deepspeed/schema": DeepSpeedConfig,
    "cluster/schema": ClusterConfig,
    "tracking/schema": TrackingConfig,
}
