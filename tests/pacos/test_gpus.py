"""Peak speeds by the names that torch shows."""

from __future__ import annotations

import pytest

from pacos.gpus import peak_flops


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756.5),
        ("NVIDIA H100 NVL", 835.5),
        ("NVIDIA H200", 989.4),
        ("NVIDIA GH200 480GB", 989.4),
        ("NVIDIA A100-SXM4-80GB", 311.9),
        ("NVIDIA A100-PCIE-40GB", 311.9),
        ("NVIDIA A10", 125.0),
        ("NVIDIA A10G", 70.0),
        ("NVIDIA L40S", 362.05),
        ("NVIDIA L4", 121.0),
        ("h100", 989.4),
        ("NVIDIA GeForce RTX 4090", 165.2),
        ("AMD Instinct MI300X", 1307.4),
    ],
)
def test_common_gpus_are_known(name: str, teraflops: float) -> None:
    assert peak_flops(name) == pytest.approx(teraflops * 1e12)


@pytest.mark.parametrize(
    "name", ["Tesla V100-SXM2-16GB", "NVIDIA H100 80GB HBM3 MIG 1g.10gb", "NVIDIA RTX A4000", ""]
)
def test_others_have_no_peak_rather_than_a_wrong_one(name: str) -> None:
    assert peak_flops(name) is None
