"""Runs a Data Action file as Genesys Cloud does: inputs become a request, a response becomes outputs.

    data_action.py      answers questions until its standard input ends: one line of JSON each, one line for an answer

A question names a file. With `inputs` and `credentials` it asks for the request, with a `response` for the outputs.
What makes Genesys take the Failure path is answered with `failure`.

    {"file": "…", "inputs": {"order_id": "A-1"}, "credentials": {"apiKey": "…"}}
    {"method": "POST", "url": "https://…", "headers": {…}, "body": "{…}", "timeout_seconds": 5}

    {"file": "…", "response": {"status": 200, "body": "{…}"}}
    {"outputs": {…}}

Templates are Apache Velocity, paths are JSONPath, contracts are JSON Schema draft 4. Of Velocity's tools only those are
here that the files use. A call of another one stands in the result as it is written, just as in Genesys.
"""

import functools
import json
import sys
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self

import airspeed.operators
import jsonpath
from jsonschema import Draft4Validator


class Failure(Exception):
    """The flow goes on by the Failure path."""


@dataclass(frozen=True)
class Request:
    """What Genesys sends: over HTTP, or as the payload for the Lambda function that the URL names."""

    method: str
    url: str
    headers: dict[str, str]
    #: A GET has none.
    body: str | None
    timeout_seconds: int


@dataclass(frozen=True)
class Response:
    """What came back."""

    status: int
    body: str
    #: How a Lambda function failed, when it did.
    function_error: str | None = None


class EscapeTool:
    """Velocity's `$esc`. Where null is escaped, the call stands in the result as it is written."""

    @staticmethod
    def jsonString(text: object) -> str | None:
        """The inside of a JSON string."""
        return None if text is None else json.dumps(str(text))[1:-1]

    @staticmethod
    def url(text: object) -> str | None:
        """What Java's URLEncoder makes of it: a form's encoding, with `+` for a space."""
        return None if text is None else urllib.parse.quote_plus(str(text), safe="*").replace("~", "%7E")


class Reference(airspeed.operators.FormalReference):
    """`${x}` or `$!{x}`. When x is null, airspeed drops either, as AWS does; Velocity drops the second only."""

    def parse(self) -> None:
        super().parse()
        self.silent = self.my_text().startswith("$!")


class Condition(airspeed.operators.Condition):
    """`#if(…)`. Null is true for airspeed and false for Velocity; a text or number depends on the version of Velocity,
    so no file may make a condition of one."""

    def calculate(self, namespace: object, loader: object) -> bool:
        met = self.expression.calculate(namespace, loader)
        if not isinstance(met, bool | None):
            raise ValueError("a condition must have a comparison")
        return met is True


airspeed.operators.FormalReference = Reference
airspeed.operators.Condition = Condition


@functools.cache
def compiled(template: str) -> airspeed.Template:
    return airspeed.Template(template)


def render(template: str, context: Mapping[str, object]) -> str:
    """The template's text in a context."""
    try:
        rendered: str = compiled(template).merge({"esc": EscapeTool(), **context})
    except airspeed.TemplateError as error:
        raise Failure(f"a template is wrong: {error}") from None
    return rendered


def parse(text: str, what: str) -> Any:
    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is no number")

    try:
        return json.loads(text, parse_constant=refuse)
    except ValueError as error:
        raise Failure(f"{what} is not JSON: {error}") from None


def check(value: object, contract: Draft4Validator, what: str) -> None:
    """Holds a value to its contract. The message names places and rules, no values."""
    wrong = {f"{'.'.join(map(str, e.absolute_path))} ({e.validator})" for e in contract.iter_errors(value)}
    if wrong:
        raise Failure(f"{what} breaks the contract: {', '.join(sorted(wrong))}")


class DataAction:
    """One file as the import takes it."""

    def __init__(self, definition: dict[str, Any]) -> None:
        config, contract = definition["config"], definition["contract"]
        self.name: str = definition["name"]
        self._request = config["request"]
        self._response = config["response"]
        self._timeout_seconds: int = config["timeoutSeconds"]
        self._input, self._output = contract["input"]["inputSchema"], contract["output"]["successSchema"]
        for schema in (self._input, self._output):
            Draft4Validator.check_schema(schema)

    @classmethod
    def read(cls, file: Path) -> Self:
        return cls(json.loads(file.read_text(encoding="utf-8")))

    def request(self, inputs: Mapping[str, object], credentials: Mapping[str, str]) -> Request:
        """The request for these inputs. One that is None is not set."""
        given = {name: value for name, value in inputs.items() if value is not None}
        check(given, Draft4Validator(self._input), "the input")
        context = {"input": {**given, "rawRequest": json.dumps(given)}, "credentials": dict(credentials)}
        method: str = self._request["requestType"]
        body = render(self._request["requestTemplate"], context)
        return Request(
            method=method,
            url=render(self._request["requestUrlTemplate"], context),
            headers={name: render(value, context) for name, value in self._request["headers"].items()},
            body=None if method == "GET" else body,
            timeout_seconds=self._timeout_seconds,
        )

    def outputs(self, response: Response) -> dict[str, Any]:
        """The outputs of the Success path."""
        if response.function_error is not None:
            raise Failure(f"function error {response.function_error}")
        if not 200 <= response.status < 300:
            raise Failure(f"status {response.status}")
        raw = parse(response.body, "the response")
        context = {"rawResult": response.body, **dict(self._translated(raw))}
        outputs = parse(render(self._response["successTemplate"], context), "what the success template gives")
        check(outputs, Draft4Validator(self._output), "the output")
        return dict(outputs)

    def _translated(self, raw: object) -> Iterator[tuple[str, str]]:
        """The names of the translation map, each with its value as JSON. A default stands in for what is not there, but
        not for null."""
        for name, path in self._response["translationMap"].items():
            query = jsonpath.compile(path)
            found = query.findall(raw)
            if not query.singular_query():
                yield name, json.dumps(found)
            elif found:
                yield name, json.dumps(found[0])
            elif name in self._response["translationMapDefaults"]:
                yield name, self._response["translationMapDefaults"][name]


@functools.cache
def action(file: str) -> DataAction:
    return DataAction.read(Path(file))


def answer(question: dict[str, Any]) -> dict[str, Any]:
    asked = action(question["file"])
    try:
        if "response" in question:
            return {"outputs": asked.outputs(Response(**question["response"]))}
        return vars(asked.request(question["inputs"], question["credentials"]))
    except Failure as failure:
        return {"failure": str(failure)}


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
