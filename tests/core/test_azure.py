"""Azure's paths, in and out."""

from __future__ import annotations

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import AzureOpenAI
from openai.lib import azure

from llm_gateway.core.azure import DEPLOYMENT_OPERATIONS, AzureCall, asked_of_azure, from_azure
from llm_gateway.core.paths import checked_suffix, joined
from llm_gateway.errors import BadRequest

MODELS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda name: name not in (".", "..")
)


@pytest.mark.parametrize(
    ("path", "query", "call"),
    [
        (b"/openai/deployments/gpt/chat/completions", b"api-version=1", (b"/v1/chat/completions", b"", "gpt")),
        (b"/openai/deployments/a%2Fb%20c/embeddings", b"", (b"/v1/embeddings", b"", "a/b c")),
        (b"/openai/deployments/gpt/", b"", (b"/v1/", b"", "gpt")),
        (b"/openai/v1/chat/completions", b"api-version=preview", (b"/v1/chat/completions", b"", None)),
        (b"/openai/responses/r-1", b"a=1&api-version=2&b=3", (b"/v1/responses/r-1", b"a=1&b=3", None)),
        (b"/openai/models", b"limit=2", (b"/v1/models", b"limit=2", None)),
    ],
)
def test_azure_s_paths_become_openai_s(path: bytes, query: bytes, call: tuple[bytes, bytes, str | None]) -> None:
    assert from_azure(path, query) == AzureCall(*call)


@pytest.mark.parametrize(
    "path", [b"/v1/chat/completions", b"/openai", b"/openaix/deployments/a/b", b"/p/azure/openai/x"]
)
def test_other_paths_are_not_azure_s(path: bytes) -> None:
    assert from_azure(path, b"") is None


@pytest.mark.parametrize(
    "path",
    [b"/openai/deployments/", b"/openai/deployments/gpt", b"/openai/deployments//x", b"/openai/deployments/%ff/x"],
)
def test_path_without_a_deployment_is_refused(path: bytes) -> None:
    with pytest.raises(BadRequest, match="must name a deployment"):
        from_azure(path, b"")


@pytest.mark.parametrize(
    ("suffix", "query", "model", "asked"),
    [
        (b"/v1/chat/completions", b"", "gpt", (b"/deployments/gpt/chat/completions", b"api-version=2024-10-21")),
        (b"embeddings", b"", "a/b ü", (b"/deployments/a%2Fb%20%C3%BC/embeddings", b"api-version=2024-10-21")),
        (b"/responses/r-1", b"a=1", "gpt", (b"/responses/r-1", b"a=1&api-version=2024-10-21")),
        (b"/files", b"api-version=2020&x=y", None, (b"/files", b"x=y&api-version=2024-10-21")),
        (b"/files", b"api-version=2020", None, (b"/files", b"api-version=2024-10-21")),
    ],
)
def test_openai_s_paths_become_azure_s(
    suffix: bytes, query: bytes, model: str | None, asked: tuple[bytes, bytes]
) -> None:
    """The deployment goes into the path where there is one, the provider's own version into the query."""
    assert asked_of_azure(suffix, query, model, "2024-10-21") == asked


@pytest.mark.parametrize("model", [None, ""])
def test_operation_of_a_deployment_needs_a_model(model: str | None) -> None:
    with pytest.raises(BadRequest, match="the request names none"):
        asked_of_azure(b"/v1/chat/completions", b"", model, "2024-10-21")


@pytest.mark.parametrize("model", [".", ".."])
def test_model_cannot_climb_out_of_its_path(model: str) -> None:
    with pytest.raises(BadRequest, match="No model is called"):
        asked_of_azure(b"chat/completions", b"", model, "2024-10-21")


def test_operations_of_a_deployment_are_the_sdk_s() -> None:
    assert {f"/{name.decode()}" for name in DEPLOYMENT_OPERATIONS} == azure._deployments_endpoints


@given(MODELS, st.sampled_from(sorted(DEPLOYMENT_OPERATIONS)))
def test_what_is_written_for_azure_is_read_back(model: str, operation: bytes) -> None:
    """And whatever the model is called, the path leads to its deployment and nowhere else."""
    path, query = asked_of_azure(operation, b"", model, "2024-10-21")
    assert from_azure(b"/openai" + path, query) == AzureCall(b"/v1/" + operation, b"", model)
    assert joined(b"/openai", checked_suffix(path)) == b"/openai" + path


@pytest.mark.parametrize("deployment", [None, "my-gpt"])
def test_the_official_sdk_s_calls_are_understood(deployment: str | None) -> None:
    """With the deployment in the client or only in the call."""
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json={"id": "", "object": "", "created": 0, "model": "", "choices": []})

    with AzureOpenAI(
        azure_endpoint="http://gateway",
        azure_deployment=deployment,
        api_version="2024-10-21",
        api_key="vk",
        http_client=httpx2.Client(transport=httpx2.MockTransport(answer)),
    ) as client:
        client.chat.completions.create(model="my-gpt", messages=[])
        client.models.list()
    calls = [from_azure(*request.url.raw_path.split(b"?")) for request in seen]
    assert calls == [AzureCall(b"/v1/chat/completions", b"", "my-gpt"), AzureCall(b"/v1/models", b"", None)]
