"""The JSON Schemas of both files, made from the formats: ``python -m llm_gateway.config.schema`` writes them anew."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from llm_gateway.config.formats import KeysFile, ProviderEntry
from llm_gateway.config.notation import ProviderName, Url
from llm_gateway.config.presets import shipped_presets
from llm_gateway.config.routing import ROUTING
from llm_gateway.config.routing_formats import RoutingEntry
from llm_gateway.shipped import DATA

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_TEMPLATE = "#/$defs/{name}"


def keys_schema() -> dict[str, Any]:
    """:return: the schema of ``keys.json``."""
    _, components = msgspec.json.schema_components([KeysFile], ref_template=_TEMPLATE)
    top = components.pop("KeysFile")
    top["properties"]["virtual_keys"]["propertyNames"] = {
        "pattern": "^(?!file:|[$][{])(?![sS][hH][aA]256:(?![0-9A-Fa-f]{64}$))[!-~]+$"
    }
    components["VirtualKeyEntry"]["oneOf"] = [
        {"required": ["provider", "api_key"], "properties": {"credentials": False}},
        {"required": ["credentials"], "properties": {"provider": False, "api_key": False}},
    ]
    return {"$schema": _DRAFT, **top, "title": "keys.json", "$defs": components}


def aiservices_schema() -> dict[str, Any]:
    """:return: the schema of ``aiservices.json``, whose top level is open: its names are the providers'."""
    roots = [Url, ProviderName, ProviderEntry, RoutingEntry]
    (url, name, entry, routing), components = msgspec.json.schema_components(roots, ref_template=_TEMPLATE)
    components["ModelRoutingEntry"]["minProperties"] = 1
    somewhere = {"anyOf": [{"required": [field]} for field in ("url", "base_url", "dialects", "preset")]}
    return {
        "$schema": _DRAFT,
        "title": "aiservices.json",
        "description": "Providers by name: each the URL of its chat endpoint, or an object. $routing is for all.",
        "type": "object",
        "properties": {
            "$schema": {"type": "string", "description": "Where editors find the schema of this file."},
            ROUTING: routing,
            **{preset: {"anyOf": [url, entry], "description": _title(preset)} for preset in shipped_presets().presets},
        },
        "propertyNames": {"anyOf": [{"enum": ["$schema", ROUTING]}, {"pattern": name["pattern"]}]},
        "additionalProperties": {"anyOf": [url, {"allOf": [entry, somewhere]}]},
        "$defs": components,
    }


def _title(preset: str) -> str:
    return shipped_presets().presets[preset].title


def schemas() -> Mapping[str, bytes]:
    """:return: the text of each file by its name, as it ships in ``llm_gateway/data``."""
    made = {"keys.schema.json": keys_schema(), "aiservices.schema.json": aiservices_schema()}
    return {name: msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n" for name, schema in made.items()}


def write_schemas(folder: Path) -> None:
    """Write both files."""
    for name, text in schemas().items():
        (folder / name).write_bytes(text)


if __name__ == "__main__":
    write_schemas(DATA)
