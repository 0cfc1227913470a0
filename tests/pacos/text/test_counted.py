import shlex

from pacos.text.counted import counted
from pacos.text.typed import typed


def test_one_row_is_no_rows() -> None:
    assert [counted(n, "row") for n in (0, 1, 1234)] == ["0 rows", "1 row", "1,234 rows"]
    assert counted(2, "pass", "passes") == "2 passes"


def test_an_override_survives_the_shell() -> None:
    assert typed("data.path", "owner/name:main@v1") == "data.path=owner/name:main@v1"
    assert shlex.split(typed("data.path", "a b:train[:9]")) == ['data.path="a b:train[:9]"']
