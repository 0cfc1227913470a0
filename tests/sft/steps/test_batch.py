"""What goes through the model at once; that its loss is right is in test_loss.py."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from pacos.prompts.tokens import IGNORE, TokenizedRow
from sft.model.loss import install_loss, nll_sum
from sft.steps.batch import Batch

CPU = torch.device("cpu")


def row(ids: list[int], prompt: int) -> TokenizedRow:
    labels = [IGNORE] * prompt + ids[prompt:]
    return TokenizedRow(np.array(ids, np.int32), np.array(labels, np.int32))


ROWS = [row([7, 8, 9], 1), row([5, 6], 1), row([1, 2, 3, 4, 5], 3)]


def test_documents_lie_end_to_end() -> None:
    batch = Batch.of(ROWS, CPU)
    assert batch.input_ids.tolist() == [[7, 8, 9, 5, 6, 1, 2, 3, 4, 5]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 0, 1, 0, 1, 2, 3, 4]]
    assert batch.scored.tolist() == [0, 1, 3, 7, 8]
    assert batch.targets.tolist() == [8, 9, 6, 4, 5]
    assert batch.cu_seq_lens.tolist() == [0, 3, 5, 10]
    assert batch.cu_seq_lens.dtype is torch.int32
    assert batch.input_ids.dtype is batch.targets.dtype is torch.int64
    assert batch.longest == 5


def test_padding_fills_documents_to_the_longest_and_carries_no_loss() -> None:
    batch = Batch.of(ROWS, CPU, padded=True)
    assert batch.input_ids.shape == (1, 15)
    assert batch.position_ids.view(3, 5).tolist() == [[0, 1, 2, 3, 4]] * 3
    assert batch.cu_seq_lens.tolist() == [0, 5, 10, 15]
    assert batch.targets.tolist() == Batch.of(ROWS, CPU).targets.tolist()


@pytest.fixture
def model() -> Any:
    torch.manual_seed(0)
    sizes = {"vocab_size": 32, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    config = LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2)
    model = LlamaForCausalLM(config).double()
    install_loss(model)
    return model


def test_padding_changes_neither_loss_nor_gradient(model: Any) -> None:
    found = []
    for padded in (False, True):
        model.zero_grad()
        loss = nll_sum(model, Batch.of(ROWS, CPU, padded=padded))
        loss.backward()
        grads = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
        found.append((loss.item(), grads))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    assert (found[0][1] - found[1][1]).norm() / found[0][1].norm() < 1e-6


def test_an_empty_pass_has_one_token_and_no_loss() -> None:
    batch = Batch.empty(CPU)
    assert batch.input_ids.shape == (1, 1)
    assert len(batch.targets) == 0
