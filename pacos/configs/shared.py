"""Config types that more than one stage has, and what every config can do."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar, Protocol

from pacos.errors import Problem
from pacos.gpus import GPUS, find_gpu
from pacos.identity import FREE, identity
from pacos.model.formats import PromptFormat
from pacos.model.shape import LlamaShape

TIME_LIMIT = re.compile(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)")
"""Days, hours, minutes, seconds of a Slurm time limit."""


class Init(Enum):
    """Where a model's weights come from."""

    pretrained = "pretrained"
    random = "random"


class Tracker(Enum):
    """Which service mirrors metrics.jsonl."""

    none = "none"
    wandb = "wandb"


class TrackingMode(Enum):
    """Whether the tracking service is reached during the run or later."""

    online = "online"
    offline = "offline"


class Launcher(Enum):
    """Who starts the ranks."""

    local = "local"
    slurm = "slurm"


class Device(Enum):
    """What the ranks compute on."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


PLAIN_NAME = re.compile(r"[\w+=-][\w.+=-]{0,199}")


def is_plain_name(text: str) -> bool:
    """Whether a text from a config or from data can name a file without leading elsewhere."""
    return PLAIN_NAME.fullmatch(text) is not None


@dataclass(kw_only=True, slots=True)
class RunConfig:
    """Where a run is kept."""

    name: str | None = field(default=None, metadata=FREE)
    """Folder of the run below `root`; null: stage, subject and identity of the config."""
    root: str = field(default="runs", metadata=FREE)
    """Folder that holds the runs, relative to where the command is typed."""

    def problems(self) -> list[Problem]:
        if self.name is None or is_plain_name(self.name):
            return []
        what = "must be the name of one folder: letters, digits, . _ + = - and no dot at first"
        return [Problem("run.name", self.name, what, "put other folders into run.root")]


@dataclass(kw_only=True, slots=True)
class ModelConfig:
    """A causal language model of the LLaMA architecture."""

    name: str = "???"
    """Short name, used in names of runs."""
    path: str = "???"
    """A model directory, a hub id, or `embedded:NAME` for a model that a Python package ships."""
    revision: str | None = None
    """Commit or tag on the hub; null takes the newest, which can change between runs."""
    init: Init = Init.pretrained
    """`random` takes only the tokenizer from `path` and draws weights of `shape` from the seed."""
    prompt_format: PromptFormat | None = PromptFormat.chatml
    """Prompt format for training, evaluation and the exported chat template. Null: the tokenizer's
    own chat template, which has to mark what the assistant says (`generation`)."""
    pad_token: str | None = None
    """A token of the vocabulary that pads; never the stop token. Null keeps the tokenizer's own."""
    license: str = "???"
    """Terms of the weights, recorded in every output's lineage."""
    shape: LlamaShape = field(default_factory=LlamaShape)
    """Sizes, so that a plan needs neither the weights nor torch."""
    pretraining_tokens: float | None = field(default=None, metadata=FREE)
    """Tokens that the weights were trained on, as their makers say; `pacos plan` compares them with
    the compute-optimal number."""


@dataclass(kw_only=True, slots=True)
class TrackingConfig:
    """Mirror of metrics.jsonl; the file itself is always written."""

    service: Tracker = Tracker.none
    """`none` or `wandb`."""
    mode: TrackingMode = TrackingMode.offline
    """`online` needs WANDB_API_KEY in the environment and goes offline without it."""
    project: str = "pacos"
    """W&B project."""
    entity: str | None = None
    """W&B team; null is the key's own."""
    group: str | None = None
    """W&B group, one for all points of a sweep."""


