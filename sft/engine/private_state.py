"""Everything in DeepSpeed that pacos uses without it being public.

DeepSpeed has no public way to walk the optimizer's weights by parameter under every ZeRO stage, nor
to replace how it computes a norm. Its releases rename such things without notice. They are all
here, and the names are checked when an engine is built: with another DeepSpeed, a run ends before
its first step, with both versions in the message, instead of in its first checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import deepspeed
import torch
from torch import distributed

from pacos.errors import UserError
from pacos.versions import TESTED
from sft.engine.protocol import Engine


def _unsupported(fault: str) -> UserError:
    return UserError(
        f"deepspeed = {deepspeed.__version__}: {fault}, which pacos needs; install the supported "
        f"version: pip install deepspeed=={TESTED['deepspeed']}"
    )


def _require(owner: object, *names: str) -> None:
    """Refuse a DeepSpeed whose objects lack members that this module uses."""
    missing = [name for name in names if not hasattr(owner, name)]
    if missing:
        raise _unsupported(f"its {type(owner).__name__} has no {', '.join(missing)}")


try:
    from deepspeed.runtime.bf16_optimizer import BF16_Optimizer
    from deepspeed.runtime.zero.stage3 import DeepSpeedZeroOptimizer_Stage3
    from deepspeed.runtime.zero.stage_1_and_2 import DeepSpeedZeroOptimizer
except ImportError as error:
    raise _unsupported(f"it lacks a class ({error})") from error


def full_numel(parameter: torch.Tensor) -> int:
    """Return the elements of a whole parameter. Under ZeRO-3 the tensor itself holds none."""
    return int(getattr(parameter, "ds_numel", parameter.numel()))


def op_builder(name: str) -> Any:
    """Return DeepSpeed's builder of a compiled op, or None if this machine cannot build it.

    Args:
        name: the builder's class, such as `ShareMemCommBuilder`.
    """
    _require(deepspeed.ops, "__compatible_ops__")
    builder = deepspeed.accelerator.get_accelerator().create_op_builder(name)
    if builder is None or not deepspeed.ops.__compatible_ops__.get(builder.NAME, False):
        return None
    return builder


def use_fp64_norm(engine: Engine) -> None:
    """Make ZeRO-1 and -2 compute the gradient norm in fp64, as ZeRO-3 does.

    DeepSpeed 0.19 sums squares in fp32 under ZeRO-2, and under ZeRO-1 in fp32. The last digit of
    the clipping factor, and with it losses in bf16, then depend on the stage, by 4e-3 within 20
    steps. With the optimizer offloaded DeepSpeed computes the norm elsewhere, which stays as it is.
    """
    optimizer = engine.optimizer
    if isinstance(optimizer, DeepSpeedZeroOptimizer):
        _require(optimizer, "get_grad_norm_direct", "dp_process_group", "device")
        optimizer.get_grad_norm_direct = partial(_norm_in_fp64, optimizer)


def _norm_in_fp64(
    optimizer: DeepSpeedZeroOptimizer, gradients: Iterable[torch.Tensor], *_: object
) -> torch.Tensor:
    """Return the norm of all ranks' gradients, with more digits than the clipping factor has."""
    squares = torch.zeros((), dtype=torch.float64, device=optimizer.device)
    for gradient in gradients:
        if not getattr(gradient, "_zero_padding", False):
            squares += torch.linalg.vector_norm(gradient, dtype=torch.float64).square()
    distributed.all_reduce(squares, group=optimizer.dp_process_group)
    return squares.sqrt()


