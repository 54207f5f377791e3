"""Sends every file in events/ through a real `sam local invoke` and compares the replies with expected.json.

A file is named `<function>.<case>.json`. The function runs in a container, against the local stack. Webhook events are
signed anew first, unless their case begins with `forged` or `stale`.

expected.json names every file, in the order they are sent: what one writes, a later one finds. It gives the status and
the part of the reply's body that matters. `open` is an order that create-intent opens first. The events that name it then
carry the intent that Stripe made for it, and happen now: an intent that Stripe does not know is not ours.
"""

import base64
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import containers
import sign
from stack import BIN, LOCAL, ROOT, Stack, StackError, http, running, stop_on_signals

EVENTS = ROOT / "events"
EXPECTED = Path(__file__).with_name("expected.json")
LOGICAL_IDS = {
    "create-intent": "CreateIntentFunction",
    "stripe-webhook": "StripeWebhookFunction",
    "status-query": "StatusQueryFunction",
}
#: Cases whose signature is the point.
AS_THEY_ARE = ("forged", "stale")


def expectations() -> dict[str, dict[str, Any]]:
    """expected.json, in the order its files are to be sent; complete."""
    expected: dict[str, dict[str, Any]] = json.loads(EXPECTED.read_text())
    files = {path.name for path in EVENTS.glob("*.json")}
    if missing := sorted(files - expected.keys()):
        raise StackError(f"no expectation in {EXPECTED} for {', '.join(missing)}")
    if surplus := sorted(expected.keys() - files):
        raise StackError(f"{EXPECTED} expects {', '.join(surplus)}, which events/ does not have")
    return expected


def differences(expected: Any, got: Any, where: str) -> list[str]:
    """Where `got` lacks or contradicts what is expected; what it has beyond that does not matter."""
    if isinstance(expected, dict) and isinstance(got, dict):
        return [
            text for name, value in expected.items() for text in differences(value, got.get(name), f"{where}.{name}")
        ]
    return [] if expected == got else [f"{where} is {got!r} and must be {expected!r}"]

#: A field of each kind of answer, and of no line of a log: HTTP, direct, function error.
ANSWERS = {"statusCode", "caller_message", "errorType"}


class Runner:
    """Invokes functions in containers, one after another."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        #: The intents of the orders that were opened.
        self.intents: dict[str, str] = {}
        self.environment = {
            **os.environ,
            **stack.aws_environment(),
            "HOME": str(LOCAL / "home"),
            "TMPDIR": str(stack.tmp),
            "SAM_CLI_TELEMETRY": "0",
        }

    def event(self, name: str) -> dict[str, Any]:
        """The event of a file, freshly signed where its signature has to hold."""
        event: dict[str, Any] = json.loads((EVENTS / name).read_text())
        function, case, _ = name.split(".", 2)
        if function != "stripe-webhook" or case.startswith(AS_THEY_ARE):
            return event
        now = int(time.time())
        return sign.signed(self.about_what_is_open(event, now), self.stack.secrets.webhook_secret, now)

    def about_what_is_open(self, event: dict[str, Any], now: int) -> dict[str, Any]:
        """The event with the intent that its order has here, and of this second; as it is where the order is not open."""
        body: bytes = event["body"].encode()
        if event.get("isBase64Encoded"):
            body = base64.b64decode(body)
        said = json.loads(body)
        about = said.get("data", {}).get("object", {})
        intent = self.intents.get((about.get("metadata") or {}).get("order_id"))
        if intent is None:
            return event
        said["created"], about["id"] = now, intent
        body = json.dumps(said, indent=2).encode()
        return {**event, "body": (base64.b64encode(body) if event.get("isBase64Encoded") else body).decode()}

    def invoke(self, name: str, event: dict[str, Any]) -> dict[str, Any]:
        """The function's reply to an event."""
        folder = self.stack.logs
        event_file, env_vars = folder / f"{name}.event.json", folder / f"{name}.env.json"
        event_file.write_text(json.dumps(event))
        env_vars.write_text(json.dumps({"Parameters": self.stack.variables}))
        command = [
            str(BIN / "sam"), "local", "invoke", LOGICAL_IDS[name.split(".")[0]],
            "--event", str(event_file),
            "--env-vars", str(env_vars),
            "--parameter-overrides", f"Architecture={containers.ARCHITECTURE}",
            "--skip-pull-image",
        ]  # fmt: skip
        with running(name, command, self.environment, folder / f"{name}.log") as sam:
            sam.wait(lambda: None)
        for line in reversed(sam.lines):
            try:
                reply = json.loads(line)
            except ValueError:
                continue
            if isinstance(reply, dict) and ANSWERS & reply.keys():
                return reply
        raise StackError(f"{name}: no reply, see {sam.log}")

    def open(self, order: dict[str, str]) -> None:
        """A call arrives at Genesys, and its order is opened."""
        conversation = {"conversation_id": order["conversation_id"], "purpose": "customer"}
        http("POST", f"{self.stack.genesys}/_control/conversations", json.dumps(conversation).encode())
        event = {**self.event("create-intent.string-amount.json"), "body": json.dumps(order)}
        reply = self.invoke(f"create-intent.open-{order['order_id']}", event)
        if reply["statusCode"] != 201:
            raise StackError(f"opening {order} was answered with {reply}")
        self.intents[order["order_id"]] = json.loads(reply["body"])["payment_intent_id"]

    def check(self, name: str, expected: dict[str, Any]) -> list[str]:
        """What is wrong with the reply to one file."""
        if "open" in expected:
            self.open(expected["open"])
        event = self.event(name)
        reply = self.invoke(name, event)
        if "requestContext" not in event:
            # The reply to a direct invocation has no envelope, and a problem is a function error.
            body = {"code": reply["errorType"]} if "errorType" in reply else reply
            return differences(expected["body"], body, name)
        text = reply.get("body") or ""
        if reply.get("isBase64Encoded"):
            text = base64.b64decode(text).decode()
        try:
            body = json.loads(text)
        except ValueError:
            body = text
        wanted = {"status": expected["status"], "body": expected["body"]}
        return differences(wanted, {"status": reply["statusCode"], "body": body}, name)


def main() -> int:
    stop_on_signals()
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)

    wrong: list[str] = []
    try:
        expected = expectations()
        with containers.docker(tell), Stack("sam-local", tell, containers.bridge_address()) as stack:
            runner = Runner(stack)
            for name, expectation in expected.items():
                found = runner.check(name, expectation)
                wrong += found
                tell(f"{name}  ->  {expectation['status'] if not found else 'WRONG: ' + '; '.join(found)}")
    except StackError as error:
        tell(str(error))
        return 1
    except KeyboardInterrupt:
        tell("stopped")
        return 130
    if wrong:
        print(f"{len(wrong)} differences:", *wrong, sep="\n  ")
        return 1
    tell(f"all {len(expected)} events got their expected reply")
    return 0


if __name__ == "__main__":
    sys.exit(main())
