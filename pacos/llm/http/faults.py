"""What an answer that is no reply means: whose fault it is, and what is to be done."""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from enum import Enum, auto
from typing import Any

from pacos.errors import UserError


class EndpointDown(UserError):  # noqa: N818
    """The service answers nothing at all."""


def fresh(error: UserError) -> UserError:
    """A copy to raise: an exception that is raised many times collects every traceback."""
    return type(error)(*error.args)


class Kind(Enum):
    """What is to be done about a failure."""

    refused = auto()
    """No request will be answered until the user puts something right."""
    request = auto()
    """This request will never be answered; others will."""
    unclear = auto()
    """The request was found bad, without a word on whether others would be, too."""
    field = auto()
    """One field of the request is not known to the service."""
    throttled = auto()
    """Too many requests."""
    overloaded = auto()
    """The service cannot keep up: it asks for patience, or took too long."""
    broken = auto()
    """Something went wrong that may go well the next time."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A failed try."""

    kind: Kind
    reason: str
    """In the words of the service where it said any."""
    status: int | None = None
    """HTTP status; None where no answer came."""
    wait: float | None = None
    """Seconds that the service asks to wait."""
    field: str | None = None
    """Field that the service objects to."""


NO_CREDIT = re.compile(
    r"insufficient[_ ](quota|balance|funds|credit)|exceeded your current quota|billing[_ ]"
)
TOO_LARGE = re.compile(
    r"context[_ ](length|window|size)|maximum context|too many (input )?tokens|reduce the length"
    r"|string_above_max_length|request too large|max_tokens must be at least 1"
)
"""A request that is longer than the model, or than the account's tokens a minute, can take."""
FILTERED = re.compile(
    r"content[_ ](filter|policy|management)|responsible ?ai|moderation|invalid_prompt|flagged"
)
UNKNOWN = re.compile(r"unsupported|not supported|unrecognized|unexpected field")
FIELD = re.compile(
    r"(?:parameter|value|field|argument)s?(?: supplied| in the request)?:? [{\[]?['\"`]?([a-z_]+)"
)
"""How a message that speaks of a field names it."""
PARTS = re.compile(r"([0-9.]+)(ms|h|m|s)")
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
ABOUT_TEXT = ("messages", "prompt", "input", "input_tokens", "")
"""Values of `param` that speak of one request's text, not of settings that all share."""


def fault_of(status: int, headers: Mapping[str, str], content: bytes) -> Fault:
    """What an HTTP answer means that is no reply."""
    error = _error_object(content)
    message = str(error.get("message") or content[:300].decode(errors="replace").strip())
    reason = f"{status}: {message[:500]}" if message else str(status)
    # Azure puts the filter's own code one level deeper.
    words = " ".join(str(error.get(name)) for name in ("code", "type", "innererror"))
    words = f"{words} {message}".lower()
    wait = wait_of(headers)
    if status < 400 or status in (401, 402, 404, 405, 410, 501) or NO_CREDIT.search(words):
        return Fault(Kind.refused, reason, status)
    asked = f"{words} {error.get('param')}"
    if "logprobs" in asked and (status in (400, 403, 422) or UNKNOWN.search(words)):
        return Fault(Kind.field, reason, status, field="logprobs")
    if status in (400, 403, 422) and FILTERED.search(words):
        return Fault(Kind.request, reason, status)
    if status == 413 or (status < 500 and TOO_LARGE.search(words)):
        return Fault(Kind.request, reason, status)
    # llama-cpp-python calls a form that it does not know an error of its own.
    if status in (400, 422) or (status == 500 and "response_format" in words):
        return _bad_request(status, reason, words, str(error.get("param") or ""))
    if status == 403:
        return Fault(Kind.refused, reason, status)
    if status == 429:
        return Fault(Kind.throttled, reason, status, wait)
    if status in (503, 504, 529):
        return Fault(Kind.overloaded, reason, status, wait)
    return Fault(Kind.broken, reason, status, wait)


def _bad_request(status: int, reason: str, words: str, param: str) -> Fault:
    named = FIELD.search(words)
    if "response_format" in f"{param} {words}" or "json_schema" in words:
        return Fault(Kind.field, reason, status, field="response_format")
    if UNKNOWN.search(words):
        return Fault(Kind.field, reason, status, field=param or (named and named.group(1)))
    if re.split(r"[.\[]", param)[0] not in ABOUT_TEXT:
        return Fault(Kind.refused, reason, status)
    return Fault(Kind.unclear, reason, status)


def _error_object(content: bytes) -> Mapping[str, Any]:
    """`error` of the answer, or the whole of it, as older vLLMs send it; empty if it has none."""
    try:
        document = json.loads(content)
    except ValueError:
        return {}
    if not isinstance(document, dict):
        return {}
    error = document.get("error", document)
    return error if isinstance(error, dict) else {"message": error}


def fault_in(document: Any) -> Fault | None:
    """The failure that some gateways report in an answer with status 200."""
    if not isinstance(document, dict) or "choices" in document or not document.get("error"):
        return None
    code = document["error"].get("code") if isinstance(document["error"], dict) else None
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    return fault_of(status, {}, json.dumps(document).encode())


def wait_of(headers: Mapping[str, str]) -> float | None:
    """Seconds that the service asks to wait, None if it does not say.

    Read from Retry-After (seconds, or an HTTP date), Azure's retry-after-ms, else from the
    x-ratelimit-reset-… header of the limit that is used up (such as `1m30s`).
    """
    with_unit = {"retry-after-ms": 0.001, "retry-after": 1.0}
    for name, unit in with_unit.items():
        value = headers.get(name)
        if value is not None:
            seconds = _number(value, unit)
            return _until(value) if seconds is None else max(0.0, seconds)
    for what in ("requests", "tokens"):
        if headers.get(f"x-ratelimit-remaining-{what}") == "0":
            reset = headers.get(f"x-ratelimit-reset-{what}", "")
            seconds = sum(float(number) * SECONDS[unit] for number, unit in PARTS.findall(reset))
            return seconds or _number(reset, 1.0)
    return None


def _number(value: str, unit: float) -> float | None:
    try:
        return float(value) * unit
    except ValueError:
        return None


def _until(date: str) -> float | None:
    """Seconds until an HTTP date; None if it is none."""
    try:
        moment = email.utils.parsedate_to_datetime(date)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - time.time())
