"""Checks that tell an identity number that may have been issued from an invented one."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

RESIDENT_WEIGHTS = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)
"""Weights of the first 12 digits of a Korean registration number in its check sum (mod 11)."""
RANDOM_SINCE = date(2020, 10, 5)
"""Date since which Korea draws the last six digits at random: such numbers have no check digit."""

TEST_CARD_DIGITS = 5
"""Fewest distinct digits of a real card number. Test numbers have fewer (4111…, 4242…, 5555…4444);
of random numbers 1 in 10,000 does."""


def digits_of(text: str) -> str:
    """Return only the digits of a text."""
    return "".join(filter(str.isdecimal, text))


def looks_invented(digits: str) -> bool:
    """Return True for one repeated digit, or digits counted up or down (9 wraps to 0)."""
    steps = {(int(after) - int(before)) % 10 for before, after in pairwise(digits)}
    return len(steps) == 1 and steps <= {0, 1, 9}


def born(digits: str) -> date | None:
    """Return the birthday in a 13-digit Korean registration number; None if it is no date."""
    # The 7th digit: 9, 0 born before 1900; 1, 2 in the 1900s; 3, 4 in the 2000s; 5-8 foreigners.
    century = {"9": 18, "0": 18, "1": 19, "2": 19, "5": 19, "6": 19}.get(digits[6], 20)
    try:
        return date(100 * century + int(digits[:2]), int(digits[2:4]), int(digits[4:6]))
    except ValueError:
        return None


def has_check_digit(digits: str) -> bool:
    """Return True if the 13th digit of a Korean registration number is its check digit."""
    total = sum(
        weight * int(digit) for weight, digit in zip(RESIDENT_WEIGHTS, digits, strict=False)
    )
    # Numbers of foreigners (7th digit 5 to 8) use an offset of 13 instead of 11.
    offset = 13 if digits[6] in "5678" else 11
    return (offset - total % 11) % 10 == int(digits[12])


def may_be_registered(digits: str, *, is_marked: bool) -> bool:
    """Return True if 13 digits may be a person's Korean registration number.

    Args:
        digits: the whole number, birthday first.
        is_marked: the text writes it with a hyphen or names it. The check digit is then not
            required, since a number reissued after 2020 has none, whatever its birthday.
    """
    birthday = born(digits)
    if birthday is None or looks_invented(digits[6:]) or looks_invented(digits[7:]):
        return False
    return is_marked or birthday >= RANDOM_SINCE or has_check_digit(digits)


def may_be_social_security(digits: str) -> bool:
    """Return True if nine digits may be a US social security number: no part is a reserved one."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    # Parts that the Social Security Administration has never issued.
    if area in ("000", "666") or area[0] == "9" or group == "00" or serial == "0000":
        return False
    return not looks_invented(digits)


def may_be_card(digits: str) -> bool:
    """Return True if digits pass the Luhn check (ISO/IEC 7812) and are not a test number."""
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    checks = (doubled + sum(map(int, digits[::-2]))) % 10 == 0
    return checks and len(set(digits)) >= TEST_CARD_DIGITS


def is_iban(text: str) -> bool:
    """Return True if the check digits of an IBAN are right (ISO 7064, mod 97-10)."""
    compact = text.replace(" ", "")
    return int("".join(str(int(letter, 36)) for letter in compact[4:] + compact[:4])) % 97 == 1
