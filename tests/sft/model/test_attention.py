"""Attention keeps packed documents apart, and a wrong one is found before training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from pacos.errors import UserError
from pacos.model.shape import ModelShape
from sft.configs.compute import ActivationCheckpointing, Attention
from sft.model import attention_check as proof
from sft.model.activation_checkpointing import set_checkpointing
from sft.model.attention import Kernel, PackedAttention, candidates, sdpa_kernel
from sft.model.attention_check import TOLERANCE, choose_attention, pack_difference
from sft.steps.batch import Batch
from tests.sft.engines import a_model, some_rows

CPU = torch.device("cpu")
GROUPED = ModelShape(hidden_size=128, num_attention_heads=8, num_key_value_heads=2)


def documents_mixed(query: Any, key: Any, value: Any, ends: Any, longest: int, scale: float) -> Any:
    """A kernel that ignores where documents begin."""
    whole = torch.tensor([0, len(query)], dtype=torch.int32)
    return sdpa_kernel(query, key, value, whole, len(query), scale)


def not_causal(query: Any, key: Any, value: Any, ends: Any, longest: int, scale: float) -> Any:
    """A kernel in which tokens see those after them."""
    back = [tensor.flip(0) for tensor in (query, key, value)]
    return sdpa_kernel(*back, (len(query) - ends).flip(0), longest, scale).flip(0)


def one_late(query: Any, key: Any, value: Any, ends: Any, longest: int, scale: float) -> Any:
    """A kernel that takes each document for one token longer than it is."""
    shifted = torch.cat([ends[:1], ends[1:-1] + 1, ends[-1:]])
    return sdpa_kernel(query, key, value, shifted, longest + 1, scale)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_proof_passes_for_attention_that_is_right(dtype: torch.dtype) -> None:
    right = PackedAttention(Attention.sdpa, sdpa_kernel)
    difference = pack_difference(right, GROUPED, CPU, dtype)
    assert difference < TOLERANCE[dtype] / 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kernel", [documents_mixed, not_causal, one_late])
def test_the_proof_fails_for_every_attention_that_is_wrong(
    kernel: Kernel, dtype: torch.dtype
) -> None:
    wrong = PackedAttention(Attention.sdpa, kernel)
    assert pack_difference(wrong, GROUPED, CPU, dtype) > 3 * TOLERANCE[dtype]


def offered(*kernels: tuple[Attention, Callable[[], Kernel]]) -> Callable[..., Iterator[Any]]:
    return lambda wanted, device, dtype: iter(kernels)


def test_a_wrong_kernel_is_refused_with_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "candidates", offered((Attention.flash, lambda: documents_mixed)))
    with pytest.raises(UserError, match=r"attention = auto: flash is wrong .* set attention=sdpa"):
        choose_attention(Attention.auto, GROUPED, CPU, torch.float32, None)


def test_a_package_that_does_not_load_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> Kernel:
        raise ImportError("undefined symbol")

    broken, sound = (Attention.flash, load), (Attention.sdpa, lambda: sdpa_kernel)
    monkeypatch.setattr(proof, "candidates", offered(broken, sound))
    chosen = choose_attention(Attention.auto, GROUPED, CPU, torch.float32, None)
    assert chosen.name is Attention.sdpa
    monkeypatch.setattr(proof, "candidates", offered(broken))
    with pytest.raises(UserError, match=r"flash: undefined symbol.*pip install"):
        choose_attention(Attention.flash, GROUPED, CPU, torch.float32, None)


def test_the_cpu_has_torch_alone() -> None:
    offer = list(candidates(Attention.auto, CPU, torch.bfloat16))
    assert [name for name, _ in offer] == [Attention.sdpa]
    with pytest.raises(UserError, match="attention = flash"):
        choose_attention(Attention.flash, GROUPED, CPU, torch.bfloat16, None)


def test_packed_logits_are_those_of_each_document_alone() -> None:
    model = a_model(torch.float64)
    rows = some_rows()
    alone = [model(input_ids=torch.from_numpy(row.ids).long()[None]).logits[0] for row in rows]
    PackedAttention(Attention.sdpa, sdpa_kernel).install(model)
    batch = Batch.of(rows, CPU)
    packed = model(
        input_ids=batch.input_ids,
        position_ids=batch.position_ids,
        cu_seq_lens_q=batch.cu_seq_lens,
        max_length_q=batch.longest,
        use_cache=False,
    ).logits[0]
    assert torch.allclose(packed, torch.cat(alone), rtol=0, atol=1e-12)


def test_packed_documents_without_their_ends_are_refused() -> None:
    model = a_model()
    PackedAttention(Attention.sdpa, sdpa_kernel).install(model)
    batch = Batch.of(some_rows(2), CPU)
    with pytest.raises(ValueError, match="documents would mix"):
        model(input_ids=batch.input_ids, position_ids=batch.position_ids, use_cache=False)


@pytest.mark.parametrize("option", ["softcap", "s_aux", "position_bias"])
@pytest.mark.parametrize("is_packed", [True, False])
def test_an_option_that_no_kernel_computes_is_refused(option: str, is_packed: bool) -> None:
    attention = PackedAttention(Attention.sdpa, sdpa_kernel)
    tensors = [torch.randn(1, 2, 6, 4) for _ in range(3)]
    ends = torch.tensor([0, 2, 6], dtype=torch.int32)
    known: dict[str, Any] = {"cu_seq_lens_q": ends, "max_length_q": 4} if is_packed else {}
    layer = torch.nn.Module()
    attention.attend(layer, *tensors, None, scaling=0.5, **known, **{option: None})
    with pytest.raises(ValueError, match=f"attention option {option}"):
        attention.attend(layer, *tensors, None, scaling=0.5, **known, **{option: 3})


def test_a_document_longer_than_the_window_is_refused() -> None:
    attention = PackedAttention(Attention.sdpa, sdpa_kernel)
    tensors = [torch.randn(1, 2, 6, 4) for _ in range(3)]
    known: dict[str, Any] = {"cu_seq_lens_q": torch.tensor([0, 2, 6], dtype=torch.int32)}
    known |= {"max_length_q": 4, "scaling": 0.5}
    attention.attend(torch.nn.Module(), *tensors, None, sliding_window=4, **known)
    with pytest.raises(ValueError, match=r"a document of 4 tokens: .* window of 3"):
        attention.attend(torch.nn.Module(), *tensors, None, sliding_window=3, **known)


@pytest.mark.parametrize("rows", [1, 2])
def test_answers_may_be_longer_than_the_window(rows: int) -> None:
    plain, installed = a_model(family="mistral"), a_model(family="mistral")
    PackedAttention(Attention.sdpa, sdpa_kernel).install(installed)
    ids = torch.arange(rows * 60).reshape(rows, 60) % 97
    with torch.no_grad():
        logits = [model(input_ids=ids).logits for model in (plain, installed)]
        plain.config.sliding_window = None
        unlimited = plain(input_ids=ids).logits
    assert torch.equal(*logits)
    assert not torch.allclose(logits[0], unlimited)


def test_dropout_in_a_pack_is_refused() -> None:
    attention = PackedAttention(Attention.sdpa, sdpa_kernel)
    tensors = [torch.randn(1, 2, 6, 4) for _ in range(3)]
    known: dict[str, Any] = {"cu_seq_lens_q": torch.tensor([0, 6], dtype=torch.int32)}
    with pytest.raises(ValueError, match=r"dropout 0\.1"):
        attention.attend(torch.nn.Module(), *tensors, None, scaling=0.5, dropout=0.1, **known)


def test_generation_and_padded_batches_go_on_as_before() -> None:
    plain, installed = a_model(), a_model()
    PackedAttention(Attention.sdpa, sdpa_kernel).install(installed)
    ids = torch.tensor([[0, 0, 5, 6, 7], [1, 2, 3, 4, 5]])
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    told = [
        model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=6, do_sample=False, pad_token_id=0
        )
        for model in (plain, installed)
    ]
    assert torch.equal(*told)


@pytest.mark.parametrize(
    "checkpointing", [ActivationCheckpointing.selective, ActivationCheckpointing.full]
)
def test_recomputing_keeps_less_and_changes_nothing(checkpointing: ActivationCheckpointing) -> None:
    wide = LlamaConfig(
        vocab_size=97,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
    )

    def gradient_and_kept(kind: ActivationCheckpointing) -> tuple[torch.Tensor, int]:
        torch.manual_seed(0)
        model = LlamaForCausalLM(wide).train()
        set_checkpointing(model, kind)
        kept: dict[int, int] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            kept[tensor.data_ptr()] = tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            out = model(input_ids=torch.arange(90)[None], use_cache=False)
        out.logits.square().mean().backward()
        found = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        return torch.cat([gradient.flatten() for gradient in found]), sum(kept.values())

    expected, everything = gradient_and_kept(ActivationCheckpointing.none)
    found, kept = gradient_and_kept(checkpointing)
    assert (found - expected).norm() < 1e-5 * expected.norm()
    assert kept < everything