def complete_plain_optimizer(optimizer: torch.optim.Optimizer, max_norm: float) -> None:
    """Give torch's optimizer what DeepSpeed's wrappers have: clipping, the norm, the finite check.

    In fp32 under ZeRO-0, DeepSpeed calls torch's optimizer itself. After each step it reads these
    attributes of it for `get_global_grad_norm` and `was_step_applied`.

    Args:
        optimizer: a fused optimizer of torch, which skips a step whose `found_inf` is 1.
        max_norm: norm to clip to; 0 turns clipping off.
    """

    def before_step(optimizer: Any, *_: object) -> None:
        parameters = [each for group in optimizer.param_groups for each in group["params"]]
        norm = torch.nn.utils.get_total_norm([each.grad for each in parameters])
        if max_norm > 0:
            torch.nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)
        optimizer._global_grad_norm = norm
        optimizer.found_inf = (~torch.isfinite(norm)).float()
        optimizer.overflow = bool(optimizer.found_inf)

    optimizer.register_step_pre_hook(before_step)


@dataclass(frozen=True, slots=True)
class Fragment:
    """A part of one parameter, and where it lies in a tensor that the optimizer updates."""

    parameter: str
    start: int
    """First element, within the parameter."""
    count: int
    offset: int
    """First element, within the optimizer's tensor."""

    def share(self, index: int, shares: int) -> Fragment:
        """Return one of `shares` pieces of nearly equal size."""
        first, end = index * self.count // shares, (index + 1) * self.count // shares
        return Fragment(self.parameter, self.start + first, end - first, self.offset + first)


@dataclass(frozen=True, slots=True)
class MasterTensor:
    """A tensor that the optimizer updates on this rank, and the fragments in it."""

    number: int
    """DeepSpeed's number of the parameter group; under ZeRO-3, of the sub-group."""
    values: torch.Tensor
    fragments: list[Fragment]


class MasterWeights(Protocol):
    """The optimizer's own copy of the weights on this rank.

    It is what an update changes; the model's working weights are a rounded copy. How it is divided
    over ranks depends on the ZeRO stage, and each stage has its own implementation below.
    """

    tensors: list[MasterTensor]
    is_replicated: bool
    """True if every rank holds all of it."""

    def begin_fill(self) -> None:
        """Prepare for new content."""
        ...

    def resident(self, tensor: MasterTensor, *, changed: bool) -> AbstractContextManager[None]:
        """Hold a tensor and its moments in memory that may otherwise wait on a disk.

        Args:
            tensor: one of `tensors`.
            changed: True to keep what is written to it meanwhile.
        """
        ...

    def update_working_weights(self) -> None:
        """Compute the model's weights on every rank from the new content; all ranks call it."""
        ...


def master_weights(engine: Engine) -> MasterWeights:
    """Return the master weights of an engine at any ZeRO stage.

    Raises:
        UserError: the installed DeepSpeed keeps them in another way.
    """
    _require(engine, "basic_optimizer")
    names = {parameter: name for name, parameter in engine.module.named_parameters()}
    if isinstance(engine.optimizer, DeepSpeedZeroOptimizer_Stage3):
        return ParameterPartition(engine.optimizer, names)
    if isinstance(engine.optimizer, (DeepSpeedZeroOptimizer, BF16_Optimizer)):
        return FlatPartition(engine.optimizer, names)
    return ReplicatedWeights(engine.optimizer, names)


class ReplicatedWeights:
    """ZeRO-0: every rank holds whole parameters, one to a tensor."""

    def __init__(self, optimizer: Any, names: Mapping[torch.nn.Parameter, str]) -> None:
        # In bf16 DeepSpeed's wrapper lists the working weights here. In fp32 the optimizer is
        # torch's own, and works on the model's parameters themselves.
        groups = getattr(optimizer, "fp16_groups", None)
        masters = [each for group in optimizer.param_groups for each in group["params"]]
        working = masters if groups is None else [each for group in groups for each in group]
        pairs = list(zip(working, masters, strict=True))
        self._working = working
        self.is_replicated = True
        self.tensors = [
            MasterTensor(number, master, [Fragment(names[weight], 0, weight.numel(), 0)])
            for number, (weight, master) in enumerate(pairs)
        ]

    def begin_fill(self) -> None:
        pass

    def resident(self, tensor: MasterTensor, *, changed: bool) -> AbstractContextManager[None]:
        return nullcontext()

    def update_working_weights(self) -> None:
        for weight, tensor in zip(self._working, self.tensors, strict=True):
            if weight is not tensor.values:
                weight.data.copy_(tensor.values.data)


