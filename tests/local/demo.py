"""Plays phone payments on the local stack and tells them line by line. Exits with 1 when a step is not as it must be.

The flow's part is played by the Data Action files of `genesys/`, filled in for this stack and run as Genesys runs them.
The first caller pays on the page of the pay link in Chromium, if Chromium and what the browser tests need are there. The
other callers' part is played with Stripe's test cards at localstripe, just as Stripe's own fields on that page would do
it. Nothing else of a payment is played: it goes through API Gateway, the three functions, DynamoDB, Secrets Manager,
Stripe's signed webhooks and the Genesys conversation.
"""

import json
import re
import shutil
import subprocess
import sys
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import browser
import leaks
from data_action import DataAction, Failure, Response
from sign import signature
from stack import ROOT, Reply, Stack, StackError, http, running, stop_on_signals

#: Data Actions, by name. Each is there once more for AWS Lambda, with this suffix.
CREATE, SECURE, TOKEN, QUERY = "Create Payment", "Create Payment Secure", "Confirm With Token", "Get Payment Status"
CANCEL = "Cancel Payment"
LAMBDA = " (Lambda)"

GOOD_CARD = "4242424242424242"
DECLINED_CARD = "4000000000000002"
#: Its bank asks the payer.
STRICT_CARD = "4000000000003220"
#: Part of every value that is sent where it does not belong, and that no guard knows.
PRIVATE = "kanarienvogel7q"
#: Seconds from a payment to the end of its webhook; localstripe sends it after one.
WEBHOOK = 15


class Wrong(Exception):
    """A step went otherwise than it must."""


@dataclass(frozen=True)
class Order:
    """What a caller pays for, and the conversation in which the flow asks for it."""

    conversation_id: str
    order_id: str


def data_actions(stack: Stack) -> dict[str, DataAction]:
    """The Data Actions by name, from the files that `make genesys` would write for this stack."""
    outputs = json.dumps([{"OutputKey": name, "OutputValue": value} for name, value in stack.outputs.items()])
    folder = stack.logs / "genesys"
    command = [sys.executable, str(ROOT / "genesys/fill.py"), str(folder)]
    filled = subprocess.run(command, input=outputs, capture_output=True, text=True)
    if filled.returncode != 0:
        raise StackError(filled.stderr)
    actions = [DataAction.read(file) for file in folder.rglob("*.custom.json")]
    return {action.name: action for action in actions}


