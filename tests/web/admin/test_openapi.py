"""The OpenAPI file says what the API does: it is made from the same tables, and this is the proof that it still is."""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import Any

import jsonschema
import pytest

from llm_gateway.issuing import faults
from llm_gateway.web.admin.app import AdminApp
from llm_gateway.web.admin.endpoints import ENDPOINTS
from llm_gateway.web.admin.openapi import FILE, document, written
from llm_gateway.web.live import MOST_CALLS
from tests.markdown import blocks, code, reference, section, tables
from tests.web.admin.operated import Operated


def shipped() -> dict[str, Any]:
    text = (resources.files("llm_gateway") / "data" / FILE).read_bytes()
    value: dict[str, Any] = json.loads(text)
    return value


def test_shipped_file_is_the_one_that_is_made() -> None:
    """``python -m llm_gateway.web.admin.openapi`` makes it anew."""
    assert (resources.files("llm_gateway") / "data" / FILE).read_bytes() == written()


def test_every_route_is_described_and_every_description_has_its_route() -> None:
    routes = {
        (method, rule.rule.replace("<", "{").replace(">", "}"))
        for rule in AdminApp.app.url_map.iter_rules()
        for method in rule.methods or ()
        if method != "HEAD"
    }
    described = {
        (method.upper(), path.removeprefix("/admin/v1"))
        for path, item in shipped()["paths"].items()
        if path.startswith("/admin/v1")
        for method in item
        if method != "parameters"
    }
    assert routes == described == {(each.method, each.path) for each in ENDPOINTS}


def test_every_operation_of_the_admin_api_needs_its_key() -> None:
    for path, item in shipped()["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                wanted = "admin" if path.startswith("/admin/") else "virtual_key"
                assert operation["security"] == [{wanted: []}]
                assert "401" in operation["responses"] or "4XX" in operation["responses"]


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    text = json.dumps(shipped())
    schemas = shipped()["components"]["schemas"]
    named = set(re.findall(r"#/components/schemas/(\w+)", text))
    assert named == set(schemas)


def test_schemas_are_schemas() -> None:
    for schema in shipped()["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def validator(name: str) -> jsonschema.Draft202012Validator:
    schema = {"$ref": f"#/components/schemas/{name}", "components": shipped()["components"]}
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda each: each.name)
def test_answer_is_as_described(operated: Operated, endpoint: Any) -> None:
    """Each operation done once, with a key that has everything."""
    id, _ = operated.create(
        "ann",
        group="search",
        labels={"a": "b"},
        models={"fast": "m"},
        limits={"usd_per_day": {"limit": "1", "warn_at": 0.5}},
    )
    if endpoint.name == "delete_key":
        operated.post(f"/admin/v1/keys/{id}/revoke")
    body: Any = None
    if endpoint.method in ("POST", "PATCH"):
        body = {"name": "bob", "credentials": ["main"]} if endpoint.name in ("create_key", "edit_key") else {}
    status, _, answer = operated.ask(endpoint.method, "/admin/v1" + endpoint.path.replace("{id}", id), body)
    assert status == endpoint.status
    if endpoint.gives is None:
        assert answer is None
    else:
        validator(endpoint.gives.__name__).validate(answer)


def test_error_is_as_described(operated: Operated) -> None:
    for method, path, body in (
        ("GET", "/nothing", None),
        ("PUT", "/keys", {}),
        ("POST", "/keys", b"["),
        ("POST", "/keys", {"name": "x"}),
        ("GET", "/keys/key_0123456789abcdef", None),
    ):
        status, headers, answer = operated.ask(method, f"/admin/v1{path}", body)
        assert status >= 400
        validator("ErrorBody").validate(answer)
        assert answer["error"]["code"] == headers["x-gw-error"]


@pytest.mark.parametrize(
    ("entry", "right"),
    [
        ({"name": "a", "credentials": ["main"]}, True),
        ({"name": "a", "credentials": ["main"], "limits": {"usd_per_day": "1.5"}}, True),
        ({"credentials": ["main"]}, False),
        ({"name": "a"}, False),
        ({"name": "a", "credentials": []}, False),
        ({"name": "a", "credentials": ["main"], "api_key": "sk"}, False),
        ({"name": "a", "credentials": ["main"], "group": None}, False),
        ({"name": "a", "credentials": ["main"], "operations": ["dance"]}, False),
    ],
)
def test_schema_of_an_entry_and_the_gateway_agree(operated: Operated, entry: dict[str, Any], right: bool) -> None:
    assert validator("NewVirtualKey").is_valid(entry) is right
    assert (operated.ask("POST", "/admin/v1/keys", entry)[0] == 201) is right


def test_kinds_of_faults_are_told_apart() -> None:
    """A program decides by the code: no two mean the same, and each has the status that is described."""
    kinds = [each for each in vars(faults).values() if isinstance(each, type) and issubclass(each, faults.Fault)]
    named: dict[str, type[faults.Fault]] = {}
    for kind in kinds:
        other = named.setdefault(kind.kind, kind)
        assert issubclass(kind, other) or issubclass(other, kind)
        assert kind.__name__ in (faults.__doc__ or "")
    described = json.dumps(document())
    for endpoint in ENDPOINTS:
        assert all(f"`{fault.kind}`" in described for fault in endpoint.faults)


# The page about it


def test_page_lists_every_kind_of_fault_with_its_status() -> None:
    [table] = tables(section(reference("admin-api"), "Errors"))
    documented = {code(row[0])[0]: row[1] for row in table}
    kinds = [each for each in vars(faults).values() if isinstance(each, type) and issubclass(each, faults.Fault)]
    assert documented == {each.kind: str(each.status) for each in kinds if each is not faults.Conflict}


def test_page_names_every_path() -> None:
    text = reference("admin-api")
    for endpoint in ENDPOINTS:
        assert f"`{endpoint.method} /admin/v1{endpoint.path}`" in text, endpoint.name


def test_page_lists_every_field_of_the_running_calls() -> None:
    [table] = tables(section(reference("admin-api"), "Running calls"))
    fields = shipped()["components"]["schemas"]["LiveCalls"]["properties"]
    assert [code(row[0])[0] for row in table] == list(fields)
    assert f"{MOST_CALLS} at most" in section(reference("admin-api"), "Running calls")


def test_answer_on_the_page_has_the_shape_of_one() -> None:
    [example] = [json.loads(each) for each in blocks(reference("admin-api"), "json")]
    validator("Made").validate(example)
