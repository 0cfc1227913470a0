"""The computing speed of one rank by itself.

Ranks end a step together however slow one of them is, and under ZeRO-3 they wait for each other in
every layer, so step times do not reveal the slow one. The same few products, timed on every rank
without any communication, do.
"""

from __future__ import annotations

import time

import torch

EVERY_STEPS = 10
"""Steps from one probe to the next. A probe takes a few milliseconds."""
PRODUCTS = 8
WIDTH = {"cuda": 4096, "cpu": 256}
"""Rows and columns of the matrices: 1.1 TFLOP in all on a GPU (2 ms on an H100), 0.3 GFLOP on a
CPU."""


class Probe:
    """A few matrix products, ready to be timed."""

    def __init__(self, device: torch.device) -> None:
        on_gpu = device.type == "cuda"
        self._device = device
        # On a CPU without bf16 units the products of training run in fp32 too.
        dtype = torch.bfloat16 if on_gpu else torch.float32
        width = WIDTH["cuda" if on_gpu else "cpu"]
        # Random, not constant: a GPU draws less power for equal numbers, and so throttles less.
        generator = torch.Generator().manual_seed(0)
        self._matrix = torch.randn(width, width, generator=generator).to(device, dtype)
        self._product = torch.empty_like(self._matrix)
        # Once before any is timed: the first call selects and loads a kernel.
        self._multiply()

    def seconds(self) -> float:
        """Return the time of the products, from an idle device to an idle device."""
        self._wait()
        started = time.perf_counter()
        self._multiply()
        self._wait()
        return time.perf_counter() - started

    def _multiply(self) -> None:
        for _ in range(PRODUCTS):
            torch.mm(self._matrix, self._matrix, out=self._product)

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