@dataclass(kw_only=True, slots=True)
class ClusterConfig:
    """Machines and ranks of a training or evaluation job."""

    launcher: Launcher = Launcher.local
    """`local` starts ranks on this machine, `slurm` submits a job."""
    device: Device = Device.auto
    """`auto` is CUDA where a GPU is seen by the rank, else the CPU."""
    nodes: int = 1
    """Machines; more than one needs `slurm`."""
    ranks_per_node: int = 1
    """Processes a machine, one a GPU."""
    threads_per_rank: int | None = None
    """OMP_NUM_THREADS of each rank; null divides the machine's cores over its ranks."""
    partition: str | None = None
    """Slurm partition; null is the site's default."""
    account: str | None = None
    """Slurm account; null is the user's default."""
    qos: str | None = None
    """Slurm quality of service; null is the user's default."""
    time_limit: str = "24:00:00"
    """Slurm wall time of one life of a run, D-HH:MM:SS or HH:MM:SS: a run that needs longer saves
    and goes on in the next life."""
    memory: str | None = None
    """Host memory of a node for the job, such as 200G; 0 is all of it, null the site's default."""
    exclude: list[str] = field(default_factory=list)
    """Nodes that Slurm must not use."""
    options: list[str] = field(default_factory=list)
    """Other options of sbatch, as they are typed: `['--constraint=h100', '--exclusive']`."""
    grace_seconds: int = 300
    """How long before the time limit Slurm asks the run to save (it may be 60 s early), and how
    long ranks may take to save and end: longer than a step and a checkpoint together."""
    at_once: int | None = None
    """Points of a sweep that Slurm runs at the same time; null: as many as there is room for. On
    one machine they run one after another."""
    gpu: str | None = None
    """GPU of the ranks, such as H100, H200 or A100, for `pacos plan` and the check that a run fits.
    Null: what nvidia-smi shows where ranks run on this machine, else H100."""
    gpu_memory_gib: float | None = None
    """GiB of its memory; null: what its name says, of an A100 80."""
    network_gbps: float = 400.0
    """Gbit/s between nodes, all network adapters of a node together; a DGX H100 has 3200. Only
    `pacos plan` reads it."""
    gpu_hour_usd: float | None = None
    """What a GPU costs an hour, in US dollars, for `pacos plan`; null: it tells no cost."""
    must_fit: bool = True
    """Whether a run that cannot fit into its GPUs' memory is refused before it starts."""

    def world_size(self) -> int:
        """Ranks of the job."""
        return self.nodes * self.ranks_per_node

    def threads(self) -> int:
        """CPU threads of each rank."""
        cores = len(os.sched_getaffinity(0))
        return self.threads_per_rank or max(1, cores // self.ranks_per_node)

    def problems(self) -> list[Problem]:
        found = []
        for key in ("nodes", "ranks_per_node", "threads_per_rank", "grace_seconds", "at_once"):
            value = getattr(self, key)
            if value is not None and value < 1:
                found.append(Problem(f"cluster.{key}", value, "must be at least 1", "raise it"))
        found += self._gpu_problems()
        if self.launcher is Launcher.local and self.nodes > 1:
            found.append(
                Problem(
                    "cluster.nodes",
                    self.nodes,
                    "cluster=local starts ranks on this machine only",
                    "use cluster=slurm, or cluster.nodes=1",
                )
            )
        return [*found, *self._time_problems()]

    def _time_problems(self) -> list[Problem]:
        key, limit = "cluster.time_limit", self.time_limit
        match = TIME_LIMIT.fullmatch(limit)
        if match is None:
            return [Problem(key, limit, "is no time", "write HH:MM:SS or D-HH:MM:SS")]
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        allowed = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
        if self.launcher is Launcher.slurm and allowed <= self.grace_seconds:
            what = f"leaves nothing beside cluster.grace_seconds = {self.grace_seconds}"
            return [Problem(key, limit, what, "raise it, or lower cluster.grace_seconds")]
        return []

    def _gpu_problems(self) -> list[Problem]:
        found = []
        if self.gpu is not None and find_gpu(self.gpu) is None:
            what = "no GPU whose speed is known"
            remedy = f"choose the one most like it of: {', '.join(GPUS)}"
            found.append(Problem("cluster.gpu", self.gpu, what, remedy))
        for key in ("gpu_memory_gib", "network_gbps"):
            value = getattr(self, key)
            if value is not None and value <= 0:
                found.append(Problem(f"cluster.{key}", value, "must be above 0", "raise it"))
        return found


class StageConfig(Protocol):
    """What the front and the run directory ask of a stage's config."""

    STAGE: ClassVar[str]
    """Name of the stage and of its primary config."""

    run: RunConfig

    def problems(self) -> list[Problem]:
        """Everything wrong that can be seen without a device, a file or the network."""
        ...

    def missing_files(self) -> list[Problem]:
        """Local files named by the config that are not there."""
        ...

    def subject(self) -> str:
        """What the run is about, for its default name: a model, a method, a suite."""
        ...


def run_name(config: StageConfig) -> str:
    """The name of the run: the one given, or one derived from the identity."""
    if config.run.name is not None:
        return config.run.name
    subject = re.sub(r"[^\w.+=-]+", "-", config.subject())[:100]
    return f"{config.STAGE}-{subject}-{identity(config)[:8]}"
