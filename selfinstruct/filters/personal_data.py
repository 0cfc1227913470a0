"""Personal data: numbers and addresses that could be a real person's, in Korean and English texts.

Obvious inventions pass: reserved domains, repeated or counted digits, telephone numbers set aside
for fiction. So do public lines (toll-free and 15xx numbers) and the mail addresses of offices.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from selfinstruct.candidates.candidate import Candidate
from selfinstruct.filters.identity_numbers import (
    digits_of,
    is_iban,
    looks_invented,
    may_be_card,
    may_be_registered,
    may_be_social_security,
)


class PersonalDataKind(Enum):
    """The kinds that are looked for; the values end the reasons in rejected.jsonl."""

    resident = "resident registration number"
    """Korean."""
    foreigner = "foreigner registration number"
    """Korean, of a foreign resident."""
    ssn = "social security number"
    """US."""
    card = "card number"
    passport = "passport number"
    account = "account number"
    phone = "phone number"
    email = "e-mail address"


@dataclass(frozen=True, slots=True)
class PersonalDatum:
    """A number or an address found in a text."""

    kind: PersonalDataKind
    text: str


def find_personal_data(text: str) -> Iterator[PersonalDatum]:
    """Yield every number and address that could be real, kind by kind."""
    # Korean texts often have full-width digits and signs, which the patterns know as ASCII only.
    text = unicodedata.normalize("NFKC", text)
    for kind, pattern, may_be_real in RULES:
        for match in pattern.finditer(text):
            if may_be_real(match):
                yield PersonalDatum(kind, match.group())


def personal_data(candidate: Candidate) -> str | None:
    """Reject a row with a number or an address that could be a person's."""
    for text in candidate.texts:
        for datum in find_personal_data(text):
            return f"{PERSONAL_DATA}: {datum.kind.value}"
    return None


PERSONAL_DATA = "personal data"
"""Start of the rejection reason; the kind follows after a colon."""
NAMED_BEFORE = 30
"""Characters before a number that are searched for its name."""
REGISTRATION = re.compile(r"(?:등록 ?번호|주민 ?번호|registration number)", re.IGNORECASE)
"""Names of a Korean registration number."""


def _registered(match: re.Match[str]) -> bool:
    before = match.string[max(0, match.start() - NAMED_BEFORE) : match.start()]
    is_marked = "-" in match.group() or bool(REGISTRATION.search(before))
    return may_be_registered(digits_of(match.group()), is_marked=is_marked)


def _card(match: re.Match[str]) -> bool:
    return may_be_card(digits_of(match.group()))


def _social_security(match: re.Match[str]) -> bool:
    return may_be_social_security(digits_of(match.group()))


def _iban(match: re.Match[str]) -> bool:
    return is_iban(match.group())


def _not_invented(match: re.Match[str]) -> bool:
    """Return True unless the last two groups of digits are all counted or repeated."""
    # A group of one or two digits proves nothing: 02 is the area code of Seoul.
    groups = [group for group in re.findall(r"\d+", match.group()) if len(group) > 2]
    # A number written without separators: compare its last two blocks of four.
    if len(groups) == 1:
        groups = [groups[0][-8:-4], groups[0][-4:]]
    return not all(map(looks_invented, groups[-2:]))


def _north_american(match: re.Match[str]) -> bool:
    area, exchange = match["area"], match["exchange"]
    # Nobody has a 555 number: the exchange holds lines for fiction and information, and the area
    # code is not assigned.
    is_public = area in ("800", "833", "844", "855", "866", "877", "888", "900")
    return not is_public and exchange != "555" and area != "555" and _not_invented(match)


PLACEHOLDER = re.compile(
    r"^(?:your|my|user|name|e?mail|example|sample|test|dummy|fake|someone|somebody|abc|xyz|xx"
    r"|info|contact|support|help|service|sales|admin|hello|hr|jobs|careers?|team|office|press"
    r"|no-?reply|customer|feedback|webmaster|postmaster|news|marketing|(?:john|jane)[._]?doe)"
)
"""Local parts of mail addresses that stand for anybody, or for an office."""
RESERVED = re.compile(
    r"(?:^|\.)(?:example|test|invalid|localhost)(?:\.|$)"
    r"|^(?:your|my)?-?(?:e?mail|domain|company|business|school|university|website|site|store|shop"
    r"|abc|xyz|acme)(?:name)?\.\w+|^(?:your|my|abc|xyz|acme)"
)
"""Domains reserved by RFC 2606, and common placeholders."""


