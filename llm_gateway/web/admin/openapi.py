"""The OpenAPI file of the gateway's own pages: ``python -m llm_gateway.web.admin.openapi`` writes it anew.

It is made from the same tables and types as the routes and the answers, so that it says what they do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from llm_gateway import __version__
from llm_gateway.config.formats import VirtualKeyEntry
from llm_gateway.core.apis import ASKED_BY
from llm_gateway.core.routing.explain import Explanation
from llm_gateway.issuing.faults import Broken, Fault, NotAdmitted, NothingThere, WrongMethod
from llm_gateway.issuing.keeper import KeyView, Made
from llm_gateway.shipped import DATA
from llm_gateway.web.admin.adding import MAX_BY, OWN_BY
from llm_gateway.web.admin.app import PATH
from llm_gateway.web.admin.endpoints import ENDPOINTS, TEXT, TIMES, Endpoint, Parameter
from llm_gateway.web.admin.values import (
    AuditPage,
    ErrorBody,
    Health,
    KeyPage,
    LiveCalls,
    OwnKey,
    OwnUsage,
    Reloaded,
    Rotation,
    Usage,
)

__all__ = ["FILE", "document", "written"]

FILE = "openapi.json"

_TEMPLATE = "#/components/schemas/{name}"
_EVERYWHERE = (NotAdmitted, Broken)
_SHAPES = (
    VirtualKeyEntry,
    KeyView,
    Made,
    Rotation,
    KeyPage,
    Usage,
    LiveCalls,
    Reloaded,
    Health,
    AuditPage,
    OwnKey,
    OwnUsage,
    ErrorBody,
    Explanation,
)
_JSON = "application/json"
_OWN = (
    ("own_key", "/v1/gateway/key", "Say what the caller's key may do, and what is left of its limits", OwnKey, ()),
    (
        "own_usage",
        "/v1/gateway/usage",
        "Add up what the caller's key has used",
        OwnUsage,
        (
            Parameter(
                "by",
                f"What it is told apart by: up to {MAX_BY} of {', '.join(OWN_BY)}, with commas between. "
                "Default: nothing, which is the total.",
                TEXT,
                "model,day",
            ),
            *TIMES,
        ),
    ),
    (
        "own_route",
        "/v1/gateway/route",
        "Say where a call of the caller's key would go, and why",
        Explanation,
        (
            Parameter("model", "As the call would name it.", {"type": "string"}),
            Parameter("api", "What the call is.", {"type": "string", "enum": [*ASKED_BY, ""], "default": "chat"}),
            Parameter("stream", "Whether it asks for a stream.", {"type": "string", "enum": ["true", "false", ""]}),
            Parameter("conversation", "What tells its conversation.", {"type": "string"}),
        ),
    ),
)


def document() -> dict[str, Any]:
    """:return: an OpenAPI 3.1 document."""
    _, components = msgspec.json.schema_components(_SHAPES, ref_template=_TEMPLATE)
    schemas = {name: _plain(schema) for name, schema in sorted(components.items())}
    schemas["NewVirtualKey"] = _new(schemas["VirtualKeyEntry"])
    schemas["VirtualKeyPatch"] = _patch(schemas["NewVirtualKey"])
    _forget_unused(schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "LLM gateway",
            "version": __version__,
            "description": "The gateway's own pages: the admin API, for operators with an admin key, and what a "
            "virtual key's owner may see of it. Calls to models are those of the providers' own APIs, and not in here.",
        },
        "tags": [
            {"name": "admin", "description": "For operators."},
            {"name": "own", "description": "For whoever has a virtual key."},
        ],
        "paths": {**_admin_paths(), **_own_paths()},
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "admin": {"type": "http", "scheme": "bearer", "description": "An admin key."},
                "virtual_key": {"type": "http", "scheme": "bearer", "description": "A virtual key."},
            },
        },
    }


def written() -> bytes:
    """:return: the text of the file that ships in ``llm_gateway/data``."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=2) + b"\n"


# Paths


