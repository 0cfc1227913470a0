"""Numbers are made here, so that none in this file is anybody's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfinstruct.candidates.candidate import Candidate
from selfinstruct.filters.identity_numbers import (
    RESIDENT_WEIGHTS,
    has_check_digit,
    is_iban,
    may_be_card,
)
from selfinstruct.filters.personal_data import (
    PersonalDataKind,
    find_personal_data,
    personal_data,
)


def registration(birthday: str, rest: str, *, valid: bool = True) -> str:
    """Thirteen digits; `rest` is the seventh to the twelfth."""
    digits = birthday + rest
    total = sum(int(d) * w for d, w in zip(digits, RESIDENT_WEIGHTS, strict=True))
    check = ((13 if rest[0] in "5678" else 11) - total % 11) % 10
    return f"{digits}{check if valid else (check + 1) % 10}"


def hyphened(digits: str) -> str:
    return f"{digits[:6]}-{digits[6:]}"


def card(digits: str) -> str:
    """Fifteen digits and their check digit."""
    return next(f"{digits}{last}" for last in range(10) if may_be_card(f"{digits}{last}"))


MAN = registration("870319", "148205")
WRONG = registration("870319", "148205", valid=False)
CHILD = registration("210319", "348205", valid=False)
VISA = card("402917563840271")

FOUND = [
    (f"주민등록번호는 {hyphened(MAN)}입니다.", PersonalDataKind.resident),
    (f"주민등록번호는 {hyphened(WRONG)}입니다.", PersonalDataKind.resident),
    (f"주민번호: {WRONG}", PersonalDataKind.resident),
    (f"고객 {MAN} 님", PersonalDataKind.resident),
    (f"아이 {CHILD} 님", PersonalDataKind.resident),
    (f"번호는 {hyphened(registration('900412', '613572'))}이다", PersonalDataKind.foreigner),
    (f"ID {registration('900412', '613572')} was issued", PersonalDataKind.foreigner),
    ("My SSN is 219-47-6183.", PersonalDataKind.ssn),
    (f"card {VISA}", PersonalDataKind.card),
    (f"카드 번호 {VISA[:4]}-{VISA[4:8]}-{VISA[8:12]}-{VISA[12:]}", PersonalDataKind.card),
    ("여권번호는 M47206918이고", PersonalDataKind.passport),
    ("여권 번호 M472C8391", PersonalDataKind.passport),
    ("Passport number: 472069183", PersonalDataKind.passport),
    ("국민은행 472602-04-183957로 보내 줘", PersonalDataKind.account),
    ("계좌번호 110-472-183957", PersonalDataKind.account),
    ("account number: 4720691835", PersonalDataKind.account),
    ("pay to GB82 WEST 1234 5698 7654 32", PersonalDataKind.account),
    ("010-4827-9163으로 전화해", PersonalDataKind.phone),
    ("01048279163", PersonalDataKind.phone),
    ("+82 10 4827 9163", PersonalDataKind.phone),
    ("02-482-9163", PersonalDataKind.phone),
    ("031) 482-9163", PersonalDataKind.phone),
    ("(212) 482-9163", PersonalDataKind.phone),
    ("212.482.9163", PersonalDataKind.phone),
    ("+44 7482 917 364", PersonalDataKind.phone),
    ("minsu.kim87@gmail.com", PersonalDataKind.email),
    ("메일은 haneul27@naver.com입니다", PersonalDataKind.email),
]

PASSED = [
    "010-0000-0000",
    "010-1234-5678",
    "010-1111-2222",
    "010-9876-5432",
    "01012345678",
    "123-456-7890",
    "(555) 123-4567",
    "212-555-0142",
    "call 1-800-482-9163",
    "대표번호 1588-4827",
    "112와 119",
    "900101-1234567",
    "000000-0000000",
    f"{hyphened('871319' + MAN[6:])}은 날짜가 없다",
    f"order {WRONG}",
    f"timestamp {1700000000000}",
    "870319-1******",
    "123-45-6789",
    "987-65-4321",
    "000-12-3456",
    "219-00-6183",
    "4111 1111 1111 1111",
    "4242-4242-4242-4242",
    f"{VISA[:-1]}{(int(VISA[-1]) + 1) % 10}",
    "ISBN 978-89-460-1234-5",
    "3.14159265358979323846",
    "1,234,567,890원",
    "M12345678",
    "여권번호는 M12345678",
    "passport control opened in 472069183 BC",
    "계좌번호 110-123-456789",
    "account number 123456789",
    "GB82 WEST 1234 5698 7654 33",
    "2024-03-19, 19:30-21:00",
    "지번 482-9163",
    "user@example.com",
    "name@company.co.kr",
    "jane.doe@gmail.com",
    "support@pacos.dev",
    "someone@test.invalid",
    "@mention and a@b",
]


@pytest.mark.parametrize(("text", "kind"), FOUND)
def test_what_could_be_real_is_found(text: str, kind: PersonalDataKind) -> None:
    assert kind in [finding.kind for finding in find_personal_data(text)]


@pytest.mark.parametrize("text", PASSED)
def test_what_is_nobodys_passes(text: str) -> None:
    assert list(find_personal_data(text)) == []


def test_the_filter_looks_at_every_part() -> None:
    for place in range(3):
        parts = ["Write it down", "", "Done."]
        parts[place] += " minsu.kim87@gmail.com"
        assert personal_data(Candidate(*parts)) == "personal data: e-mail address"
    assert personal_data(Candidate("Write it down", "", "Done.")) is None


def test_check_digits() -> None:
    assert has_check_digit(MAN)
    assert not has_check_digit(WRONG)
    # The examples of the standards.
    assert may_be_card("4539578763621486")
    assert not may_be_card("4539578763621487")
    assert is_iban("DE89370400440532013000")
    assert not is_iban("DE88370400440532013000")


def test_alpacas_rows(shared_data: Path) -> None:
    rows = json.loads((shared_data / "alpaca" / "alpaca_5000.json").read_text())
    hits = {
        place: [finding.kind for finding in found]
        for place, row in enumerate(rows)
        if (found := [*find_personal_data(row["input"]), *find_personal_data(row["output"])])
    }
    # A well-known name at a real provider.
    assert hits == {2180: [PersonalDataKind.email, PersonalDataKind.email]}
