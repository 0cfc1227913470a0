"""The loss of packed documents, in fp64, against the plain loss of each document alone."""

from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from pacos.prompts.tokens import IGNORE, TokenizedRow
from sft.model.loss import install_loss, nll_sum
from sft.steps.batch import Batch

CPU = torch.device("cpu")


@pytest.fixture
def model() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=97,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    model = LlamaForCausalLM(config).double()
    install_loss(model)
    return model


def documents(count: int) -> list[TokenizedRow]:
    generator = torch.Generator().manual_seed(1)
    rows = []
    for index in range(count):
        length = 5 + 3 * index
        ids = torch.randint(97, (length,), generator=generator).tolist()
        prompt = 1 + index % 4
        rows.append(TokenizedRow(ids=ids, labels=[IGNORE] * prompt + ids[prompt:]))
    return rows


def plain_nll(model: Any, row: TokenizedRow) -> torch.Tensor:
    logits = model(input_ids=torch.tensor([row.ids])).logits[0]
    log_probs = torch.log_softmax(logits, dim=-1)
    terms = [log_probs[at - 1, label] for at, label in enumerate(row.labels) if label != IGNORE]
    return -torch.stack(terms).sum()


def gradients(model: Any, loss: torch.Tensor) -> torch.Tensor:
    model.zero_grad()
    loss.backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def test_a_pack_has_the_loss_and_gradient_of_its_documents(model: Any) -> None:
    rows = documents(6)
    plain = torch.stack([plain_nll(model, row) for row in rows]).sum()
    expected = gradients(model, plain)
    packed = nll_sum(model, Batch.of(rows, CPU))
    assert packed.item() == pytest.approx(plain.item(), rel=1e-6), "cross entropy runs in fp32"
    found = gradients(model, packed)
    assert (found - expected).norm() / expected.norm() < 1e-6


def test_packs_add_up_however_rows_are_divided(model: Any) -> None:
    rows = documents(6)
    whole = nll_sum(model, Batch.of(rows, CPU))
    parts = [nll_sum(model, Batch.of(part, CPU)) for part in (rows[:1], rows[1:4], rows[4:])]
    assert torch.stack(parts).sum().item() == pytest.approx(whole.item(), rel=1e-6)


def test_an_empty_pass_changes_nothing(model: Any) -> None:
    loss = nll_sum(model, Batch.empty(CPU))
    assert loss.item() == 0.0
    assert gradients(model, loss).abs().max() == 0.0


def test_other_calls_and_the_names_of_parameters_stay_as_they_were(model: Any) -> None:
    torch.manual_seed(0)
    plain = LlamaForCausalLM(model.config).double()
    ids = torch.arange(5, 17)[None]
    assert torch.equal(model(input_ids=ids).logits, plain(input_ids=ids).logits)
    assert list(model.state_dict()) == list(plain.state_dict())
    asked = {"input_ids": ids, "max_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
    assert torch.equal(model.generate(**asked), plain.generate(**asked))


def test_a_tied_head_stays_the_embedding() -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    config = LlamaConfig(vocab_size=11, num_attention_heads=2, tie_word_embeddings=True, **sizes)
    model = LlamaForCausalLM(config)
    install_loss(model)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert "lm_head.weight" not in dict(model.named_parameters())


def test_the_layout_of_a_flat_row() -> None:
    batch = Batch.of(
        [TokenizedRow([7, 8, 9], [IGNORE, 8, 9]), TokenizedRow([5, 6], [IGNORE, 6])], CPU
    )
    assert batch.input_ids.tolist() == [[7, 8, 9, 5, 6]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 0, 1]]
    assert batch.scored.tolist() == [0, 1, 3]
    assert batch.targets.tolist() == [8, 9, 6]
    assert batch.cu_seq_lens.tolist() == [0, 3, 5]
    assert batch.longest == 3
