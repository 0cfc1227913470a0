"""The connection to a service: its addresses, its key and one HTTP session."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from pacos.errors import UserError
from pacos.llm.config import Api, EndpointConfig
from pacos.llm.http.failures import Failure, FailureKind, classify_response
from pacos.llm.http.wire import CHAT, COMPLETIONS

CONNECT_S = 30.0
"""Seconds to wait for a connection. A network that works at all needs far less."""

WIRE_FORMATS = {Api.chat: CHAT, Api.completions: COMPLETIONS}
"""The wire format of each API."""


class Transport:
    """Sends requests to one service. `async with` keeps its connections open."""

    def __init__(self, config: EndpointConfig) -> None:
        self._config = config
        self._key = _api_key(config)
        self.wire = WIRE_FORMATS[config.api]
        base, path = config.url.rstrip("/"), self.wire.path
        azure = config.api_version is not None
        self._base = f"{base}/openai" if azure else base
        self.request_url = self.url(f"deployments/{config.model}/{path}" if azure else path)
        self.batch_path = f"/{path}" if azure else f"/v1/{path}"
        """Path that a batch names for its requests. Azure's has no version."""

    def url(self, path: str) -> URL:
        """Return the address of a path below the base URL."""
        url = URL(f"{self._base}/{path}")
        version = self._config.api_version
        return url if version is None else url.update_query({"api-version": version})

    async def __aenter__(self) -> Transport:
        headers = {}
        if self._key is not None:
            azure = self._config.api_version is not None
            headers = {"api-key": self._key} if azure else {"Authorization": f"Bearer {self._key}"}
        total = self._config.timeout
        self._session = aiohttp.ClientSession(
            headers=headers,
            # With trust_env, aiohttp looks the proxy up for every request, which costs as much as
            # the request itself.
            proxy=_proxy(self.request_url),
            # No limit here: the client's gate sets how many requests are in flight.
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=total, sock_connect=min(CONNECT_S, total)),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def send(
        self,
        method: str,
        url: URL,
        data: bytes | aiohttp.FormData | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes | Failure:
        """Try once; return the body of a response with status 200 to 299, or the failure."""
        try:
            # Redirects are refused: aiohttp would turn a redirected POST into a GET.
            async with self._session.request(
                method, url, data=data, headers=headers, allow_redirects=False
            ) as response:
                content = await response.read()
                if 200 <= response.status < 300:
                    return content
                content = self._without_key(content)
                return classify_response(response.status, response.headers, content)
        # Before TimeoutError, of which it is a subclass: no connection does not mean overload.
        except aiohttp.ConnectionTimeoutError as error:
            return Failure(FailureKind.transient, f"no connection: {error}")
        except TimeoutError:
            reason = f"no answer within {self._config.timeout:g} s"
            return Failure(FailureKind.overloaded, reason)
        except (aiohttp.ClientError, OSError) as error:
            return Failure(FailureKind.transient, f"{type(error).__name__}: {error}")

    def _without_key(self, content: bytes) -> bytes:
        """Remove the key, which an error message may repeat: it must not reach a log."""
        return content if self._key is None else content.replace(self._key.encode(), b"(key)")

    def refusal(self, failure: Failure) -> UserError:
        """Return the message for a failure that every request would meet."""
        config = self._config
        address = f"{self.request_url.with_query(None)} (model {config.model})"
        variable = config.api_key_env
        if failure.status in (401, 403):
            remedy = (
                f"set the environment variable {variable} to a key that may use the model"
                if variable
                else "set endpoint.api_key_env to the environment variable that holds the API key"
            )
            problem = f"refuses the key in {variable}" if variable else "requires a key"
        elif failure.status == 404:
            problem = "does not exist, or has no such model"
            remedy = "check endpoint.url (with its /v1), endpoint.model and endpoint.api"
        elif failure.status in (402, 429) or "billing" in failure.reason.lower():
            problem = "reports that the account has no credit left"
            remedy = (
                f"add credit or raise the limit of the account (key in {variable}); then run the "
                "same command again"
            )
        elif failure.status is not None and failure.status < 400:
            problem = "redirects requests to another address"
            remedy = "set endpoint.url to the final address, such as https instead of http"
        elif failure.field == "response_format":
            problem = "does not support JSON schemas"
            remedy = "use endpoint.structured_output=auto or never"
        else:
            problem = "refuses every such request"
            remedy = "correct the setting that the service names"
        return UserError(f"endpoint {address} {problem}: {failure.reason}; {remedy}")


def _api_key(config: EndpointConfig) -> str | None:
    if config.api_key_env is None:
        return None
    key = os.environ.get(config.api_key_env, "").strip()
    if not key:
        raise UserError(
            f"endpoint.api_key_env = {config.api_key_env}: the environment variable is not set; "
            f"export {config.api_key_env} with the API key of {config.url}"
        )
    return key


def _proxy(url: URL) -> str | None:
    """Return the proxy for an address from the environment (https_proxy, no_proxy and so on)."""
    host = url.host or ""
    return None if proxy_bypass(host) else getproxies().get(url.scheme)
