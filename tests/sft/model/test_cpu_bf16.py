import torch
from transformers import LlamaConfig, LlamaForCausalLM

from sft.model import cpu_bf16


def a_model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    config = LlamaConfig(
        vocab_size=61, num_attention_heads=4, num_key_value_heads=2, attention_bias=True, **sizes
    )
    model = LlamaForCausalLM(config)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.1)
    return model.to(torch.bfloat16)


def loss_and_gradient(model: LlamaForCausalLM) -> tuple[float, torch.Tensor]:
    ids = torch.arange(24).unsqueeze(0) % 61
    positions = torch.cat([torch.arange(10), torch.arange(14)]).unsqueeze(0)
    out = model(input_ids=ids, position_ids=positions, labels=ids, use_cache=False)
    out.loss.backward()
    gradient = torch.cat([p.grad.float().flatten() for p in model.parameters()])
    return out.loss.item(), gradient


def test_wide_products_give_what_bf16_products_give() -> None:
    plain, wide = a_model(), a_model()
    cpu_bf16.install_wide_linear(wide)
    loss, gradient = loss_and_gradient(plain)
    wide_loss, wide_gradient = loss_and_gradient(wide)
    assert abs(loss - wide_loss) < 5e-3
    assert (gradient - wide_gradient).norm() / gradient.norm() < 2e-2
    assert all(p.dtype is torch.bfloat16 for p in wide.parameters())
    assert wide.state_dict().keys() == plain.state_dict().keys()


def test_it_is_for_bf16_on_a_cpu_only() -> None:
    assert not cpu_bf16.is_needed(torch.device("cpu"), torch.float32)
    assert not cpu_bf16.is_needed(torch.device("cuda"), torch.bfloat16)
