"""Answers as services send them."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from typing import Any

import pytest

from pacos.llm.http.failures import FailureKind, classify_response, error_in_reply, retry_after

Kind = FailureKind

CASES: list[tuple[int, dict[str, Any], Kind]] = [
    (401, {"message": "Incorrect API key provided"}, Kind.refused),
    (403, {"message": "Project does not have access to model"}, Kind.refused),
    (404, {"message": "The model `x` does not exist", "code": "model_not_found"}, Kind.refused),
    (402, {"message": "Insufficient Balance"}, Kind.refused),
    (429, {"message": "You exceeded it", "code": "insufficient_quota"}, Kind.refused),
    (429, {"message": "You exceeded your current quota"}, Kind.refused),
    (400, {"message": "Billing hard limit has been reached"}, Kind.refused),
    (301, {}, Kind.refused),
    (400, {"message": "must be <= 2", "param": "temperature"}, Kind.refused),
    (429, {"message": "Rate limit reached for m", "code": "rate_limit_exceeded"}, Kind.throttled),
    (429, {"message": "Request too large for m on tokens per min (TPM)"}, Kind.bad_request),
    (400, {"message": "x", "code": "context_length_exceeded", "param": "messages"},
     Kind.bad_request),
    (400, {"message": "'max_tokens' is too large: 9. This model's maximum context length is 8"
           " tokens", "param": "max_tokens"}, Kind.bad_request),
    (400, {"message": "the request exceeds the available context size"}, Kind.bad_request),
    (400, {"message": "The response was filtered", "code": "content_filter"}, Kind.bad_request),
    (400, {"message": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}},
     Kind.bad_request),
    (413, {"message": "too long"}, Kind.bad_request),
    (400, {"message": "1 validation error"}, Kind.unclear),
    (400, {"message": "is no text", "param": "messages.[0].content"}, Kind.unclear),
    (503, {"message": "overloaded"}, Kind.overloaded),
    (500, {"message": "oops"}, Kind.transient),
    (502, {}, Kind.transient),
    (408, {}, Kind.transient),
]  # fmt: skip


@pytest.mark.parametrize(("status", "error", "kind"), CASES)
def test_what_an_error_means(status: int, error: dict[str, Any], kind: Kind) -> None:
    nested = classify_response(status, {}, json.dumps({"error": error}).encode())
    flat = classify_response(status, {}, json.dumps({"object": "error", **error}).encode())
    assert nested.kind is kind
    assert flat.kind is kind
    assert nested.status == status
    assert error.get("message", "") in nested.reason


@pytest.mark.parametrize(
    ("error", "field"),
    [
        ({"message": "Unsupported parameter: 'max_tokens' is not supported"}, "max_tokens"),
        ({"message": "x", "param": "top_p", "code": "unsupported_parameter"}, "top_p"),
        ({"message": "Unsupported value: 'temperature' does not support 0.7"}, "temperature"),
        ({"message": "Invalid schema", "param": "response_format"}, "response_format"),
        ({"message": "Unexpected fields in the request: {'response_format'}"}, "response_format"),
        ({"message": "Unexpected fields in the request: {'top_p'}"}, "top_p"),
        ({"message": "Unrecognized request argument supplied: max_tokens"}, "max_tokens"),
    ],
)
def test_the_field_that_a_service_refuses(error: dict[str, Any], field: str) -> None:
    failure = classify_response(400, {}, json.dumps({"error": error}).encode())
    assert (failure.kind, failure.field) == (Kind.bad_field, field)


def test_a_form_of_replies_that_a_service_calls_its_own_error() -> None:
    words = "{'loc': ('body', 'response_format', 'type'), 'input': 'json_schema'}"
    failure = classify_response(500, {}, json.dumps({"error": {"message": words}}).encode())
    assert (failure.kind, failure.field) == (Kind.bad_field, "response_format")


def test_a_message_that_is_no_error_object() -> None:
    failure = classify_response(
        422, {}, b'{"detail": "Unexpected fields in the request: {\'top_p\'}"}'
    )
    assert (failure.kind, failure.field) == (Kind.bad_field, "top_p")


def test_an_answer_that_is_no_json_is_quoted() -> None:
    failure = classify_response(502, {}, b"<html>Bad Gateway</html>")
    assert failure.reason == "502: <html>Bad Gateway</html>"


def test_an_error_with_status_200() -> None:
    assert error_in_reply({"choices": []}) is None
    limited = error_in_reply({"error": {"code": 429, "message": "slow down"}})
    assert limited is not None
    assert limited.kind is Kind.throttled
    broken = error_in_reply({"error": "upstream"})
    assert broken is not None
    assert (broken.kind, broken.reason) == (Kind.transient, "500: upstream")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-1"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m30s"}, 90.0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "120ms"}, 0.12),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "7"}, 7.0),
        ({"x-ratelimit-remaining-tokens": "9", "x-ratelimit-reset-tokens": "1m30s"}, None),
        ({}, None),
    ],
)
def test_how_long_a_service_asks_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == pytest.approx(seconds)


def test_a_date_to_wait_for() -> None:
    wait = retry_after({"retry-after": formatdate(time.time() + 30, usegmt=True)})
    assert wait is not None
    assert 25 < wait < 35
    assert retry_after({"retry-after": formatdate(time.time() - 30, usegmt=True)}) == 0.0
