"""What has to be kept of DeepSpeed's engine, by parameter.

Under every ZeRO stage torch's AdamW updates tensors of its own on each rank. They hold parts of
parameters: whole ones (stage 0), what falls into the rank's share of all parameters end to end
(1 and 2), or the rank's share of each one (3). A checkpoint names every part by its parameter and
place, so that it can be read into any other division. The working weights are the optimizer's own,
rounded; they are computed again instead of being kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from deepspeed.runtime.bf16_optimizer import BF16_Optimizer
from deepspeed.runtime.zero.stage3 import DeepSpeedZeroOptimizer_Stage3
from deepspeed.runtime.zero.stage_1_and_2 import DeepSpeedZeroOptimizer

from pacos.distributed import World
from sft.engine.parameters import elements

WEIGHT = "weight"
MOMENTS = ("exp_avg", "exp_avg_sq")
"""AdamW's names."""


@dataclass(frozen=True, slots=True)
class Span:
    """Some elements of one parameter."""

    kind: str
    """What of it: the optimizer's `weight`, `exp_avg` or `exp_avg_sq`."""
    parameter: str
    start: int
    """First element, in the order of memory."""
    count: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a part of a parameter lies on this rank."""

    parameter: str
    start: int
    """First element, within the parameter."""
    count: int
    offset: int
    """First element, within the tensor that the optimizer updates."""

    def cut(self, share: int, shares: int) -> Place:
        """One of `shares` parts of like size."""
        first, end = share * self.count // shares, (share + 1) * self.count // shares
        return Place(self.parameter, self.start + first, end - first, self.offset + first)


@dataclass(frozen=True, slots=True)
class Group:
    """A tensor that the optimizer updates, and what lies in it."""

    number: int
    tensor: torch.Tensor
    places: list[Place]


class EngineState:
    """The optimizer's weights and moments on this rank."""

    def __init__(self, engine: Any, world: World) -> None:
        self._optimizer = engine.optimizer
        self._adam = engine.basic_optimizer
        self._world = world
        self._divided = isinstance(self._optimizer, DeepSpeedZeroOptimizer_Stage3)
        self._groups, self._replicated = _groups(engine)
        self.sizes = {name: elements(each) for name, each in engine.module.named_parameters()}
        """Elements of each parameter."""

    @property
    def dtype(self) -> torch.dtype:
        """Of all that is kept."""
        return self._groups[0].tensor.dtype

    @property
    def updates(self) -> int:
        """Optimizer steps so far; those that were skipped do not count."""
        return int(self._moments(self._groups[0].tensor)["step"].item())

    def spans(self) -> list[tuple[Span, torch.dtype]]:
        """What this rank is to write; that of all ranks together is everything, once."""
        return [
            (span, group.tensor.dtype)
            for group in self._groups
            for place in self._own(group)
            for span in _spans(place)
        ]

    def tensors(self) -> Iterator[torch.Tensor]:
        """The flat tensor of each of `spans`; the next step changes it."""
        for group in self._groups:
            with self._at_hand(group, changed=False):
                for place in self._own(group):
                    for span in _spans(place):
                        yield self._view(group, place, span.kind)

    def _own(self, group: Group) -> list[Place]:
        """What this rank is to write of a group."""
        if not self._replicated:
            return group.places
        cut = [place.cut(self._world.rank, self._world.size) for place in group.places]
        return [place for place in cut if place.count]

    def fill(self, read: Callable[[Span], torch.Tensor], updates: int) -> None:
        """Set everything that this rank holds; `spread` has to follow.

        Args:
            read: the elements of a span.
            updates: optimizer steps that were made.
        """
        if self._divided:
            self._optimizer._partition_all_parameters()
        for group in self._groups:
            with self._at_hand(group, changed=True):
                for place in group.places:
                    for span in _spans(place):
                        self._view(group, place, span.kind).copy_(read(span))
                self._moments(group.tensor)["step"].fill_(updates)
                if self._divided:
                    self._optimizer._reassign_or_swap_out_partitioned_parameters(group.number)

    def spread(self) -> None:
        """Compute the working weights of every rank; all ranks call it."""
        if self._divided:
            self._optimizer.checkpoint_event_epilogue()
        elif isinstance(self._optimizer, (DeepSpeedZeroOptimizer, BF16_Optimizer)):
            self._optimizer.update_lp_params()
        elif self._optimizer is not self._adam:
            for working, group in zip(_working(self._optimizer), self._groups, strict=True):
                working.data.copy_(group.tensor.data)

    def _view(self, group: Group, place: Place, kind: str) -> torch.Tensor:
        tensor = group.tensor.data if kind == WEIGHT else self._moments(group.tensor)[kind]
        return tensor.view(-1).narrow(0, place.offset, place.count)

    def _moments(self, tensor: torch.Tensor) -> Mapping[str, torch.Tensor]:
        """AdamW's state of a tensor; before its first update as AdamW would begin."""
        state = self._adam.state[tensor]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=tensor.device)
            for moment in MOMENTS:
                state[moment] = torch.zeros_like(tensor.data)
        return state

    @contextmanager
    def _at_hand(self, group: Group, *, changed: bool) -> Iterator[None]:
        """Fetch a group that waits on a disk."""
        on_disk = self._divided and self._optimizer._swappable_optimizer_subgroup(group.number)
        if on_disk:
            self._optimizer._optimizer_states_and_gradient_swap_in(group.number)
        yield
        if on_disk and changed:
            self._optimizer._optimizer_states_and_gradient_swap_out(group.number)
        elif on_disk:
            self._optimizer._release_swap_buffers(group.number)


