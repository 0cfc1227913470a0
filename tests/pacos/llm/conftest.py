from __future__ import annotations

import pytest

from pacos.llm.http import client


@pytest.fixture(autouse=True)
def quick_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between tries of milliseconds, and none of the environment's proxies."""
    monkeypatch.setattr(client, "FIRST_PAUSE_S", 0.01)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