def _admin_paths() -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for each in ENDPOINTS:
        item = paths.setdefault(PATH + each.path, {})
        if "{id}" in each.path:
            item["parameters"] = [
                {
                    "name": "id",
                    "in": "path",
                    "required": True,
                    "description": "The id of a virtual key.",
                    "schema": {"type": "string", "pattern": "^key_[0-9a-f]{16}$"},
                }
            ]
        item[each.method.lower()] = _operation(each)
    return paths


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    parameters = [_parameter(each) for each in endpoint.parameters]
    if endpoint.versioned:
        parameters.append(
            {
                "name": "If-Match",
                "in": "header",
                "description": "The ETag of the version that is meant; any, where this is not said.",
                "schema": {"type": "string", "pattern": '^("[0-9]{1,9}"|[0-9]{1,9})$'},
                "example": '"3"',
            }
        )
    operation: dict[str, Any] = {"operationId": endpoint.name, "tags": ["admin"], "summary": f"{endpoint.about}."}
    if endpoint.more:
        operation["description"] = endpoint.more
    if parameters:
        operation["parameters"] = parameters
    if endpoint.takes is not None:
        name = endpoint.takes.__name__
        if endpoint.takes is VirtualKeyEntry:
            name = "VirtualKeyPatch" if endpoint.patch else "NewVirtualKey"
        kinds = (_JSON, "application/merge-patch+json") if endpoint.patch else (_JSON,)
        content = {kind: {"schema": {"$ref": _TEMPLATE.format(name=name)}} for kind in kinds}
        operation["requestBody"] = {"required": not endpoint.optional, "content": content}
    good = _good(endpoint.gives, endpoint.gives in (KeyView, Made))
    if endpoint.gives is Made:
        good["links"] = {
            each.name: {"operationId": each.name, "parameters": {"id": "$response.body#/virtual_key/id"}}
            for each in ENDPOINTS
            if "{id}" in each.path
        }
    operation["responses"] = {
        str(endpoint.status): good,
        **_bad((*endpoint.faults, *_EVERYWHERE, NothingThere, WrongMethod)),
    }
    operation["security"] = [{"admin": []}]
    return operation


def _own_paths() -> dict[str, Any]:
    paths = {}
    for name, path, about, gives, parameters in _OWN:
        operation: dict[str, Any] = {"operationId": name, "tags": ["own"], "summary": f"{about}."}
        if parameters:
            operation["parameters"] = [_parameter(each) for each in parameters]
        operation["responses"] = {
            "200": _good(gives, False),
            "4XX": _described("It makes no sense, the key is not known, or such a call would be refused."),
            "503": _described("The gateway is stopping, or the database does not answer."),
        }
        operation["security"] = [{"virtual_key": []}]
        paths[path] = {"get": operation}
    return paths


def _parameter(parameter: Parameter) -> dict[str, Any]:
    said: dict[str, Any] = {"name": parameter.name, "in": "query", "description": parameter.about}
    said["schema"] = parameter.schema
    if parameter.example is not None:
        said["example"] = parameter.example
    return said


def _good(shape: type[msgspec.Struct] | None, tagged: bool) -> dict[str, Any]:
    if shape is None:
        return {"description": "It is done."}
    about = " ".join((shape.__doc__ or "").split())
    answer: dict[str, Any] = {
        "description": about,
        "content": {_JSON: {"schema": {"$ref": _TEMPLATE.format(name=shape.__name__)}}},
    }
    if tagged:
        tag = {"description": "The version of a key of the database, for if-match.", "schema": {"type": "string"}}
        answer["headers"] = {"ETag": tag}
    return answer


def _bad(faults: Iterable[type[Fault]]) -> dict[str, Any]:
    """:return: by status; several kinds of one status are told apart by their code."""
    by_status: dict[int, list[type[Fault]]] = {}
    for fault in dict.fromkeys(faults):
        by_status.setdefault(fault.status, []).append(fault)
    return {
        str(status): _described(" ".join(f"`{each.kind}`: {' '.join((each.__doc__ or '').split())}" for each in kinds))
        for status, kinds in sorted(by_status.items())
    }


def _described(about: str) -> dict[str, Any]:
    return {
        "description": about,
        "content": {_JSON: {"schema": {"$ref": _TEMPLATE.format(name=ErrorBody.__name__)}}},
    }


# Schemas


def _plain(schema: Any) -> Any:
    """:return: without titles, which repeat the names."""
    if isinstance(schema, Mapping):
        keep_title = "properties" not in schema
        return {name: _plain(value) for name, value in schema.items() if name != "title" or keep_title}
    return [_plain(each) for each in schema] if isinstance(schema, list) else schema


def _new(entry: Mapping[str, Any]) -> dict[str, Any]:
    properties = {name: each for name, each in entry["properties"].items() if name not in ("provider", "api_key")}
    properties["credentials"] = {
        **properties["credentials"],
        "uniqueItems": True,
        "description": "Names of credentials of keys.json.",
    }
    properties["models"] = {**properties["models"], "anyOf": [_unique(each) for each in properties["models"]["anyOf"]]}
    return {
        **entry,
        "description": "The entry of a virtual key, as it would stand in keys.json.",
        "properties": properties,
        "required": ["name", "credentials"],
    }


def _unique(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {**schema, "uniqueItems": True} if schema.get("type") == "array" else dict(schema)


def _patch(entry: Mapping[str, Any]) -> dict[str, Any]:
    properties = {
        name: each if name in entry["required"] else {"anyOf": [each, {"type": "null"}]}
        for name, each in entry["properties"].items()
    }
    return {
        **entry,
        "description": "What is to be changed of an entry (RFC 7396): null takes a field away, also inside objects.",
        "properties": properties,
        "required": [],
    }


def _forget_unused(schemas: dict[str, Any]) -> None:
    schemas.pop("VirtualKeyEntry")
    assert not re.search(rb"#/components/schemas/VirtualKeyEntry\b", msgspec.json.encode(schemas))


if __name__ == "__main__":
    (DATA / FILE).write_bytes(written())
