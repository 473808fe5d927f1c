"""Generates the OpenAPI document of the declared calls. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import orjson

from contract.calls.declaration import Declaration, Field
from contract.calls.dialects import ErrorAnswer, NamedErrorAnswer
from contract.errors import Code, Refusal

_REF = "#/components/schemas/{name}"
_EVERY_CALL = (Code.BAD_REQUEST, Code.UNAUTHORIZED, Code.METHOD_NOT_ALLOWED, Code.INTERNAL_ERROR)
_WITH_BODY = (Code.UNSUPPORT_CONTENT_TYPE, Code.EMPTY_REQUEST_JSON, Code.PAYLOAD_TOO_LARGE)
_WITH_FIELDS = (Code.PARAM_ERROR, Code.OVERLOADED, Code.TIMEOUT)
_MEDIA_TYPES = {str: "text/plain", bytes: "image/jpeg"}
_SECURITY_SCHEMES = {
    "X-API-Key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "Bearer": {"type": "http", "scheme": "bearer"},
    "Basic": {"type": "http", "scheme": "basic", "description": "The key is the password, with any user name."},
}
_SECURITY: list[dict[str, list[str]]] = [{}, *[{name: list[str]()} for name in _SECURITY_SCHEMES]]
_ABOUT = (
    "null means that a field is absent, and so does an empty string where a field is optional. Unknown fields are"
    " ignored and counted. No key is needed for calls from trusted networks, and for PictureMatch unless the operator"
    " requires one."
)


def openapi_document(declarations: Sequence[Declaration]) -> bytes:
    """Return the OpenAPI document of the declarations as JSON."""
    shapes = [answer.shape for declaration in declarations for answer in declaration.answers]
    schemas, components = msgspec.json.schema_components([*shapes, ErrorAnswer, NamedErrorAnswer], ref_template=_REF)
    of_answers = iter(schemas)
    paths: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for each in declarations:
        answers = [next(of_answers) for _ in each.answers]
        paths[each.path][each.method.lower()] = _operation(each, answers)
    return orjson.dumps(
        {
            "openapi": "3.1.0",
            "info": {"title": "PictureMatch", "version": "1.0", "description": _ABOUT},
            "paths": paths,
            "security": _SECURITY,
            "components": {"schemas": components, "securitySchemes": _SECURITY_SCHEMES},
        }
    )


def _operation(declaration: Declaration, answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{declaration.method.lower()}_{declaration.route}",
        "summary": declaration.summary,
        "responses": {"200": _success(declaration, answers), **_errors(declaration)},
    }
    if declaration.method != "GET":
        types = ("application/json", *(("multipart/form-data",) if declaration.takes_form else ()))
        operation["requestBody"] = {"required": True, "content": dict.fromkeys(types, _body(declaration))}
    elif declaration.fields:
        operation["parameters"] = [_parameter(each, declaration.path_field) for each in declaration.fields]
    return operation


def _body(declaration: Declaration) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {each.name: _property(each) for each in declaration.fields},
        "required": [each.name for each in declaration.fields if each.required],
        "allOf": [{"anyOf": [{"required": [name]} for name in names]} for names in declaration.any_of],
    }
    return {"schema": {name: part for name, part in schema.items() if part}, "example": declaration.example()}


def _property(declared: Field) -> dict[str, Any]:
    default = {} if declared.default is None else {"default": declared.default}
    return {**declared.rule.schema, "description": declared.words, **default}


def _parameter(declared: Field, path_field: str | None) -> dict[str, Any]:
    example = {} if declared.example is None else {"example": declared.example}
    schema = {name: part for name, part in _property(declared).items() if name != "description"}
    place = {"in": "path", "required": True} if declared.name == path_field else {"in": "query"}
    return {"name": declared.name, **place, "description": declared.words, "schema": schema, **example}


def _success(declaration: Declaration, answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    (media_type,) = {_MEDIA_TYPES.get(answer.shape, "application/json") for answer in declaration.answers}
    distinct = [schema for place, schema in enumerate(answers) if schema not in answers[:place]]
    content = {
        "schema": distinct[0] if len(distinct) == 1 else {"anyOf": distinct},
        "examples": {str(number): {"value": each.example} for number, each in enumerate(declaration.answers, 1)},
    }
    headers = {
        name: {"description": words, "schema": {"type": "string"}} for name, words in declaration.headers.items()
    }
    return {
        "description": "The call has succeeded.",
        "headers": {**_request_id(), **headers},
        "content": {media_type: {} if media_type == "image/jpeg" else content},
    }


def _errors(declaration: Declaration) -> dict[str, Any]:
    """Return the error answers of a call by HTTP status."""
    codes: defaultdict[int, list[Code]] = defaultdict(list)
    for code in sorted(_codes(declaration)):
        codes[code.http_status].append(code)
    return {str(status): _error(declaration, codes[status]) for status in codes}


def _codes(declaration: Declaration) -> Iterable[Code]:
    codes = {*_EVERY_CALL, *declaration.errors}
    if declaration.method != "GET":
        codes.update(_WITH_BODY)
    if declaration.fields:
        codes.update(_WITH_FIELDS, *(each.rule.codes for each in declaration.fields))
    return {declaration.dialect.code(code) for code in codes}


def _error(declaration: Declaration, codes: Sequence[Code]) -> dict[str, Any]:
    shape = declaration.dialect.error_type
    headers = _request_id()
    if Code.OVERLOADED in codes:
        headers["Retry-After"] = {
            "description": "Seconds to wait before the next attempt.",
            "schema": {"type": "string"},
            "required": True,
        }
    content = {
        "schema": {"$ref": _REF.format(name=shape.__name__)},
        "examples": {
            str(int(code)): {"value": msgspec.to_builtins(declaration.dialect.error(Refusal(code, code.when)))}
            for code in codes
        },
    }
    words = "\n".join(f"- {int(code)} {code.status}: {code.when}" for code in codes)
    return {"description": words, "headers": headers, "content": {"application/json": content}}


def _request_id() -> dict[str, Any]:
    return {
        "X-Request-Id": {
            "description": "The id of the request and of its event.",
            "schema": {"type": "string"},
            "required": True,
        }
    }
