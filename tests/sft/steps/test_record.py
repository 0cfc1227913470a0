"""What ranks tell each other about a step survives the exchange."""

from __future__ import annotations

import dataclasses

import torch

from sft.steps.record import RankShare


def test_a_share_comes_back_as_it_was_packed() -> None:
    share = RankShare(
        nll=torch.tensor([1.5, float("nan"), 2.0**-20]),
        data_seconds=0.25,
        peak_bytes=2.0**40 + 1,
        probe_seconds=0.0,
        seconds=1e-9,
        stop_requested=True,
        save_failed=False,
    )
    packed = share.pack()
    assert packed.dtype is torch.float64
    back = RankShare.unpack(packed)
    assert torch.equal(back.nll.nan_to_num(-1), share.nll.double().nan_to_num(-1))
    for field in dataclasses.fields(RankShare):
        if field.name != "nll":
            assert getattr(back, field.name) == getattr(share, field.name), field.name
            assert type(getattr(back, field.name)) is type(getattr(share, field.name))