class Demo:
    """The actors of a call, each of their steps told and checked."""

    def __init__(self, stack: Stack, tell: Callable[[str], None]) -> None:
        self.stack = stack
        self.tell = tell
        self.actions = data_actions(stack)
        self.checks = 0
        self.wrong: list[str] = []
        #: Everything that must be in no log and no record, with what it is.
        self.secrets = leaks.secrets_of(stack)
        #: Whether a caller can open the page.
        self.has_browser = all(map(shutil.which, ("chromium", "node"))) and browser.installed()

    # ---- telling and checking ----

    @contextmanager
    def scene(self, title: str) -> Iterator[None]:
        print(f"\n{title}", flush=True)
        try:
            yield
        except (Wrong, StackError, Failure) as error:
            self.wrong.append(f"{title}: {error}")
            self.tell(f"WRONG: {error}")

    def expect(self, what: str, got: object, wanted: object) -> None:
        self.checks += 1
        if got != wanted:
            raise Wrong(f"{what} is {got!r}, and must be {wanted!r}")

    def expect_fields(self, got: dict[str, Any], **wanted: object) -> None:
        for name, value in wanted.items():
            self.expect(name, got.get(name), value)

    def step(self, actor: str, what: str, request: Callable[[], Reply], status: int) -> Reply:
        """Makes a request, tells it with the time it took, and checks its status."""
        began = time.monotonic()
        reply = request()
        took = (time.monotonic() - began) * 1000
        self.tell(f"{took:5.0f} ms  {actor:<10} {what}  ->  {reply.status}{self.gist(reply)}")
        self.note(reply.body)
        self.expect(f"status ({reply.body[:300]!r})", reply.status, status)
        return reply

    def note(self, body: bytes) -> None:
        """Keeps in mind what a reply gives away that must be written down nowhere."""
        try:
            fields = json.loads(body)
        except ValueError:
            return
        if secret := fields.get("client_secret"):
            self.secrets[secret] = "a client secret"
        if link := fields.get("payment_url"):
            self.secrets[leaks.token_of(link)] = "the token of a pay link"

    @staticmethod
    def gist(reply: Reply) -> str:
        """The one or two fields of a reply that say what it means."""
        try:
            fields = json.loads(reply.body)
        except ValueError:
            return ""
        error = fields.get("error")
        names = ("payment_status", "payment_intent_id", "state", "amount", "currency", "code", "reason_code", "status")
        found = [fields.get(name) for name in names] if not error else [error.get("code")]
        # The HTTP status of a problem is told already.
        return "".join(f" {value}" for value in found if value and value != reply.status)

    # ---- actors ----

    def conversation(self) -> str:
        """A call arrives at Genesys."""
        conversation_id = str(uuid.uuid4())
        self.stack.open_conversation(conversation_id)
        return conversation_id

    def ask(
        self, order: Order, amount: str, status: int = 201, action: str = CREATE, key: str | None = None, **more: Any
    ) -> dict[str, Any]:
        """The flow asks for a payment. Gives the outputs or, on the Failure path, the problem, which no flow sees."""
        return self.run(action, {**vars(order), "amount": amount, **more}, status, key)

    def query(self, order: Order) -> dict[str, Any]:
        """The flow asks how the payment stands."""
        return self.run(QUERY, vars(order), 200)

    def cancel(self, order: Order, status: int = 200, **more: Any) -> dict[str, Any]:
        """The flow, or an agent's script, releases the order."""
        return self.run(CANCEL, {**vars(order), **more}, status)

    def run(self, name: str, inputs: dict[str, Any], status: int, key: str | None = None) -> dict[str, Any]:
        """The flow runs a Web Services Data Action."""
        action = self.actions[name]
        request = action.request(inputs, {"apiKey": key or self.stack.api_key})
        # An emulated API has the address of the emulator.
        url = request.url.replace(self.stack.outputs["ApiUrl"], self.stack.api)
        body = None if request.body is None else request.body.encode()
        reply = self.step(
            "flow", self.title(name, inputs), lambda: http(request.method, url, body, request.headers), status
        )
        response = Response(reply.status, reply.body.decode())
        outputs = self.take(action, response, "Success" if status < 300 else "Failure")
        return outputs or dict(reply.json())

    def invoke(self, name: str, inputs: dict[str, Any], problem: str | None = None) -> dict[str, Any]:
        """The flow runs an AWS Lambda Data Action: the function is invoked directly, without an API key."""
        action = self.actions[name + LAMBDA]
        request = action.request(inputs, {})
        began = time.monotonic()
        invoked = self.stack.client("lambda").invoke(FunctionName=request.url, Payload=(request.body or "").encode())
        took = (time.monotonic() - began) * 1000
        payload = invoked["Payload"].read()
        self.note(payload)
        error = invoked.get("FunctionError")
        told = json.loads(payload).get("errorType") if error else None
        gist = f"function error {told}" if error else self.gist(Reply(invoked["StatusCode"], payload)).lstrip()
        self.tell(f"{took:5.0f} ms  {'flow':<10} {self.title(name + LAMBDA, inputs)}  ->  {gist}")
        self.expect("problem", told, problem)
        response = Response(invoked["StatusCode"], payload.decode(), error)
        return self.take(action, response, "Failure" if problem else "Success")

    @staticmethod
    def title(name: str, inputs: dict[str, Any]) -> str:
        """The action, and what it is asked for."""
        flags = [key for key, value in inputs.items() if value is True]
        return " ".join([name, *(inputs[key] for key in ("amount", "currency", "region") if key in inputs), *flags])

    def take(self, action: DataAction, response: Response, path: str) -> dict[str, Any]:
        """What the flow gets: the outputs on the Success path, nothing on the Failure path."""
        try:
            outputs = action.outputs(response)
        except Failure:
            outputs = {}
        self.expect(f"path of {action.name}", "Success" if outputs else "Failure", path)
        return outputs

    def open(self, payment: dict[str, Any], status: int, state: str) -> dict[str, Any]:
        """The caller opens the link: the page, and what its script asks for then."""
        page, _, token = self.stack.page(payment["payment_url"]).partition("#")
        reply = self.step("caller", "opens the page of the link", lambda: http("GET", page), 200)
        self.expect("content type", reply.content_type, "text/html")
        asked = json.dumps({"token": token}).encode()
        session: dict[str, Any] = self.step(
            "page", "asks for the session", lambda: http("POST", f"{page}/session", asked), status
        ).json()
        self.expect("state", session.get("state"), state)
        return session

    def pay_on_the_page(self, payment: dict[str, Any], card: str) -> None:
        """The caller opens the link in Chromium and pays there; then Stripe's webhook arrives and is answered."""
        page = self.stack.page(payment["payment_url"])
        known = json.dumps(browser.told(self.stack))
        env = self.stack.environment({"BROWSER_TEST_STACK": known, "PAY_LINK": page, "PAY_CARD": card})
        log = self.stack.logs / "browser.log"
        written = len(self.stack.localstripe.lines)
        began = time.monotonic()
        with running("Chromium", ["node", str(browser.TESTS / "pay-once.js")], env, log) as payer:
            code = payer.wait(lambda: self.tell("still paying"))
        took = (time.monotonic() - began) * 1000
        self.tell(f"{took:5.0f} ms  {'caller':<10} opens the link in Chromium, pays with test card ...{card[-4:]}")
        self.expect(f"exit code of the browser, see {log},", code, 0)
        self.await_webhook(payment, "payment_intent.succeeded", written)

    def confirm(self, payment: dict[str, Any], client_secret: str, card: str, status: int) -> Reply:
        """The caller types a card into Stripe's fields."""
        fields = {
            "key": self.stack.secrets.publishable_key,
            "client_secret": client_secret,
            "payment_method_data": {
                "type": "card",
                "card": {"number": card, "exp_month": 12, "exp_year": 2034, "cvc": "123"},
            },
        }
        url = f"{self.stack.stripe}/v1/payment_intents/{payment['payment_intent_id']}/confirm"
        return self.step(
            "caller",
            f"pays at Stripe with test card ...{card[-4:]}",
            lambda: http("POST", url, json.dumps(fields).encode()),
            status,
        )

    def pay(self, payment: dict[str, Any], card: str, accepted: bool, client_secret: str = "") -> None:
        """The caller pays or is declined; then Stripe's webhook arrives and is answered."""
        written = len(self.stack.localstripe.lines)
        self.confirm(payment, client_secret or payment["client_secret"], card, 200 if accepted else 402)
        event = "payment_intent.succeeded" if accepted else "payment_intent.payment_failed"
        self.await_webhook(payment, event, written)

    def await_webhook(self, payment: dict[str, Any], event: str, written: int) -> None:
        """Stripe delivers an event and gets its answer; it had written so many lines before."""
        began = time.monotonic()
        wanted = rf'webhook "{event}" (.*) \({payment["payment_intent_id"]}\)'
        sent = self.stack.localstripe.wait_for(wanted, WEBHOOK, after=written)
        took = (time.monotonic() - began) * 1000
        self.tell(f"{took:5.0f} ms  {'Stripe':<10} webhook {event} {sent[1]}")
        self.expect("webhook", sent[1], "successfully delivered")

    def record(self, order: Order) -> dict[str, Any] | None:
        """The payment's item in DynamoDB."""
        key = {"pk": {"S": f"ORDER#{order.order_id}"}, "sk": {"S": "PAYMENT"}}
        table = self.stack.outputs["TableName"]
        item: dict[str, Any] | None = (
            self.stack.client("dynamodb").get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")
        )
        return item

    def expect_record(self, order: Order, status: str) -> None:
        item = self.record(order) or {}
        self.tell(f"{'':8}  {'DynamoDB':<10} {status}")
        self.expect("record", item.get("status"), {"S": status})

    def expect_attributes(self, payment: dict[str, Any], status: str, progress: str = "") -> None:
        attributes = self.stack.heard(payment["conversation_id"])["attributes"]
        self.tell(f"{'':8}  {'Genesys':<10} shows {json.dumps(attributes)}")
        self.expect("attribute payment_status", attributes.get("payment_status"), status)
        self.expect("attribute payment_progress", attributes.get("payment_progress"), progress or status.lower())
        self.expect("attribute stripe_intent_id", attributes.get("stripe_intent_id"), payment["payment_intent_id"])

    def deliver(self, what: str, body: bytes, secret: str, status: int) -> None:
        """Somebody posts an event to the Function URL."""
        header = signature(secret, body, int(time.time()))
        self.secrets[leaks.signature_of(header)] = "a webhook signature"
        headers = {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": header}
        self.step("internet", what, lambda: http("POST", self.stack.webhook, body, headers), status)

    def event(self, intent_id: str, kind: str) -> bytes:
        """The bytes of an event that localstripe has sent."""
        events = self.stack.at_stripe(f"/v1/events?type={kind}").json()["data"]
        event_id = next(event["id"] for event in events if event["data"]["object"]["id"] == intent_id)
        return self.stack.at_stripe(f"/v1/events/{event_id}").body.removesuffix(b"\n")

    def success_of(self, payment: dict[str, Any]) -> bytes:
        """An event that says a payment has succeeded which has not; right in everything but that."""
        intent = self.stack.at_stripe(f"/v1/payment_intents/{payment['payment_intent_id']}").json()
        intent.update(status="succeeded", amount_received=intent["amount"])
        event = {
            "id": "evt_forged", "object": "event", "type": "payment_intent.succeeded", "livemode": False,
            "created": int(time.time()), "data": {"object": intent},
        }  # fmt: skip
        return json.dumps(event).encode()

    def charged(self, order: Order) -> list[str]:
        """The intents that were paid for an order, as often as they were."""
        events = self.stack.at_stripe("/v1/events?type=payment_intent.succeeded&limit=100").json()["data"]
        paid = (event["data"]["object"] for event in events)
        return [intent["id"] for intent in paid if intent["metadata"]["order_id"] == order.order_id]

    # ---- the play ----

    def play(self) -> None:
        with self.scene("A caller pays"):
            order = Order(self.conversation(), "A-1001")
            payment = self.ask(order, "50.00", action=SECURE, currency="usd")
            self.expect_fields(
                payment, payment_status="PENDING", final=False, amount="50.00", amount_minor=5000, currency="usd"
            )
            again = self.ask(order, "50.00", status=200, currency="usd")
            self.expect_fields(again, payment_intent_id=payment["payment_intent_id"], attempt=1)
            self.expect_fields(self.query(order), payment_status="PENDING", final=False)
            if self.has_browser:
                self.pay_on_the_page(again, GOOD_CARD)
            else:
                self.pay(payment, GOOD_CARD, accepted=True)
            self.expect_record(order, "CONFIRMED")
            self.expect_attributes(payment, "CONFIRMED")
            answer = self.query(order)
            self.expect_fields(
                answer, payment_status="CONFIRMED", final=True, payment_intent_id=payment["payment_intent_id"]
            )

        with self.scene("A declined card, then another one"):
            order = Order(self.conversation(), "A-1002")
            payment = self.ask(order, "12.50", action=SECURE, region="EU")
            self.expect_fields(payment, payment_status="PENDING", amount_minor=1250, currency="eur")
            self.pay(payment, DECLINED_CARD, accepted=False)
            self.expect_attributes(payment, "DECLINED")
            self.expect_fields(self.query(order), payment_status="DECLINED", final=False)
            self.pay(payment, GOOD_CARD, accepted=True)
            self.expect_record(order, "CONFIRMED")
            self.expect_attributes(payment, "CONFIRMED")
            self.expect_fields(
                self.query(order), payment_status="CONFIRMED", payment_intent_id=payment["payment_intent_id"], attempt=1
            )

        with self.scene("The caller opens the link"):
            order = Order(self.conversation(), "A-1012")
            payment = self.ask(order, "15.00", currency="gbp")
            session = self.open(payment, 200, "open")
            self.expect_fields(session, amount="15.00", currency="gbp", order_id=order.order_id)
            self.expect_attributes(payment, "PENDING", "link_opened")
            self.pay(payment, GOOD_CARD, accepted=True, client_secret=session["client_secret"])
            self.expect_record(order, "CONFIRMED")
            self.expect_attributes(payment, "CONFIRMED")
            self.open(payment, 410, "paid")

        with self.scene("A released order"):
            order = Order(self.conversation(), "A-1013")
            payment = self.ask(order, "60.00", currency="usd")
            session = self.open(payment, 200, "open")
            canceled = self.cancel(order)
            self.expect_fields(
                canceled, payment_status="CANCELED", final=True, payment_intent_id=payment["payment_intent_id"]
            )
            self.expect_record(order, "CANCELED")
            self.open(payment, 410, "canceled")
            late = self.confirm(payment, session["client_secret"], GOOD_CARD, 400).json()
            self.expect("code", late["error"].get("code"), "payment_intent_unexpected_state")
            self.expect("the second answer", self.cancel(order), canceled)
            anew = self.ask(order, "60.00", currency="usd")
            self.expect_fields(anew, payment_status="PENDING", attempt=2)
            self.expect("the same intent", anew["payment_intent_id"] == payment["payment_intent_id"], False)
            session = self.open(anew, 200, "open")
            self.pay(anew, GOOD_CARD, accepted=True, client_secret=session["client_secret"])
            self.expect_fields(self.cancel(order), payment_status="CONFIRMED", final=True, attempt=2)
            self.expect_record(order, "CONFIRMED")

        with self.scene("The call drops, and the caller rings again"):
            dropped = Order(self.conversation(), "A-1014")
            payment = self.ask(dropped, "45.00", currency="usd")
            self.expect_fields(payment, payment_status="PENDING", is_holder=True)
            self.open(payment, 200, "open")
            self.expect_attributes(payment, "PENDING", "link_opened")
            order = Order(self.conversation(), dropped.order_id)
            first, second = dropped.conversation_id, order.conversation_id
            self.expect_fields(self.query(order), payment_status="PENDING", conversation_id=first, is_holder=False)
            again = self.ask(order, "45.00", status=200, currency="usd")
            self.expect_fields(again, payment_intent_id=payment["payment_intent_id"], attempt=1)
            self.expect_fields(again, conversation_id=second, is_holder=True)
            self.expect("the same link", again["payment_url"] == payment["payment_url"], False)
            session = self.open(again, 200, "open")
            self.expect_attributes(again, "PENDING", "link_opened")
            self.expect_attributes(payment, "PENDING", "moved")
            self.pay(again, GOOD_CARD, accepted=True, client_secret=session["client_secret"])
            self.expect("what was paid", self.charged(order), [payment["payment_intent_id"]])
            self.expect_record(order, "CONFIRMED")
            self.expect_attributes(again, "CONFIRMED")
            self.expect_attributes(payment, "PENDING", "moved")
            for asking, is_holder in ((order, True), (dropped, False)):
                answer = self.query(asking)
                self.expect_fields(answer, payment_status="CONFIRMED", conversation_id=second, is_holder=is_holder)
            self.open(payment, 410, "paid")

        with self.scene("A new price"):
            order = Order(self.conversation(), "A-1015")
            payment = self.ask(order, "80.00", currency="eur")
            self.expect("code", self.ask(order, "75.00", status=409, currency="eur").get("code"), "order_changed")
            changed = self.ask(order, "75.00", currency="eur", replace=True)
            self.expect_fields(changed, payment_status="PENDING", attempt=2, amount_minor=7500)
            self.expect("the same intent", changed["payment_intent_id"] == payment["payment_intent_id"], False)
            self.open(payment, 410, "canceled")
            again = self.ask(order, "75.00", status=200, currency="eur", replace=True)
            self.expect_fields(again, payment_intent_id=changed["payment_intent_id"], attempt=2)
            session = self.open(changed, 200, "open")
            self.pay(changed, GOOD_CARD, accepted=True, client_secret=session["client_secret"])
            self.expect_attributes(changed, "CONFIRMED")
            late = self.ask(order, "70.00", status=409, currency="eur", replace=True)
            self.expect("code", late.get("code"), "order_changed")
            self.expect("what was paid", self.charged(order), [changed["payment_intent_id"]])

        with self.scene("A payer at the bank, and a cancellation by force"):
            order = Order(self.conversation(), "A-1016")
            payment = self.ask(order, "65.00", currency="usd")
            session = self.open(payment, 200, "open")
            asked = self.confirm(payment, session["client_secret"], STRICT_CARD, 200).json()
            self.expect("status", asked["status"], "requires_action")
            agent = Order(self.conversation(), order.order_id)
            self.expect("code", self.cancel(agent, status=409).get("code"), "in_progress")
            refused = self.ask(agent, "60.00", status=409, currency="usd", replace=True)
            self.expect("code", refused.get("code"), "in_progress")
            canceled = self.invoke(CANCEL, {**vars(agent), "force": True})
            self.expect_fields(canceled, payment_status="CANCELED", final=True, is_holder=False)
            self.expect("the second answer", self.cancel(agent, force=True), canceled)
            self.expect_record(order, "CANCELED")
            self.open(payment, 410, "canceled")

        with self.scene("A token from a voice vault, declined, then another one"):
            order = Order(self.conversation(), "A-1009")
            declined = self.ask(
                order, "7.00", 200, action=TOKEN, currency="usd", payment_method="pm_card_visa_chargeDeclined"
            )
            self.expect_fields(declined, payment_status="DECLINED", final=False, amount_minor=700)
            answer = self.ask(order, "7.00", 200, action=TOKEN, currency="usd", payment_method="pm_card_visa")
            self.expect_fields(
                answer, payment_status="CONFIRMED", payment_intent_id=declined["payment_intent_id"], attempt=1
            )

        with self.scene("The same webhook once more"):
            order = Order(self.conversation(), "A-1003")
            payment = self.ask(order, "20.00", action=SECURE, currency="usd")
            self.pay(payment, GOOD_CARD, accepted=True)
            before = self.record(order), self.stack.heard(order.conversation_id)
            body = self.event(payment["payment_intent_id"], "payment_intent.succeeded")
            self.deliver("same bytes, freshly signed", body, self.stack.secrets.webhook_secret, 200)
            self.expect(
                "record and conversation", (self.record(order), self.stack.heard(order.conversation_id)), before
            )

        with self.scene("A forged webhook"):
            order = Order(self.conversation(), "A-1004")
            payment = self.ask(order, "80.00", currency="gbp")
            before = self.record(order), self.stack.heard(order.conversation_id)
            body = self.success_of(payment)
            self.deliver("success, signed with another secret", body, "whsec_" + "0" * 48, 400)
            self.expect(
                "record and conversation", (self.record(order), self.stack.heard(order.conversation_id)), before
            )

        with self.scene("A wrong API key"):
            order = Order(self.conversation(), "A-1005")
            self.ask(order, "50.00", status=403, key="not-the-key-of-this-api", currency="usd")
            self.expect("record", self.record(order), None)

        with self.scene("A card number where none belongs"):
            order = Order(self.conversation(), "A-1006")
            spaced = " ".join(re.findall("....", GOOD_CARD))
            refused = self.ask(order, "50.00", status=422, currency="usd", description=f"card {spaced}")
            self.expect("code", refused.get("code"), "card_data_refused")
            self.expect("digits in the reply", GOOD_CARD in re.sub(r"\D", "", json.dumps(refused)), False)
            self.expect("record", self.record(order), None)

        with self.scene("19.99, as a string and as a number"):
            answer = self.ask(Order(self.conversation(), "A-1007"), "19.99", currency="usd")
            self.expect_fields(answer, amount_minor=1999, amount="19.99")
            # The Data Actions send a string; another client of the API may not.
            order = Order(self.conversation(), "A-1011")
            body = json.dumps({**vars(order), "amount": 19.99, "currency": "usd"}).encode()
            headers = {"Content-Type": "application/json", "x-api-key": self.stack.api_key}
            url = f"{self.stack.api}/payments"
            reply = self.step("client", "POST /payments 19.99 usd", lambda: http("POST", url, body, headers), 201)
            self.expect_fields(reply.json(), amount_minor=1999, amount="19.99")

        with self.scene("Yen, which have no cents"):
            answer = self.ask(Order(self.conversation(), "A-1008"), "500", currency="JPY")
            self.expect_fields(answer, amount_minor=500, amount="500", currency="jpy")

        with self.scene("AWS Lambda Data Actions, past API Gateway"):
            order = Order(self.conversation(), "A-1010")
            inputs = {**vars(order), "amount": "30.00", "currency": "eur"}
            self.expect_fields(self.invoke(QUERY, vars(order)), payment_status="NOT_FOUND")
            payment = self.invoke(CREATE, inputs)
            self.expect_fields(payment, payment_status="PENDING", amount_minor=3000, attempt=1)
            over_the_api = self.ask(order, "30.00", 200, currency="eur")
            # Every reply has a link of its own.
            links = {payment.pop("payment_url"), over_the_api.pop("payment_url")}
            self.expect("links", len(links), 2)
            self.expect("the same order over the API", over_the_api, payment)
            self.invoke(CREATE, {**inputs, "amount": "31.00"}, problem="order_changed")
            self.invoke(CREATE, {**inputs, "amount": "30.001"}, problem="invalid_amount")
            paid = self.invoke(TOKEN, {**inputs, "payment_method": "pm_card_visa"})
            self.expect_fields(paid, payment_status="CONFIRMED", payment_intent_id=payment["payment_intent_id"])
            self.expect("what is queried", self.invoke(QUERY, vars(order)), paid)
            self.expect("what a cancellation answers", self.invoke(CANCEL, vars(order)), paid)
            self.expect_fields(self.invoke(CANCEL, {**vars(order), "order_id": "A-0"}), payment_status="NOT_FOUND")

        with self.scene("Private values where they do not belong"):
            self.send_private_values()

        with self.scene("Nothing secret is written down"):
            self.search_for_secrets()

    def send_private_values(self) -> None:
        """Sends names, security codes and addresses in every wrong field, to every function, in every shape."""
        self.secrets[PRIVATE] = "a private value from a wrong field"
        order = vars(Order(self.conversation(), "A-1012"))
        good = {**order, "amount": "50.00", "currency": "usd"}
        texts = (f"{PRIVATE} cvc 123 exp 12/27", f"{PRIVATE}@home")
        odd: tuple[object, ...] = ([*texts], {PRIVATE: texts[0]})
        fields = ("conversation_id", "order_id", "amount", "amount_minor", "currency", "region", "replace")
        anywhere = (*fields, "payment_method", "include_client_secret", "description", "receipt_email", PRIVATE)
        bodies = [{**good, field: value} for field in anywhere for value in odd]
        bodies += [{**good, field: text} for field in anywhere if field != "description" for text in texts]
        named = [{**order, field: text} for field in (*order, "force", PRIVATE) for text in texts]
        named += [{**order, field: value} for field in (*order, "force") for value in odd]
        key = {"Content-Type": "application/json", "x-api-key": self.stack.api_key}
        refused = [http("POST", f"{self.stack.api}/payments", json.dumps(body).encode(), key) for body in bodies]
        refused += [http("POST", f"{self.stack.api}/payments", text.encode(), key) for text in texts]
        for method in ("GET", "DELETE"):
            for text in (urllib.parse.quote(text.replace("/", "-")) for text in texts):
                refused.append(http(method, f"{self.stack.api}/payments/{text}", headers=key))
                url = f"{self.stack.api}/payments/{order['conversation_id']}?order_id="
                refused.append(http(method, url + text, headers=key))
                refused.append(http(method, f"{url}{order['order_id']}&force={text}", headers=key))
        self.expect("other answers over the API", {reply.status for reply in refused} - {400, 422}, set())
        self.tell(f"{'':8}  {len(refused)} requests over the API, all refused")

        create, query = self.stack.outputs["CreateIntentFunctionArn"], self.stack.outputs["StatusQueryFunctionArn"]
        functions = self.stack.client("lambda").list_functions()["Functions"]
        webhook = next(name["FunctionName"] for name in functions if "Webhook" in name["FunctionName"])
        direct: list[tuple[str, object]] = [(create, body) for body in bodies]
        direct += [(create, {**body, "operation": "cancel"}) for body in named]
        direct += [(create, {**good, "operation": text}) for text in texts]
        direct += [(query, body) for body in named]
        direct += [(webhook, good | {"description": texts[0]})]
        for function in (create, query, webhook):
            direct += [(function, event) for event in ([*texts], texts[0], {"httpMethod": {PRIVATE: texts}})]
        for function, event in direct:
            invoked = self.stack.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
            payload = invoked["Payload"].read().decode()
            self.expect(f"function error of {event}", bool(invoked.get("FunctionError")), True)
            self.expect(f"{PRIVATE} in {payload}", PRIVATE in payload, False)
        self.tell(f"{'':8}  {len(direct)} direct invocations, each a function error with nothing of it")

        post = {"Content-Type": "application/json"}
        unsigned = json.dumps({"id": texts[0]}).encode()
        for header in (*texts, f"t=1,v1={PRIVATE}", signature(self.stack.secrets.webhook_secret, unsigned, 1)):
            reply = http("POST", self.stack.webhook, unsigned, {**post, "Stripe-Signature": header})
            self.expect("status of a wrong signature", reply.status, 400)
        for event in ({"id": texts[0]}, {"id": "evt_1", "object": "v2.core.event", "type": texts[0]}, [*texts]):
            body = json.dumps(event).encode()
            header = signature(self.stack.secrets.webhook_secret, body, int(time.time()))
            self.secrets[leaks.signature_of(header)] = "a webhook signature"
            reply = http("POST", self.stack.webhook, body, {**post, "Stripe-Signature": header})
            self.expect("status of a signed event that is none", reply.status, 400)
        for asked, status in (({"token": texts[0]}, 404), ({PRIVATE: texts[0]}, 400), ([*texts], 400)):
            reply = http("POST", f"{self.stack.pages}/pay/session", json.dumps(asked).encode(), post)
            self.expect(f"status of a session asked with {asked}", reply.status, status)

    def search_for_secrets(self) -> None:
        for intent in self.stack.at_stripe("/v1/payment_intents?limit=100").json()["data"]:
            self.secrets[intent["client_secret"]] = "a client secret"
        for event in self.stack.at_stripe("/v1/events?limit=100").json()["data"]:
            body = self.stack.at_stripe(f"/v1/events/{event['id']}").body.removesuffix(b"\n")
            header = signature(self.stack.secrets.webhook_secret, body, event["created"])
            self.secrets[leaks.signature_of(header)] = "a webhook signature"
        cards = (GOOD_CARD, DECLINED_CARD, STRICT_CARD)
        places = leaks.written(self.stack)
        for place, lines in places.items():
            self.expect(f"found in {place}", leaks.found(lines, self.secrets, cards), set())
        count = sum(len(lines) for lines in places.values())
        self.tell(f"{'':8}  searched {count} lines for {len(self.secrets) + len(cards)} secrets, found none")


def main() -> int:
    stop_on_signals()
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)

    try:
        with Stack("demo", tell) as stack:
            tell(f"deployed: {stack.api}")
            demo = Demo(stack, tell)
            if demo.has_browser:
                tell("the first caller pays on the page, in Chromium")
            else:
                tell("all callers pay by localstripe's API: make browser-test installs what paying on the page needs")
            demo.play()
    except StackError as error:
        tell(str(error))
        return 1
    except KeyboardInterrupt:
        tell("stopped")
        return 130
    print()
    if demo.wrong:
        print(f"{len(demo.wrong)} scenes went wrong:", *demo.wrong, sep="\n  ")
        return 1
    tell(f"all {demo.checks} checks passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
