"""The state of a rank that a checkpoint keeps: master weights, optimizer states, random generators.

Under every ZeRO stage torch's optimizer updates tensors of its own on each rank, which hold
fragments of parameters. A checkpoint names every fragment by its parameter and its place within it,
so that it can be read into any other division. The working weights are the master weights, rounded;
they are recomputed instead of saved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from deepspeed.accelerator import get_accelerator
from safetensors import safe_open

from pacos.distributed import World
from sft.checkpoints.shards import RANDOM, WEIGHT, Span
from sft.engine.private_state import Fragment, MasterTensor, full_numel, master_weights
from sft.engine.protocol import Engine

HOST, DEVICE = f"{RANDOM}/host/0", f"{RANDOM}/device/0"
"""Names of the random states in the rank's file."""


class EngineState:
    """The optimizer's weights and states on this rank."""

    def __init__(self, engine: Engine, world: World, states: Sequence[str]) -> None:
        """Look up the optimizer's tensors.

        Args:
            engine: the engine whose state is kept.
            world: this rank.
            states: names of the tensors that the optimizer keeps for each parameter.
        """
        self._optimizer = engine.basic_optimizer
        self.kinds = (WEIGHT, *states)
        self._world = world
        self._master = master_weights(engine)
        self.sizes = {name: full_numel(each) for name, each in engine.module.named_parameters()}
        """Elements of each whole parameter."""

    @property
    def dtype(self) -> torch.dtype:
        """Number format of weights and optimizer states."""
        return self._master.tensors[0].values.dtype

    @property
    def updates(self) -> int:
        """Optimizer steps so far. Skipped steps do not count."""
        return int(self._states(self._master.tensors[0].values)["step"].item())

    def spans(self) -> list[tuple[Span, torch.dtype]]:
        """Return what this rank writes; all ranks together write everything exactly once."""
        return [
            (span, tensor.values.dtype)
            for tensor in self._master.tensors
            for fragment in self._own_fragments(tensor)
            for span in self._spans(fragment)
        ]

    def tensors(self) -> Iterator[torch.Tensor]:
        """Yield the flat tensor of each of `spans`. The next step changes its content."""
        for tensor in self._master.tensors:
            with self._master.resident(tensor, changed=False):
                for fragment in self._own_fragments(tensor):
                    for span in self._spans(fragment):
                        yield self._view(tensor, fragment, span.kind)

    def _own_fragments(self, tensor: MasterTensor) -> list[Fragment]:
        """Return what this rank writes of a tensor: all, or its share of what every rank holds."""
        if not self._master.is_replicated:
            return tensor.fragments
        shares = [each.share(self._world.rank, self._world.size) for each in tensor.fragments]
        return [share for share in shares if share.count]

    def fill(self, copy: Callable[[Span, torch.Tensor], None], updates: int) -> None:
        """Set everything that this rank holds; `update_working_weights` must follow.

        Args:
            copy: copies the elements of a span into a flat tensor.
            updates: optimizer steps that were made.
        """
        self._master.begin_fill()
        for tensor in self._master.tensors:
            with self._master.resident(tensor, changed=True):
                for fragment in tensor.fragments:
                    for span in self._spans(fragment):
                        copy(span, self._view(tensor, fragment, span.kind))
                self._states(tensor.values)["step"].fill_(updates)

    def update_working_weights(self) -> None:
        """Compute the model's weights on every rank. It is a collective: all ranks call it."""
        self._master.update_working_weights()

    def _view(self, tensor: MasterTensor, fragment: Fragment, kind: str) -> torch.Tensor:
        """Return the memory of a fragment's weight or state, flat."""
        # `.data`: the optimizer's tensors are leaves that require gradients.
        values = tensor.values.data if kind == WEIGHT else self._states(tensor.values)[kind]
        return values.view(-1).narrow(0, fragment.offset, fragment.count)

    def _states(self, values: torch.Tensor) -> Mapping[str, torch.Tensor]:
        """Return the optimizer's states of a tensor, created here before the first step."""
        state: dict[str, torch.Tensor] = self._optimizer.state[values]
        if not state:
            for name in self.kinds[1:]:
                state[name] = torch.zeros_like(values.data)
        # Some optimizers of torch, such as SGD, count no steps. They ignore the number.
        state.setdefault("step", torch.zeros((), dtype=torch.float32, device=values.device))
        return state

    def _spans(self, fragment: Fragment) -> Iterator[Span]:
        for kind in self.kinds:
            yield Span(kind, fragment.parameter, fragment.start, fragment.count)


def random_states() -> dict[str, torch.Tensor]:
    """Return the states of torch's generators on host and device, as bytes, by name.

    Only these: orders and samples are derived from the seed, not from a generator's state.
    """
    return {HOST: torch.get_rng_state(), DEVICE: get_accelerator().get_rng_state().cpu()}


def restore_random_states(shard: Path) -> None:
    """Set the generators to the states in a file of a checkpoint."""
    with safe_open(shard, framework="pt") as file:
        torch.set_rng_state(file.get_tensor(HOST))
        get_accelerator().set_rng_state(file.get_tensor(DEVICE))