def _mail(match: re.Match[str]) -> bool:
    local, domain = match.group().lower().split("@")
    return not (PLACEHOLDER.search(local) or RESERVED.search(domain))


def _number(pattern: str) -> re.Pattern[str]:
    """Compile a pattern of digits that are not part of a longer number."""
    return re.compile(rf"(?<![\d-])(?:{pattern})(?![\d-]*\d)", re.IGNORECASE)


RULES: tuple[tuple[PersonalDataKind, re.Pattern[str], Callable[[re.Match[str]], bool]], ...] = (
    (PersonalDataKind.resident, _number(r"\d{6} ?-? ?[0-49]\d{6}"), _registered),
    (PersonalDataKind.foreigner, _number(r"\d{6} ?-? ?[5-8]\d{6}"), _registered),
    (PersonalDataKind.ssn, _number(r"\d{3}-\d{2}-\d{4}"), _social_security),
    # The first digits are the issuer's (IIN), which also fixes the length.
    (
        PersonalDataKind.card,
        _number(
            r"(?:4\d{3}|5[1-5]\d\d|2[2-7]\d\d|6[245]\d\d|6011|35[2-8]\d|9[4-9]\d\d)"
            r"(?:[ -]?\d{4}){3}|3[47]\d\d[ -]?\d{6}[ -]?\d{5}|3[068]\d\d[ -]?\d{6}[ -]?\d{4}"
        ),
        _card,
    ),
    (
        PersonalDataKind.passport,
        re.compile(
            r"(?:여권 ?번호|passport (?:number|no\.?|#))[^\d\n]{0,12}?"
            r"(?<![A-Z\d])(?:[A-Z]\d{8}|[MSRODG]\d{3}[A-Z]\d{4}|\d{9})(?![A-Z\d])",
            re.IGNORECASE,
        ),
        _not_invented,
    ),
    (
        PersonalDataKind.account,
        re.compile(
            r"(?:계좌|입금|송금|은행|뱅크|농협|국민|신한|하나|수협|신협|우체국|새마을금고)[^\d\n]{0,12}?"
            r"(?!01\d-)\d{2,6}-\d{2,6}-\d{4,7}(?:-\d{1,3})?(?![\d-]*\d)"
            r"|\baccount (?:number|no\.?|#)[^\d\n]{0,12}?\d{8,17}(?!\d)",
            re.IGNORECASE,
        ),
        _not_invented,
    ),
    (
        PersonalDataKind.account,
        re.compile(r"(?<![A-Z\d])[A-Z]{2}\d\d(?: ?[A-Z\d]{4}){3,7}(?: ?[A-Z\d]{1,3})?(?![A-Z\d])"),
        _iban,
    ),
    # Korean mobile and fixed lines; 15xx, 16xx and 18xx numbers are public and have no match here.
    (
        PersonalDataKind.phone,
        re.compile(
            r"(?<![\d-])(?:\+?82[ -]?(?:\(0\))?|0)1[016-9][ .-]?\d{3,4}[ .-]?\d{4}(?!\d)"
            r"|(?<![\d-])(?:\+?82[ -]?|\(?0)(?:2|[3-6][1-5]|70)\)?[ .-]\d{3,4}[ .-]\d{4}(?!\d)"
        ),
        _not_invented,
    ),
    (
        PersonalDataKind.phone,
        _number(
            r"(?:\+?1[ .-]?)?\(?(?P<area>[2-9]\d\d)(?:\) ?|[ .-])(?P<exchange>[2-9]\d\d)[ .-]\d{4}"
        ),
        _north_american,
    ),
    (
        PersonalDataKind.phone,
        _number(r"\+(?!82|1\D)[2-9]\d?(?:[ .-]\(?\d{1,4}\)?){2,4}"),
        _not_invented,
    ),
    (
        PersonalDataKind.email,
        re.compile(
            r"(?<![a-z\d._%+-])[a-z\d._%+-]+@(?:[a-z\d-]+\.)+[a-z]{2,}(?![a-z\d])", re.IGNORECASE
        ),
        _mail,
    ),
)
"""Pattern of each kind, and a check that a match may be real. A checksum, where a kind has one,
keeps order numbers and timestamps out."""
