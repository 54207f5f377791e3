"""Runs the tests of the payer's page in Chromium against the deployed local stack.

    browser.py               the tests, tests/browser/*.test.js
    browser.py screenshots   writes docs/screenshots/ instead

The tests run in Node.js. They reach the stack's parts at their addresses; what only the stack can do for them they ask
of a little server that this program runs beside it:

    POST /issued     {"token"}             a pay link was handed out
    POST /expire     {"token"}             its time is over
    POST /delivered  {"intent", "event"}   answers when Stripe has delivered that webhook and got its answer

Afterwards every log line and every record is searched for what the payers and their links had of secrets.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import leaks
from containers import install, run_long
from stack import GONE, ROOT, Say, Stack, StackError, stop_on_signals, uninterrupted

TESTS = ROOT / "tests" / "browser"
#: Written when npm has installed everything.
INSTALLED = TESTS / "node_modules" / ".package-lock.json"
SCREENSHOTS = ROOT / "docs" / "screenshots"
#: Stripe's test cards that the tests pay with.
CARDS = ("4242424242424242", "4000000000000002", "4000000000003220")
#: Seconds from a payment to the end of its webhook; localstripe sends it after one.
WEBHOOK = 15


class PayPages(Stack):
    """The stack with a merchant's name for the page to show."""

    def parameters(self) -> dict[str, str]:
        return {**super().parameters(), "MerchantName": '"Example Energy"'}


class Control:
    """What the tests may do to the stack."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        #: The tokens of the links, with what they are.
        self.tokens: dict[str, str] = {}

    def issued(self, token: str) -> None:
        """Notes a pay link, to be searched for."""
        self.tokens[token] = "the token of a pay link"

    def expire(self, token: str) -> None:
        """Ends a pay link's time."""
        key = {"pk": {"S": "LINK#" + hashlib.sha256(token.encode()).hexdigest()}, "sk": {"S": "LINK"}}
        self.stack.client("dynamodb").update_item(
            TableName=self.stack.outputs["TableName"],
            Key=key,
            UpdateExpression="SET valid_until = :past",
            ConditionExpression="attribute_exists(valid_until)",
            ExpressionAttributeValues={":past": {"N": "1"}},
        )

    def delivered(self, intent: str, event: str) -> None:
        """Waits for a webhook, and for its answer."""
        line = rf'webhook "{re.escape(event)}" (.*) \({re.escape(intent)}\)'
        outcome = self.stack.localstripe.wait_for(line, WEBHOOK)[1]
        if outcome != "successfully delivered":
            raise StackError(f"the webhook {event} of {intent}: {outcome}")


@contextmanager
def serving(control: Control) -> Iterator[str]:
    """The server beside the stack; yields its address."""
    verbs: dict[str, Callable[..., None]] = {
        "/issued": control.issued,
        "/expire": control.expire,
        "/delivered": control.delivered,
    }

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                verbs[self.path](**asked)
                status, told = 200, "{}"
            except Exception as error:  # Whatever it is, the test that asked shall say it.
                status, told = 500, str(error)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(told.encode())

        def log_message(self, *_: object) -> None:
            """Says nothing: the tests do."""

    server = ThreadingHTTPServer((control.stack.host, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{server.server_address[0]}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def told(stack: Stack) -> dict[str, str | None]:
    """What the programs in Node.js are told of the stack."""
    return {
        "chromium": shutil.which("chromium"),
        "api": stack.api,
        "apiKey": stack.api_key,
        "pages": stack.pages,
        "stripe": stack.stripe,
        "stripeKey": stack.secrets.stripe_key,
        "publishableKey": stack.secrets.publishable_key,
        "genesys": stack.genesys,
    }


def installed() -> bool:
    """Whether what the tests are made of is there; it is as long as the lock file has not changed since."""
    lock = TESTS / "package-lock.json"
    return INSTALLED.exists() and INSTALLED.stat().st_mtime >= lock.stat().st_mtime


def prepare(tell: Say) -> None:
    """Sees to Chromium and to what the tests are made of."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise StackError(f"{program} is missing; install Node.js 20 or newer, with npm")
    install("chromium", "chromium", tell)
    if not installed():
        command = ["npm", "ci", "--prefix", str(TESTS), "--no-audit", "--no-fund"]
        run_long(tell, "installing what the browser tests need", *command)
        INSTALLED.touch()


def run(command: list[str], env: dict[str, str]) -> int:
    """Runs a program to its end and gives its exit code; it and what it started are gone then."""
    with uninterrupted():
        child = subprocess.Popen(command, env={**os.environ, **env}, start_new_session=True)
    try:
        return child.wait()
    finally:
        # Asked politely, the tests close their browser.
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(child.pid, number)
            with suppress(subprocess.TimeoutExpired):
                child.wait(GONE)


def search(control: Control) -> list[str]:
    """What is where it must not be."""
    stack = control.stack
    intents = stack.at_stripe("/v1/payment_intents?limit=100").json()["data"]
    secrets = {**leaks.secrets_of(stack), **{intent["client_secret"]: "a client secret" for intent in intents}}
    return [
        f"{what} is in {place}"
        for place, lines in leaks.written(stack).items()
        for what in sorted(leaks.found(lines, secrets, CARDS, words=control.tokens))
    ]


def main() -> int:
    stop_on_signals()
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)

    screenshots = sys.argv[1:] == ["screenshots"]
    try:
        prepare(tell)
        with PayPages("browser", tell) as stack, serving(control := Control(stack)) as address:
            known = {**told(stack), "screenshots": str(SCREENSHOTS), "control": address}
            env = {"BROWSER_TEST_STACK": json.dumps(known), "TMPDIR": str(stack.tmp)}
            if screenshots:
                tell("taking screenshots")
                env["FONTCONFIG_FILE"] = str(TESTS / "fonts.conf")
                return run(["node", str(TESTS / "screenshots.js")], env)
            tell("opening pay links in Chromium")
            files = map(str, sorted(TESTS.glob("*.test.js")))
            code = run(["node", "--test", "--test-reporter=spec", *files], env)
            leaked = search(control)
            tell("; ".join(leaked) or f"searched logs and table for secrets and {len(control.tokens)} links: none")
            return code or int(bool(leaked))
    except KeyboardInterrupt:
        return 130
    except StackError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
