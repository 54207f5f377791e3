"""Holds tests/stand-ins/src/stripe/api.json to Stripe's official SDK for Python.

The file says what the Stripe stand-in takes and what Stripe's objects hold: the stand-in refuses any other parameter, as
Stripe does, and the fields that the functions read are compared with it. Names of parameters are chosen there; which of
them the API has, and every type, method, path and object, comes from the SDK's own types and requests.

    stripe_sdk.py [FILE]     fails where the file differs from the SDK, and says how
    stripe_sdk.py --write    writes what the SDK says of the parameters that the file names
"""

import difflib
import json
import sys
import types
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Union
from urllib.parse import urlsplit

import stripe
from stripe.v2 import core
from typing_extensions import NotRequired, get_args, get_origin, get_type_hints

FILE = Path(__file__).parents[1] / "stand-ins" / "src" / "stripe" / "api.json"

#: The operations that the stand-in has, by the SDK's own call, and the type of its parameters.
OPERATIONS: list[tuple[Callable[[Any], object], type]] = [
    (lambda v1: v1.payment_intents.create({}), stripe.params.PaymentIntentCreateParams),
    (lambda v1: v1.payment_intents.confirm("{}"), stripe.params.PaymentIntentConfirmParams),
    (lambda v1: v1.payment_intents.capture("{}"), stripe.params.PaymentIntentCaptureParams),
    (lambda v1: v1.payment_intents.cancel("{}"), stripe.params.PaymentIntentCancelParams),
    (lambda v1: v1.payment_intents.retrieve("{}"), stripe.params.PaymentIntentRetrieveParams),
    (lambda v1: v1.payment_intents.search({"query": ""}), stripe.params.PaymentIntentSearchParams),
    (lambda v1: v1.payment_intents.list(), stripe.params.PaymentIntentListParams),
    (lambda v1: v1.events.list(), stripe.params.EventListParams),
    (lambda v1: v1.events.retrieve("{}"), stripe.params.EventRetrieveParams),
]

#: The objects that the functions read.
OBJECTS: dict[str, type] = {
    "payment_intent": stripe.PaymentIntent,
    "payment_intent.last_payment_error": stripe.PaymentIntent.LastPaymentError,
    "error": stripe.ErrorObject,
    "event": stripe.Event,
    "event.data": stripe.Event.Data,
    "list": stripe.ListObject,
    "search_result": stripe.SearchResultObject,
    "v2.core.event": core.Event,
}

SCALARS = {int: "integer", str: "string", bool: "boolean", float: "number"}


class Sent(stripe.HTTPClient):
    """Takes the SDK's requests and sends none."""

    name = "sent"

    def __init__(self) -> None:
        super().__init__()
        self.last = self.version = ""

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None
    ) -> tuple[str, int, Mapping[str, str]]:
        self.last = f"{method.upper()} {urlsplit(url).path.replace('%7B%7D', '{}')}"
        self.version = (headers or {}).get("Stripe-Version", "")
        return '{"id": "x", "object": "list", "data": [], "url": "/", "has_more": false}', 200, {}

    def close(self) -> None:
        """Nothing is open."""


class Unnamed(stripe.StripeObject):
    """What a module imports for type checkers only, also where it has parameters."""

    __class_getitem__ = classmethod(lambda cls, _: cls)


class Names(dict[str, Any]):
    """What a type's own module calls things."""

    def __init__(self, of: type) -> None:
        super().__init__(vars(import_module(of.__module__)))

    def __missing__(self, name: str) -> Any:
        builtin = vars(import_module("builtins")).get(name)
        return Unnamed if builtin is None else builtin


def hints(of: type) -> dict[str, Any]:
    """The fields of a class with their types, options of the request itself left out."""
    found = get_type_hints(of, globalns=Names(of), localns=Names(of), include_extras=True)
    own = {name for base in of.__mro__ for name in vars(base).get("__annotations__", {})}
    if not issubclass(of, stripe.StripeObject):
        own = set(found) - set(stripe.RequestOptions.__annotations__)
    hidden = {"OBJECT_NAME"} | {name for name in own if name.startswith("_")}
    inherited = set(vars(stripe.StripeObject).get("__annotations__", {}))
    return {name: found[name] for name in sorted(own - hidden - inherited)}


def choices(hint: Any) -> list[Any]:
    """The alternatives of a type."""
    if get_origin(hint) in (Union, types.UnionType):
        return [choice for part in get_args(hint) for choice in choices(part)]
    return [hint]


