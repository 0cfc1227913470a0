"""The loss in chunks is the loss of all logits: value, gradients, memory."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch.nn import functional

from sft.model import head
from sft.model.head import ScoringHead, chunked_nll

POSITIONS, WIDTH, VOCABULARY = 37, 24, 53


def inputs(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(POSITIONS, WIDTH, generator=draw, dtype=torch.float64)
    weight = torch.randn(VOCABULARY, WIDTH, generator=draw, dtype=torch.float64)
    targets = torch.randint(VOCABULARY, (POSITIONS,), generator=draw)
    return hidden.to(dtype).requires_grad_(), weight.to(dtype).requires_grad_(), targets


def full_nll(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(hidden @ weight.T, targets, reduction="sum")


@pytest.mark.parametrize("rows", [1, 5, 37, 64])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-6), (torch.bfloat16, 1e-2)]
)
def test_chunks_have_the_value_and_the_gradients_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, rows: int, dtype: torch.dtype, tolerance: float
) -> None:
    monkeypatch.setattr(head, "CHUNK_LOGITS", rows * VOCABULARY)
    hidden, weight, targets = inputs(dtype)
    exact = [tensor.detach().double().requires_grad_() for tensor in (hidden, weight)]
    expected = full_nll(*exact, targets)
    (3 * expected).backward()
    found = chunked_nll(hidden, weight, targets)
    (3 * found).backward()
    assert abs(found.item() - expected.item()) <= tolerance * expected.item()
    for part, whole in zip((hidden, weight), exact, strict=True):
        assert part.grad is not None
        assert whole.grad is not None
        assert part.grad.dtype is dtype
        assert (part.grad.double() - whole.grad).norm() <= tolerance * whole.grad.norm()


def test_without_targets_the_head_gives_logits() -> None:
    plain = torch.nn.Linear(WIDTH, VOCABULARY, bias=False)
    hidden = torch.randn(2, 3, WIDTH)
    expected = plain(hidden)
    plain.__class__ = ScoringHead
    assert torch.equal(plain(hidden), expected)


def test_no_position_makes_a_loss_of_nothing() -> None:
    hidden, weight, _ = inputs(torch.float32)
    none = torch.zeros(0, dtype=torch.int64)
    nll = chunked_nll(hidden[:0], weight, none)
    nll.backward()
    assert nll.item() == 0.0
    assert weight.grad is not None
    assert not weight.grad.any()


def test_a_loss_that_nobody_learns_from_keeps_no_gradients() -> None:
    hidden, weight, targets = inputs(torch.float32)
    with torch.no_grad():
        nll = chunked_nll(hidden, weight, targets)
    assert not nll.requires_grad


PEAK = r"""
import re, sys, torch
from pathlib import Path
from torch.nn import functional
from sft.model import head

head.CHUNK_LOGITS //= 4
torch.set_num_threads(2)
hidden = torch.randn(256, 16).requires_grad_()
weight = torch.randn(128_256, 16).requires_grad_()
targets = torch.arange(256)

def peak():
    # Of this program: the usage of the process goes back to before it, to the one that forked.
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024

before = peak()
if sys.argv[1] == "chunked":
    nll = head.chunked_nll(hidden, weight, targets)
else:
    nll = functional.cross_entropy(hidden @ weight.T, targets, reduction="sum")
nll.backward()
print(peak() - before)
"""


def peak_mebibytes(way: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", PEAK, way], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def test_the_logits_of_a_large_vocabulary_never_exist_at_once() -> None:
    """256 positions of 128,256 logits are 125 MiB; the plain loss holds three such tensors."""
    full, chunked = peak_mebibytes("full"), peak_mebibytes("chunked")
    assert full > 2.5 * 125
    assert chunked < 1.8 * 125
    assert full > 1.8 * chunked