class FlatPartition:
    """ZeRO-1 and -2: a rank holds its share of all parameters of a group, laid end to end.

    A share may begin and end in the middle of a parameter.
    """

    def __init__(self, optimizer: Any, names: Mapping[torch.nn.Parameter, str]) -> None:
        _require(optimizer, "param_groups", "update_lp_params")
        self._optimizer = optimizer
        self.is_replicated = False
        self.tensors = [
            MasterTensor(number, group["params"][0], [])
            for number, group in enumerate(optimizer.param_groups)
        ]
        for parameter, name in names.items():
            _require(parameter, "_hp_mapping")
            mapping: Any = parameter._hp_mapping  # type: ignore[attr-defined]  # DeepSpeed adds it
            if mapping is not None:  # None: no element of it falls into this rank's share
                working, master = mapping.lp_fragment_address, mapping.hp_fragment_address
                fragment = Fragment(name, working.start, working.numel, master.start)
                self.tensors[mapping.param_group_index].fragments.append(fragment)

    def begin_fill(self) -> None:
        pass

    def resident(self, tensor: MasterTensor, *, changed: bool) -> AbstractContextManager[None]:
        return nullcontext()

    def update_working_weights(self) -> None:
        self._optimizer.update_lp_params()


class ParameterPartition:
    """ZeRO-3: a rank holds its share of each parameter; sub-groups may wait on a disk."""

    def __init__(self, optimizer: Any, names: Mapping[torch.nn.Parameter, str]) -> None:
        _require(
            optimizer,
            "fp16_groups",
            "grad_position",
            "get_param_id",
            "_get_param_partition_rank",
            "fp32_partitioned_groups_flat",
            "checkpoint_event_epilogue",
            "_partition_all_parameters",
            "_reassign_or_swap_out_partitioned_parameters",
            "_swappable_optimizer_subgroup",
            "_optimizer_states_and_gradient_swap_in",
            "_optimizer_states_and_gradient_swap_out",
            "_release_swap_buffers",
        )
        self._optimizer = optimizer
        self.is_replicated = False
        self.tensors = [
            MasterTensor(
                number,
                optimizer.fp32_partitioned_groups_flat[number],
                [
                    fragment
                    for parameter in parameters
                    if (fragment := self._fragment(parameter, names[parameter])).count > 0
                ],
            )
            for number, parameters in enumerate(optimizer.fp16_groups)
        ]

    def _fragment(self, parameter: torch.nn.Parameter, name: str) -> Fragment:
        optimizer = self._optimizer
        _, offset, share = optimizer.grad_position[optimizer.get_param_id(parameter)]
        start = share * optimizer._get_param_partition_rank(parameter)
        # DeepSpeed pads the shares of the last ranks to the size of the others.
        return Fragment(name, start, min(share, full_numel(parameter) - start), offset)

    def begin_fill(self) -> None:
        # A parameter that is gathered at the moment would keep its old values.
        self._optimizer._partition_all_parameters()

    @contextmanager
    def resident(self, tensor: MasterTensor, *, changed: bool) -> Iterator[None]:
        optimizer, number = self._optimizer, tensor.number
        is_on_disk = optimizer._swappable_optimizer_subgroup(number)
        if is_on_disk:
            optimizer._optimizer_states_and_gradient_swap_in(number)
        yield
        if changed:
            optimizer._reassign_or_swap_out_partitioned_parameters(number)
        if is_on_disk and changed:
            optimizer._optimizer_states_and_gradient_swap_out(number)
        elif is_on_disk:
            optimizer._release_swap_buffers(number)

    def update_working_weights(self) -> None:
        # Gathers the parameters that ZeRO-3 keeps whole on every rank (norms).
        self._optimizer.checkpoint_event_epilogue()
