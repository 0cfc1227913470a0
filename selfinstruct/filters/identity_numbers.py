"""What tells an identity number that may have been issued from one that was made up."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

RESIDENT_WEIGHTS = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)
RANDOM_SINCE = date(2020, 10, 5)
"""Since then the last six digits of a Korean number are drawn: there is no check digit to hold."""

TEST_CARD_DIGITS = 5
"""A card number with fewer different digits is a test number: 4111…, 4242…, 5555…4444. Of random
ones 1 in 10,000 has so few."""


def digits_of(text: str) -> str:
    """The digits alone."""
    return "".join(filter(str.isdecimal, text))


def looks_invented(digits: str) -> bool:
    """One digit throughout, or counted up or down; nine is followed by zero."""
    steps = {(int(after) - int(before)) % 10 for before, after in pairwise(digits)}
    return len(steps) == 1 and steps <= {0, 1, 9}


def born(digits: str) -> date | None:
    """The birthday in a Korean resident or foreigner registration number of 13 digits."""
    # 9 and 0: born before 1900; 1, 2: 1900s; 3, 4: 2000s; 5 to 8: the same for foreigners.
    century = {"9": 18, "0": 18, "1": 19, "2": 19, "5": 19, "6": 19}.get(digits[6], 20)
    try:
        return date(100 * century + int(digits[:2]), int(digits[2:4]), int(digits[4:6]))
    except ValueError:
        return None


def has_check_digit(digits: str) -> bool:
    """Whether the last of the 13 digits of a Korean registration number checks the others."""
    total = sum(
        weight * int(digit) for weight, digit in zip(RESIDENT_WEIGHTS, digits, strict=False)
    )
    offset = 13 if digits[6] in "5678" else 11
    return (offset - total % 11) % 10 == int(digits[12])


def may_be_registered(digits: str, *, is_marked: bool) -> bool:
    """Whether 13 digits may be a person's Korean registration number.

    Args:
        digits: all of it, birthday first.
        is_marked: it is written with a hyphen or named as such. Then the check digit is not asked
            for: numbers that were changed have none either.
    """
    birthday = born(digits)
    if birthday is None or looks_invented(digits[6:]) or looks_invented(digits[7:]):
        return False
    return is_marked or birthday >= RANDOM_SINCE or has_check_digit(digits)


def may_be_social_security(digits: str) -> bool:
    """Whether nine digits may be a US social security number: all its parts are issued ones."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    if area in ("000", "666") or area[0] == "9" or group == "00" or serial == "0000":
        return False
    return not looks_invented(digits)


def may_be_card(digits: str) -> bool:
    """Whether digits pass the check of payment cards (Luhn, ISO/IEC 7812) and are no test ones."""
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    checks = (doubled + sum(map(int, digits[::-2]))) % 10 == 0
    return checks and len(set(digits)) >= TEST_CARD_DIGITS


def is_iban(text: str) -> bool:
    """Whether the check digits of an international account number are right (ISO 7064, mod 97)."""
    compact = text.replace(" ", "")
    return int("".join(str(int(letter, 36)) for letter in compact[4:] + compact[:4])) % 97 == 1
