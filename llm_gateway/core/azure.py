"""
Azure OpenAI's paths: what its SDKs ask for, and what its older API wants to be asked.

Its newer API, at ``/openai/v1``, is OpenAI's own. The older one names the model, there called a deployment, in the path
and the API's version in the query.

Source: https://learn.microsoft.com/en-us/azure/foundry/openai/api-version-lifecycle and ``openai/lib/azure.py`` of the
official Python SDK, which lists the operations that have a deployment.
"""

from __future__ import annotations

from urllib.parse import quote_from_bytes, unquote_to_bytes

import msgspec

from llm_gateway.core.paths import without_parameters
from llm_gateway.errors import BadRequest

__all__ = ["DEPLOYMENT_OPERATIONS", "AzureCall", "asked_of_azure", "from_azure"]

DEPLOYMENT_OPERATIONS = frozenset(
    {
        b"audio/speech",
        b"audio/transcriptions",
        b"audio/translations",
        b"chat/completions",
        b"completions",
        b"embeddings",
        b"images/edits",
        b"images/generations",
    }
)
"""What is asked of a deployment. All else, such as ``responses`` or ``files``, is asked of the resource."""

_ROOT = b"/openai/"


class AzureCall(msgspec.Struct, frozen=True):
    """A call that came in Azure's form, in OpenAI's."""

    path: bytes
    """Below the gateway's root: ``/v1/chat/completions``."""
    query: bytes
    """Without Azure's own ``api-version``."""
    model: str | None
    """The deployment that the path named. It counts, not the ``model`` of the body, which may be missing."""


def from_azure(path: bytes, query: bytes) -> AzureCall | None:
    """
    Read a client's call.

    :param path: as the client wrote it, from the gateway's root.
    :param query: without its question mark.
    :return: ``None`` for a path that is not Azure's.
    :raises BadRequest: the path names no deployment, or none that a text could hold.
    """
    if not path.startswith(_ROOT):
        return None
    rest = path[len(_ROOT) :]
    model: str | None = None
    if rest.startswith(b"deployments/"):
        _, name, rest = rest.split(b"/", 2) if rest.count(b"/") > 1 else (b"", b"", b"")
        model = _deployment(name)
    query = without_parameters(query, lambda name, _value: name == b"api-version") if query else query
    return AzureCall(b"/v1/" + rest.removeprefix(b"v1/"), query, model)


def _deployment(name: bytes) -> str:
    try:
        model = unquote_to_bytes(name).decode("utf-8")
    except UnicodeDecodeError:
        model = ""
    if not model:
        raise BadRequest("The path must name a deployment: /openai/deployments/{deployment}/chat/completions.")
    return model


def asked_of_azure(suffix: bytes, query: bytes, model: str | None, api_version: str) -> tuple[bytes, bytes]:
    """
    Write a call for a provider whose base URL is ``https://{resource}.openai.azure.com/openai``.

    :param suffix: what OpenAI would be asked below its base URL: ``chat/completions``. A ``/v1/`` in front of it does
        not count.
    :param query: without its question mark.
    :param model: the deployment.
    :return: path below the base URL and query. An ``api-version`` that the client sent gives way to the provider's.
    :raises BadRequest: this operation needs a deployment, and none was named that could be one.
    """
    suffix = suffix.removeprefix(b"/").removeprefix(b"v1/")
    path = b"/" + suffix
    if suffix in DEPLOYMENT_OPERATIONS:
        if not model:
            raise BadRequest("This provider needs to be told the model, and the request names none.", param="model")
        if model in (".", ".."):
            raise BadRequest(f"No model is called {model!r}.", param="model")
        # As one segment: a slash in it would be another path.
        path = b"/deployments/" + quote_from_bytes(model.encode("utf-8"), safe="").encode("ascii") + path
    others = without_parameters(query, lambda name, _value: name == b"api-version") if query else b""
    version = b"api-version=" + api_version.encode("ascii")
    return path, others + b"&" + version if others else version
