"""The way to a service: addresses, key, one HTTP session."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from pacos.errors import UserError
from pacos.llm.config import Api, EndpointConfig
from pacos.llm.http.faults import Fault, Kind, fault_of

CONNECT_S = 30.0
"""Longest time for a connection to be made; a network that answers at all is far quicker."""

PATHS = {Api.chat: "chat/completions", Api.completions: "completions"}


class Link:
    """Sends to one service; an `async with` holds its connections open."""

    def __init__(self, config: EndpointConfig) -> None:
        self._config = config
        self._key = _api_key(config)
        base = config.url.rstrip("/")
        azure = config.api_version is not None
        path = PATHS[config.api]
        self.asked_path = f"/{path}" if azure else f"/v1/{path}"
        """The path that a batch names; Azure's has no version."""
        self._base = f"{base}/openai" if azure else base
        self.ask_url = self.url(f"deployments/{config.model}/{path}" if azure else path)

    def url(self, path: str) -> URL:
        """The address of a path below the base URL."""
        url = URL(f"{self._base}/{path}")
        version = self._config.api_version
        return url if version is None else url.update_query({"api-version": version})

    async def __aenter__(self) -> Link:
        headers = {}
        if self._key is not None:
            azure = self._config.api_version is not None
            headers = {"api-key": self._key} if azure else {"Authorization": f"Bearer {self._key}"}
        total = self._config.timeout
        self._session = aiohttp.ClientSession(
            headers=headers,
            # aiohttp looks the proxy up anew for each request, which costs as much as the request.
            proxy=_proxy(self.ask_url),
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
    ) -> bytes | Fault:
        """Try once; returns the content of an answer with status 200 to 299, or the fault."""
        try:
            async with self._session.request(
                method, url, data=data, headers=headers, allow_redirects=False
            ) as response:
                content = await response.read()
                if 200 <= response.status < 300:
                    return content
                return fault_of(response.status, response.headers, self._without_key(content))
        except aiohttp.ConnectionTimeoutError as error:
            return Fault(Kind.broken, f"no connection: {error}")
        except TimeoutError:
            return Fault(Kind.overloaded, f"no answer within {self._config.timeout:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return Fault(Kind.broken, f"{type(error).__name__}: {error}")

    def _without_key(self, content: bytes) -> bytes:
        """An error message may repeat the key; it must not reach a log."""
        return content if self._key is None else content.replace(self._key.encode(), b"(key)")

    def refusal(self, fault: Fault) -> UserError:
        """What to tell the user about a fault of kind `refused` or `field`."""
        config = self._config
        at = f"{self.ask_url.with_query(None)} (model {config.model})"
        variable = config.api_key_env
        if fault.status in (401, 403):
            remedy = (
                f"set the environment variable {variable} to a key that may use the model"
                if variable
                else "set endpoint.api_key_env to the environment variable that holds the API key"
            )
            what = f"refuses the key of {variable}" if variable else "wants a key"
        elif fault.status == 404:
            what = "is not there, or has no such model"
            remedy = "check endpoint.url (with its /v1), endpoint.model and endpoint.api"
        elif fault.status in (402, 429) or "billing" in fault.reason.lower():
            what = "has no credit left for this account"
            remedy = f"add credit or raise the account's limit (key of {variable}); then"
            remedy = f"{remedy} the same command goes on"
        elif fault.status is not None and fault.status < 400:
            what = "sends requests elsewhere"
            remedy = "set endpoint.url to the address that it really has, such as https, not http"
        elif fault.field == "response_format":
            what, remedy = "takes no JSON schema", "use endpoint.structured_output=auto or never"
        else:
            what = "refuses every such request"
            remedy = "correct the setting that the service names"
        return UserError(f"endpoint {at} {what}: {fault.reason}; {remedy}")


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
    """The proxy that the environment (https_proxy, no_proxy and so on) names for an address."""
    host = url.host or ""
    return None if proxy_bypass(host) else getproxies().get(url.scheme)
