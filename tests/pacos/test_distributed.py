"""What one rank does together with others, where there are none."""

from __future__ import annotations

import pytest

from pacos.distributed import World
from pacos.errors import UserError

ALONE = World(rank=0, size=1, local_rank=0)


def test_what_is_done_together_comes_back() -> None:
    assert ALONE.gather("mine") == ["mine"]
    assert ALONE.together(lambda: 7) == 7
    assert ALONE.on_main(lambda: "main") == "main"


@pytest.mark.parametrize(
    ("error", "raised", "said"),
    [
        (UserError("key = 1: set 2"), UserError, "^key = 1: set 2$"),
        (OSError(28, "No space left", "/run"), UserError, "^rank 0 on .*: .*No space left: '/run'"),
        (KeyError("a defect"), KeyError, "a defect"),
    ],
)
def test_what_goes_wrong_is_told_with_its_rank_unless_it_is_a_defect(
    error: Exception, raised: type[Exception], said: str
) -> None:
    def act() -> None:
        raise error

    for do in (ALONE.together, ALONE.on_main):
        with pytest.raises(raised, match=said):
            do(act)
