"""The root config of fine-tuning, and the checks that span several of its groups."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import ClassVar

from pacos.configs.cluster import ClusterConfig, Device
from pacos.configs.inloop import InLoopConfig
from pacos.configs.license import (
    LicensePolicy,
    WaiverConfig,
    conflict_problems,
    license_problems,
)
from pacos.configs.model import Init, ModelConfig
from pacos.configs.stage import RunConfig
from pacos.configs.suite import SuiteConfig
from pacos.configs.tracking import TrackingConfig
from pacos.data.source_config import SourceConfig
from pacos.errors import Problem
from pacos.identity import FREE
from pacos.model.paths import path_problem
from pacos.model.trainable import local_problems, local_shape
from pacos.terms.combine import Input
from sft.configs.batch import BatchConfig
from sft.configs.checkpoint import CheckpointConfig
from sft.configs.compute import ActivationCheckpointing, Attention, Precision
from sft.configs.data import DataConfig
from sft.configs.deepspeed import DeepSpeedConfig, Offload
from sft.configs.export import ExportConfig, Exported
from sft.configs.health import HealthConfig
from sft.configs.optimizer import OptimizerConfig
from sft.configs.schedule import ScheduleConfig
from sft.configs.terms import inherited_inputs, stated_inputs
from sft.configs.validation import ValidationConfig


@dataclass(kw_only=True, slots=True)
class SFTConfig:
    """The config of `pacos sft`."""

    STAGE: ClassVar[str] = "sft"

    run: RunConfig = field(default_factory=RunConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    deepspeed: DeepSpeedConfig = field(default_factory=DeepSpeedConfig, metadata=FREE)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig, metadata=FREE)
    export: ExportConfig = field(default_factory=ExportConfig, metadata=FREE)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    inloop: InLoopConfig = field(default_factory=InLoopConfig, metadata=FREE)
    health: HealthConfig = field(default_factory=HealthConfig, metadata=FREE)
    cluster: ClusterConfig = field(default_factory=ClusterConfig, metadata=FREE)
    tracking: TrackingConfig = field(default_factory=TrackingConfig, metadata=FREE)
    license_policy: LicensePolicy = field(default=LicensePolicy.research, metadata=FREE)
    """Use that the licences of weights and rows must permit: `research`, `commercial`, or
    `none` to check nothing. This is no legal advice (docs/licences.md)."""
    license_waiver: WaiverConfig = field(default_factory=WaiverConfig, metadata=FREE)
    epochs: int = 3
    """Passes over the data (Alpaca 7B: 3). More passes fit the rows better and may overfit."""
    max_steps: int | None = None
    """Steps after which the run ends even if epochs remain; null runs all epochs. The learning rate
    schedule ends there too."""
    precision: Precision = Precision.bf16
    """`bf16`: weights and activations in bf16; the optimizer's copy of the weights, its moments and
    the sum of gradients in fp32 (18 bytes per parameter). `bf16_states`: all of these in bf16 (10
    bytes), for models that do not fit otherwise; small updates are rounded away. `fp32`: all in
    fp32, for exact comparisons."""
    attention: Attention = field(default=Attention.auto, metadata=FREE)
    """`flash`: the package flash-attn; `kernels`: the same kernels, downloaded from the hub by the
    package kernels; `sdpa`: torch only, one call per document, slower. `auto` takes the first that
    is installed and suits the device. Each is checked at start to keep packed rows apart."""
    activation_checkpointing: ActivationCheckpointing = field(
        default=ActivationCheckpointing.none, metadata=FREE
    )
    """`none` keeps every activation. `selective` keeps matrix products and attention, and
    recomputes the cheap rest (6 % more compute). `full` keeps one activation per layer: least
    memory, one more forward pass (a third more compute)."""
    compile: bool = field(default=False, metadata=FREE)
    """Compile the parts of each layer with torch.compile, for ZeRO 0 to 2. Costs minutes at the
    start and saves kernel launches in every step."""
    seed: int = 42
    """Seed of everything random: the order of packs, fractional data weights, held-out rows, and
    random weights."""

    def subject(self) -> str:
        return self.model.name

    def adopt_files(self, typed: Collection[str]) -> None:
        """Take the model's shape from the config.json of its directory.

        A config such as model=llama3_1_8b brings the shape of its own `model.path`, which another
        path does not have.
        """
        shape = None if self.model.init is Init.random else local_shape(self.model.path)
        if shape is None or "model.shape" in typed:
            return
        prefix = "model.shape."
        given = [key.removeprefix(prefix) for key in typed if key.startswith(prefix)]
        self.model.shape = replace(
            shape, **{name: getattr(self.model.shape, name) for name in given}
        )

    def problems(self) -> list[Problem]:
        return [
            *self.cluster.problems(),
            *self.model.problems(),
            *self.data.problems(),
            *self.optimizer.problems(),
            *self.schedule.problems(),
            *self.deepspeed.problems(self.cluster, self.model.shape),
            *self.validation.problems(),
            *self.inloop.problems(),
            *self.checkpoint.problems(),
            *self.health.problems(),
            *self._length_problems(),
            *self.batch.problems(
                self.data.max_length, self.deepspeed.data_ranks(self.cluster.world_size())
            ),
            *self._range_problems(),
            *license_problems(self.stated_inputs(), self.license_policy, self.license_waiver),
            *self._engine_problems(),
            *self._export_problems(),
        ]

    def _export_problems(self) -> list[Problem]:
        if self.export.checkpoint is not Exported.best:
            return []
        problems = []
        if self.validation.rows == 0:
            fault, remedy = "no validation loss is measured", "set validation.rows, such as to 500"
            problems.append(Problem("export.checkpoint", "best", fault, remedy))
        if not self.checkpoint.keep_best:
            fault = "the best checkpoint is removed when it is not among the newest"
            problems.append(
                Problem("export.checkpoint", "best", fault, "set checkpoint.keep_best=true")
            )
        return problems

    def _length_problems(self) -> list[Problem]:
        longest = self.model.shape.max_position_embeddings
        if self.data.max_length <= longest:
            return []
        fault = f"{self.model.name} was made for at most {longest} tokens"
        return [Problem("data.max_length", self.data.max_length, fault, f"set it to {longest}")]

    def _range_problems(self) -> list[Problem]:
        at_least_one = {"epochs": self.epochs, "max_steps": self.max_steps}
        return [
            Problem(key, value, "must be at least 1", "raise it")
            for key, value in at_least_one.items()
            if value is not None and value < 1
        ]

    def stated_inputs(self) -> list[Input]:
        """Return the works that the model is made from, as far as the config states their terms."""
        return stated_inputs(self.model, self.data)

    def _engine_problems(self) -> list[Problem]:
        return [
            *self._compile_problems(),
            *self._attention_problems(),
            *self._precision_problems(),
        ]

    def _compile_problems(self) -> list[Problem]:
        problems = []
        if self.compile and self.deepspeed.stage == 3:
            fault = "ZeRO-3 gathers parameters in Python, between the kernels of a layer"
            remedy = "use deepspeed.stage=2, or compile=false"
            problems.append(Problem("compile", True, fault, remedy))
        if self.compile and self.activation_checkpointing is ActivationCheckpointing.selective:
            fault = "activation_checkpointing=selective cannot see single products in compiled code"
            problems.append(Problem("compile", True, fault, "use full or none, or compile=false"))
        return problems

    def _attention_problems(self) -> list[Problem]:
        if self.attention not in (Attention.flash, Attention.kernels):
            return []
        on_cpu = self.cluster.device is Device.cpu
        if not on_cpu and self.precision is not Precision.fp32:
            return []
        fault = f"needs bf16 on a GPU, not {'the CPU' if on_cpu else 'fp32'}"
        remedy = "use attention=auto, which takes one that fits"
        return [Problem("attention", self.attention.name, fault, remedy)]

    def _precision_problems(self) -> list[Problem]:
        if self.precision is not Precision.bf16_states:
            return []
        if self.deepspeed.stage > 0 and self.deepspeed.offload_optimizer is Offload.none:
            return []
        fault = "needs optimizer states that are divided over ranks and stay on the device"
        remedy = "set deepspeed.stage to 1, 2 or 3 without offload_optimizer, or use bf16"
        return [Problem("precision", self.precision.name, fault, remedy)]

    def missing_files(self) -> list[Problem]:
        path = path_problem("model.path", self.model.path)
        return [
            *([path] if path else self.model_problems()),
            *self.model.missing_files(),
            *self.data.missing_files(),
            *self.validation.missing_files(),
            *self._inherited_conflicts(),
        ]

    def model_problems(self) -> list[Problem]:
        """Return what keeps a model directory on this machine from being trained."""
        if self.model.init is Init.random:
            return []
        return local_problems(self.model.path, self.model.shape, self.data.max_length)

    def _inherited_conflicts(self) -> list[Problem]:
        """Return the conflicts with works that a model or data set of an earlier run brings."""
        stated, policy, waiver = self.stated_inputs(), self.license_policy, self.license_waiver
        inherited = [*stated, *inherited_inputs(self.model, self.data)]
        known = conflict_problems(stated, policy, waiver)
        found = conflict_problems(inherited, policy, waiver)
        return [problem for problem in found if problem not in known]

    def validation_source(self) -> SourceConfig | None:
        """Return the source of the held-out rows, if they have one of their own."""
        if self.validation.path is None:
            return None
        return replace(self.data.sources()[0], path=self.validation.path, weight=1.0)


SCHEMAS = {
    "sft_schema": SFTConfig,
    "model/schema": ModelConfig,
    "data/schema": DataConfig,
    "deepspeed/schema": DeepSpeedConfig,
    "cluster/schema": ClusterConfig,
    "suite/schema": SuiteConfig,
    "tracking/schema": TrackingConfig,
}
