"""Classify failed responses: what went wrong, and whether to retry, adapt or give up."""

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


def copy_of(error: UserError) -> UserError:
    """Return a copy to raise. An exception raised many times collects every traceback."""
    return type(error)(*error.args)


class FailureKind(Enum):
    """The consequence of a failure."""

    refused = auto()
    """No request will be answered until the user corrects something."""
    bad_request = auto()
    """This request will never be answered. Others will."""
    unclear = auto()
    """The request is invalid, but the response does not say whether all requests are."""
    bad_field = auto()
    """The service does not support one field of the request."""
    throttled = auto()
    """A rate limit was exceeded."""
    overloaded = auto()
    """The service cannot keep up: it says so, or it took too long."""
    transient = auto()
    """Any other error that may pass."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed try."""

    kind: FailureKind
    reason: str
    """The service's own message if it sent one."""
    status: int | None = None
    """HTTP status. None if there was no response."""
    wait: float | None = None
    """Seconds that the service asks to wait."""
    field: str | None = None
    """Field that the service objects to, for `bad_field`."""


NO_CREDIT = re.compile(
    r"insufficient[_ ](quota|balance|funds|credit)|exceeded your current quota|billing[_ ]"
)
"""OpenAI reports an empty account as 429, like a rate limit, and DeepSeek as 402."""
TOO_LARGE = re.compile(
    r"context[_ ](length|window|size)|maximum context|too many (input )?tokens|reduce the length"
    r"|string_above_max_length|request too large|max_tokens must be at least 1"
)
"""The request is longer than the model's context, or than the account's tokens per minute."""
FILTERED = re.compile(
    r"content[_ ](filter|policy|management)|responsible ?ai|moderation|invalid_prompt|flagged"
)
UNSUPPORTED = re.compile(r"unsupported|not supported|unrecognized|unexpected field")
NAMED_FIELD = re.compile(
    r"(?:parameter|value|field|argument)s?(?: supplied| in the request)?:? [{\[]?['\"`]?([a-z_]+)"
)
"""The field in a message such as "Unsupported parameter: 'max_tokens' is not supported"."""
DURATION_PART = re.compile(r"([0-9.]+)(ms|h|m|s)")
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
PROMPT_FIELDS = ("messages", "prompt", "input", "input_tokens", "")
"""Values of `param` that concern the text of one request rather than settings shared by all."""


def classify_response(status: int, headers: Mapping[str, str], content: bytes) -> Failure:
    """Classify an HTTP response that is not a reply.

    The order of the tests matters: a status code means different things on different services, so
    the more specific wording in the body is tested first.
    """
    error = _error_object(content)
    message = str(error.get("message") or content[:300].decode(errors="replace").strip())
    reason = f"{status}: {message[:500]}" if message else str(status)
    # Azure puts the content filter's code one level deeper, in `innererror`.
    codes = " ".join(str(error.get(name)) for name in ("code", "type", "innererror"))
    text = f"{codes} {message}".lower()
    wait = retry_after(headers)
    if status < 400 or status in (401, 402, 404, 405, 410, 501) or NO_CREDIT.search(text):
        return Failure(FailureKind.refused, reason, status)
    about_logprobs = "logprobs" in f"{text} {error.get('param')}"
    if about_logprobs and (status in (400, 403, 422) or UNSUPPORTED.search(text)):
        return Failure(FailureKind.bad_field, reason, status, field="logprobs")
    if status in (400, 403, 422) and FILTERED.search(text):
        return Failure(FailureKind.bad_request, reason, status)
    if status == 413 or (status < 500 and TOO_LARGE.search(text)):
        return Failure(FailureKind.bad_request, reason, status)
    # llama-cpp-python answers 500 for a response_format that it does not know.
    if status in (400, 422) or (status == 500 and "response_format" in text):
        return _classify_bad_request(status, reason, text, str(error.get("param") or ""))
    if status == 403:
        return Failure(FailureKind.refused, reason, status)
    if status == 429:
        return Failure(FailureKind.throttled, reason, status, wait)
    # 529 is Anthropic's and some gateways' "overloaded".
    if status in (503, 504, 529):
        return Failure(FailureKind.overloaded, reason, status, wait)
    return Failure(FailureKind.transient, reason, status, wait)


def _classify_bad_request(status: int, reason: str, text: str, param: str) -> Failure:
    named = NAMED_FIELD.search(text)
    if "response_format" in f"{param} {text}" or "json_schema" in text:
        return Failure(FailureKind.bad_field, reason, status, field="response_format")
    if UNSUPPORTED.search(text):
        field = param or (named and named.group(1))
        return Failure(FailureKind.bad_field, reason, status, field=field)
    # `messages.[0].content` and `messages[0]` both concern `messages`.
    if re.split(r"[.\[]", param)[0] not in PROMPT_FIELDS:
        return Failure(FailureKind.refused, reason, status)
    return Failure(FailureKind.unclear, reason, status)


def _error_object(content: bytes) -> Mapping[str, Any]:
    """Return `error` of the body, or the whole body as older vLLMs send it; {} if there is none."""
    try:
        document = json.loads(content)
    except ValueError:
        return {}
    if not isinstance(document, dict):
        return {}
    error = document.get("error", document)
    return error if isinstance(error, dict) else {"message": error}


def error_in_reply(document: Any) -> Failure | None:
    """Return the failure that some gateways report with status 200; None for a real reply."""
    if not isinstance(document, dict) or "choices" in document or not document.get("error"):
        return None
    code = document["error"].get("code") if isinstance(document["error"], dict) else None
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    return classify_response(status, {}, json.dumps(document).encode())


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the service asks to wait; None if it does not say.

    Reads Retry-After (seconds or an HTTP date) and Azure's retry-after-ms. Without them, reads the
    x-ratelimit-reset-… header (such as `1m30s`) of the limit that is used up.
    """
    # The finer unit first: Azure sends both, with the seconds rounded.
    units = {"retry-after-ms": 0.001, "retry-after": 1.0}
    for name, unit in units.items():
        value = headers.get(name)
        if value is not None:
            seconds = _number(value, unit)
            return _seconds_until(value) if seconds is None else max(0.0, seconds)
    for limit in ("requests", "tokens"):
        if headers.get(f"x-ratelimit-remaining-{limit}") == "0":
            reset = headers.get(f"x-ratelimit-reset-{limit}", "")
            parts = DURATION_PART.findall(reset)
            seconds = sum(float(number) * SECONDS[unit] for number, unit in parts)
            return seconds or _number(reset, 1.0)
    return None


def _number(value: str, unit: float) -> float | None:
    try:
        return float(value) * unit
    except ValueError:
        return None


def _seconds_until(date: str) -> float | None:
    """Return the seconds until an HTTP date; None if it is not a date."""
    try:
        moment = email.utils.parsedate_to_datetime(date)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - time.time())