def kind(hint: Any) -> Any:
    """A type as the file writes it: a scalar, `list`, `map`, `object`, or the values of an enumeration."""
    parts = [part for part in choices(hint) if part is not type(None)]
    values = [value for part in parts if get_origin(part) is Literal for value in get_args(part)]
    if values:
        return sorted(values + ["true", "false"] * (bool in parts))
    known = [SCALARS[part] for part in parts if part in SCALARS]
    if known:
        # An id that can be expanded, or a number that can be a range: as it comes unasked.
        return known[0]
    if any(get_origin(part) is list for part in parts):
        return "list"
    if any(getattr(get_origin(part), "__name__", "") in ("UntypedStripeObject", "dict") for part in parts):
        return "map"
    return "object"


def parameter(of: type, name: str) -> Any:
    """The type of one parameter, written `a[b][c]`; a list's elements are `a[]`, a map's values `a[*]`."""
    path = name.replace("]", "").split("[")
    hint: Any = of
    for step in path:
        parts = choices(hint)
        if step == "":
            lists = [part for part in parts if get_origin(part) is list]
            if not lists:
                raise LookupError(f"{name} is no list")
            hint = get_args(lists[0])[0]
        elif step == "*":
            maps = [part for part in parts if kind(part) == "map"]
            if not maps:
                raise LookupError(f"{name} is no map")
            hint = get_args(maps[0])[-1]
        else:
            groups = [part for part in parts if isinstance(part, type) and hasattr(part, "__required_keys__")]
            fields = {field: found for group in groups for field, found in hints(group).items()}
            if step not in fields:
                raise LookupError(f"the API has no parameter {name}")
            hint = fields[step]
            if get_origin(hint) is NotRequired:
                hint = get_args(hint)[0]
    found = kind(hint)
    if found in ("list", "map", "object"):
        raise LookupError(f"{name} is no value but a {found}")
    return found


def render(named: dict[str, Any]) -> tuple[str, list[str]]:
    """The file as the SDK has it, with what the API does not know of the file's names."""
    unknown = []
    sent = Sent()
    client = stripe.StripeClient("sk_test_x", http_client=sent)
    requests = {}
    for call, of in OPERATIONS:
        call(client.v1)
        parameters = {}
        for name in sorted(named.get(sent.last, {})):
            try:
                parameters[name] = parameter(of, name)
            except LookupError as error:
                unknown.append(f"{sent.last}: {error}")
        requests[sent.last] = parameters
    unknown += [f"the API has no {name}" for name in named if name not in requests]
    objects = {
        name: {
            field: {"type": kind(hint), "null": type(None) in choices(hint)} for field, hint in hints(of).items()
        }
        for name, of in OBJECTS.items()
    }
    return layout({"version": sent.version, "requests": requests, "objects": objects}), unknown


def layout(api: dict[str, Any]) -> str:
    """The file's text."""
    requests, objects = block(api["requests"], 1), block(api["objects"], 1)
    text = {"version": json.dumps(api["version"]), "requests": requests, "objects": objects}
    body = ",\n".join(f"  {json.dumps(name)}: {part}" for name, part in text.items())
    return f"{{\n{body}\n}}\n"


def block(named: dict[str, dict[str, Any]], depth: int) -> str:
    """JSON with one line for each parameter or field."""
    outer, inner = "  " * (depth + 1), "  " * (depth + 2)
    parts = []
    for name, fields in sorted(named.items()):
        lines = ",\n".join(f"{inner}{json.dumps(field)}: {json.dumps(of, sort_keys=True)}" for field, of in sorted(fields.items()))
        parts.append(f"{outer}{json.dumps(name)}: " + (f"{{\n{lines}\n{outer}}}" if lines else "{}"))
    return "{\n" + ",\n".join(parts) + "\n" + "  " * depth + "}"


def main() -> None:
    """Compares or writes."""
    given = [argument for argument in sys.argv[1:] if argument != "--write"]
    file = Path(given[0]) if given else FILE
    api = json.loads(file.read_text())
    have = layout(api)
    want, unknown = render(api["requests"])
    if unknown:
        sys.exit("\n".join(unknown))
    if "--write" in sys.argv:
        file.write_text(want)
    elif have != want:
        sys.stderr.writelines(difflib.unified_diff(have.splitlines(True), want.splitlines(True), "api.json", "the SDK"))
        sys.exit(f"api.json differs from stripe {stripe.VERSION}: run {Path(__file__).name} --write")
    print(want.count("\n"), "lines as the SDK has them")


if __name__ == "__main__":
    main()