def _spans(place: Place) -> Iterator[Span]:
    for kind in (WEIGHT, *MOMENTS):
        yield Span(kind, place.parameter, place.start, place.count)


def _groups(engine: Any) -> tuple[list[Group], bool]:
    """The tensors that the optimizer updates, and whether every rank holds the same."""
    optimizer = engine.optimizer
    names = {parameter: name for name, parameter in engine.module.named_parameters()}
    if isinstance(optimizer, DeepSpeedZeroOptimizer_Stage3):
        return _shares_of_each(optimizer, names), False
    if isinstance(optimizer, (DeepSpeedZeroOptimizer, BF16_Optimizer)):
        return _shares_of_all(optimizer, names), False
    masters = [each for group in optimizer.param_groups for each in group["params"]]
    return [
        Group(number, master, [Place(names[working], 0, working.numel(), 0)])
        for number, (working, master) in enumerate(zip(_working(optimizer), masters, strict=True))
    ], True


def _working(optimizer: Any) -> list[torch.Tensor]:
    """The model's parameters in the order of the tensors of an optimizer without ZeRO."""
    groups = getattr(optimizer, "fp16_groups", None)
    if groups is None:
        groups = [group["params"] for group in optimizer.param_groups]
    return [each for group in groups for each in group]


def _shares_of_all(optimizer: Any, names: Mapping[torch.Tensor, str]) -> list[Group]:
    groups = [
        Group(number, group["params"][0], []) for number, group in enumerate(optimizer.param_groups)
    ]
    for parameter, name in names.items():
        found = parameter._hp_mapping  # type: ignore[attr-defined]  # DeepSpeed adds it
        if found is not None:
            within, flat = found.lp_fragment_address, found.hp_fragment_address
            place = Place(name, within.start, within.numel, flat.start)
            groups[found.param_group_index].places.append(place)
    return groups


def _shares_of_each(optimizer: Any, names: Mapping[torch.Tensor, str]) -> list[Group]:
    groups = []
    for number, parameters in enumerate(optimizer.fp16_groups):
        places = []
        for parameter in parameters:
            _, offset, share = optimizer.grad_position[optimizer.get_param_id(parameter)]
            start = share * optimizer._get_param_partition_rank(parameter)
            # The last ranks' shares are filled up to the size of the others.
            count = min(share, elements(parameter) - start)
            if count > 0:
                places.append(Place(names[parameter], start, count, offset))
        groups.append(Group(number, optimizer.fp32_partitioned_groups_flat[number], places))
    return groups
