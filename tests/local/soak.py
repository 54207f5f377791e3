"""Plays hundreds of phone calls at once on the local stack while it breaks; then balances the books.

    soak.py [CALLS [SEED]]

Stripe is the tests' own stand-in, which has idempotency keys, search and events, and remembers them when it is killed.

* Each call has a conversation at Genesys and one or two orders. Payers pay, are declined, try again, leave, are
  canceled and begin anew, have given a token, or drop out and ring again, in another conversation. The flow asks
  again after a 409, a 429, a 5xx, a time-out and a connection that it closed too early, and polls meanwhile.
* Webhooks come up to three times each, shuffled, several at once, and again until a 200. Some orders' never come.
* Function processes are killed, busy or not. Stripe is killed, and started again on what it had written down.

Then every order must have ended as its payer wanted, and the charges, the records and what Genesys heard must agree.
Exits with 1 where they do not. The seed repeats the calls and their troubles, not how they interleave.
"""

import http.client
import json
import math
import os
import random
import secrets
import signal
import sys
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

import leaks
from sign import signature
from stack import READY, ROOT, Reply, Stack, StackError, stop_on_signals
from stack import http as send

#: Calls in flight, webhooks, and calls that are asked for in the end.
CALLS_AT_ONCE, WEBHOOKS_AT_ONCE, QUESTIONS_AT_ONCE = 40, 20, 10
#: Seconds the Data Actions wait for an answer, and Stripe for its webhook's.
CREATE_TIMEOUT, QUERY_TIMEOUT, WEBHOOK_TIMEOUT = 6.0, 4.0, 20.0
#: The part of requests whose sender closes the connection early, and after how many seconds at the most.
HASTY, HASTE = 0.05, 0.1
#: The part of orders whose webhooks are all lost.
UNHEARD = 0.05
#: Seconds in which a request that is repeated must have got its answer, and a status must have come.
PATIENCE = 60
#: Seconds after which a record is stale, so that a query asks Stripe; how often that is waited for in the end.
STALE, ROUNDS = 10, 3
#: Seconds after which a function process has surely started.
STARTED = 2
#: How often each is killed.
FUNCTION_KILLS, STRIPE_KILLS = 12, 4

#: What the emulated API Gateway says by itself, for it does not take over the template's GatewayResponses; and what it
#: means. The second is about a function whose process was killed, at work or just before.
GATEWAY = {429: ("Too Many Requests", "throttled"), 502: ('"errorType": "Runtime.', "function died")}
#: What the emulated Lambda logs of a process that was killed at work.
DIED_AT_WORK = "Runtime exited before returning a response"

GOOD, BAD, STRICT = "pm_card_visa", "pm_card_visa_chargeDeclined", "pm_card_authenticationRequired"

#: What Genesys hears of a payment that another call has asked for.
MOVED = {"payment_progress": "moved"}

#: Payment statuses by Stripe's status; `requires_payment_method` after an error is `DECLINED`.
STATUSES = {"requires_payment_method": "PENDING", "succeeded": "CONFIRMED", "canceled": "CANCELED"}


class Wrong(Exception):
    """Something is otherwise than it must be."""


@dataclass(frozen=True)
class Course:
    """What becomes of an order: how often among a hundred, step by step, and its status in the end."""

    share: int
    end: str
    steps: tuple[tuple[str, str], ...]


COURSES = (
    Course(25, "CONFIRMED", (("ask", ""), ("pay", GOOD))),
    Course(12, "CONFIRMED", (("ask", ""), ("pay", BAD), ("pay", GOOD))),
    Course(8, "DECLINED", (("ask", ""), ("pay", BAD))),
    Course(8, "PENDING", (("ask", ""),)),
    Course(5, "CANCELED", (("ask", ""), ("cancel", ""))),
    Course(8, "CONFIRMED", (("ask", ""), ("cancel", ""), ("renew", ""), ("pay", GOOD))),
    Course(8, "CONFIRMED", (("ask", GOOD),)),
    Course(4, "DECLINED", (("ask", STRICT),)),
    Course(8, "CONFIRMED", (("ask", BAD), ("ask", GOOD))),
    Course(7, "CONFIRMED", (("ask", ""), ("ring", ""), ("pay", GOOD))),
    Course(4, "CONFIRMED", (("ask", ""), ("pay", BAD), ("ring", ""), ("ring", ""), ("pay", GOOD))),
    Course(3, "CONFIRMED", (("ask", ""), ("pay", GOOD), ("ring", ""))),
)


@dataclass
class Order:
    """What is paid for, and what the flow knows of it."""

    order_id: str
    amount_minor: int
    currency: str
    course: Course
    #: Those that asked for it, one after the other.
    conversations: list[str] = field(default_factory=list)
    intent_id: str = ""
    attempt: int = 1
    confirmed: bool = False

    @property
    def holder(self) -> str:
        return self.conversations[-1]

    def __str__(self) -> str:
        return f"order {self.order_id} of {' and '.join(self.conversations) or 'no conversation'}"


class SoakStack(Stack):
    """The local stack with the tests' own Stripe, which can be killed."""

    def _start_stripe(self) -> None:
        self._stripe_port = self._free_port()
        self._run_stripe()

    def _run_stripe(self) -> None:
        self._stripe = self._part(
            "stripe",
            [str(ROOT / "target/debug/stripe-stand-in")],
            {
                "BIND": self.host,
                "PORT": str(self._stripe_port),
                "STATE_FILE": str(self.logs / "stripe.jsonl"),
                "STRIPE_SECRET_KEY": self.secrets.stripe_key,
                "STRIPE_WEBHOOK_SECRET": self.secrets.webhook_secret,
            },
        )
        self.stripe = self._stripe.wait_for(r"listening on (\S+)", READY)[1]

    def _register_webhook(self) -> None:
        """Nothing to do: the soak delivers the webhooks itself."""

    def kill_stripe(self, down: float) -> None:
        """Kills Stripe and starts it again after some seconds."""
        self._stripe.kill()
        time.sleep(down)
        self._run_stripe()

    def function_processes(self) -> list[int]:
        """The processes in which the emulated Lambda runs the functions, but for those that have only just begun:
        with one that dies while it starts, the emulator drops all others of its function."""
        up = float(Path("/proc/uptime").read_text().split()[0])
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                # Fields from the third on, as proc_pid_stat(5) has them: state, parent, ..., start in clock ticks.
                name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
                fields = rest.split()
                age = up - int(fields[19]) / os.sysconf("SC_CLK_TCK")
                if name == "bootstrap" and int(fields[1]) == self.ministack.pid and age > STARTED:
                    found.append(int(stat.parent.name))
        return found


class Tally:
    """What happened how often, and how long the answered requests took; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def count(self, what: str, how: str, seconds: float | None = None) -> None:
        with self._lock:
            self.counts[what, how] += 1
            if seconds is not None:
                self.seconds[what].append(seconds)

    def of(self, what: str) -> dict[str, int]:
        return {how: count for (counted, how), count in sorted(self.counts.items()) if counted == what}


@dataclass
class Soak:
    """What the calls, the webhooks and the breakdowns share."""

    stack: SoakStack
    seed: int
    tell: Callable[[str], None]
    tally: Tally = field(default_factory=Tally)
    wrong: list[str] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)
    orders: list[Order] = field(default_factory=list)
    #: Orders whose webhooks are lost.
    unheard: set[str] = field(default_factory=set)

    def random(self, *what: object) -> random.Random:
        """The dice of one part of the run."""
        return random.Random("/".join(map(str, (self.seed, *what))))

    def attempt(self, what: str, request: Callable[[float], Reply], seconds: float, haste: float = 0) -> Reply | None:
        """The answer to one request; none when its sender did not wait for it, or the connection broke."""
        began = time.monotonic()
        try:
            reply = request(haste or seconds)
        except (OSError, http.client.HTTPException) as error:
            late = isinstance(error, TimeoutError) or isinstance(getattr(error, "reason", None), TimeoutError)
            self.tally.count(what, "closed early" if haste else "timed out" if late else "broken")
            return None
        self.tally.count(what, str(reply.status), time.monotonic() - began)
        return reply


class Call:
    """One phone call, or several if it drops: its conversation, its flow and its payer."""

    def __init__(self, soak: Soak, number: int) -> None:
        self.soak = soak
        self.stack = soak.stack
        self.dice = soak.random("call", number)
        self.conversation_id = ""
        self.orders = [self._order(f"S-{number}-{at}") for at in range(self.dice.choice((1, 1, 2)))]
        soak.orders += self.orders

    def _order(self, order_id: str) -> Order:
        course = self.dice.choices(COURSES, [course.share for course in COURSES])[0]
        currency = self.dice.choice(("usd", "eur", "gbp", "jpy"))
        order = Order(order_id, self.dice.randint(100, 900_000), currency, course)
        if self.dice.random() < UNHEARD:
            self.soak.unheard.add(order.order_id)
        return order

    @property
    def steps(self) -> int:
        """How many there are."""
        return sum(len(order.course.steps) for order in self.orders)

    def play(self, over: Callable[[int], None]) -> None:
        """From the first step to the last; says when how many more are over."""
        left = self.steps
        try:
            self.arrive()
            for order in self.orders:
                order.conversations.append(self.conversation_id)
                for step, argument in order.course.steps:
                    getattr(self, step)(order, argument)
                    for _ in range(self.dice.randint(0, 2)):
                        # A payer takes time.
                        time.sleep(self.dice.uniform(0, 0.5))
                        self.query(order)
                    left -= 1
                    over(1)
        finally:
            over(left)

    def arrive(self) -> None:
        """The call arrives at Genesys."""
        self.conversation_id = str(uuid.UUID(int=self.dice.getrandbits(128), version=4))
        self.stack.open_conversation(self.conversation_id)

    # ---- the flow ----

    def ask(self, order: Order, token: str) -> None:
        """Creates the payment."""
        fields: dict[str, Any] = {
            "conversation_id": order.holder,
            "order_id": order.order_id,
            "amount_minor": order.amount_minor,
            "currency": order.currency,
            **({"payment_method": token} if token else {"include_client_secret": True}),
        }
        headers = {"Content-Type": "application/json", "x-api-key": self.stack.api_key}
        url, body = f"{self.stack.api}/payments", json.dumps(fields).encode()
        # A forgotten request that is overtaken by a cancellation would begin the order anew, and one that is overtaken
        # by another call's would take the order back.
        hasty = not {("cancel", ""), ("ring", "")} & {*order.course.steps}
        answer = self.insist(
            "POST /payments", lambda timeout: send("POST", url, body, headers, timeout), CREATE_TIMEOUT, hasty
        )
        if client_secret := answer["client_secret"]:
            self.soak.secrets[client_secret] = "a client secret"
        if payment_url := answer["payment_url"]:
            self.soak.secrets[leaks.token_of(payment_url)] = "the token of a pay link"
        self.check(order, answer, order.holder)
        order.intent_id = answer["payment_intent_id"]

    def renew(self, order: Order, _: str) -> None:
        """Creates the payment once more after it was canceled, once that is known."""
        deadline = time.monotonic() + PATIENCE
        while self.query(order)["payment_status"] != "CANCELED":
            if time.monotonic() > deadline:
                raise Wrong(f"{order} is not known to be canceled after {PATIENCE} s")
            time.sleep(0.5)
        order.attempt = 2
        canceled = order.intent_id
        self.ask(order, "")
        if order.intent_id == canceled:
            raise Wrong(f"{order} has the canceled intent {canceled} again")

    def ring(self, order: Order, _: str) -> None:
        """The call has dropped: the caller rings again, and the flow asks for the same order."""
        self.arrive()
        order.conversations.append(self.conversation_id)
        before = order.intent_id
        self.ask(order, "")
        if order.intent_id != before:
            raise Wrong(f"{order} had the intent {before}, and has {order.intent_id} in the next call")

    def query(self, order: Order) -> dict[str, Any]:
        """One of its calls asks where the payment stands."""
        asking = self.dice.choice(order.conversations)
        url = f"{self.stack.api}/payments/{asking}?order_id={order.order_id}"
        headers = {"x-api-key": self.stack.api_key}
        answer = self.insist(
            "GET /payments", lambda timeout: send("GET", url, None, headers, timeout), QUERY_TIMEOUT, hasty=True
        )
        self.check(order, answer, asking)
        return answer

    def insist(self, what: str, request: Callable[[float], Reply], seconds: float, hasty: bool) -> dict[str, Any]:
        """The answer to a request that is repeated as long as that may help."""
        deadline = time.monotonic() + PATIENCE
        while True:
            haste = self.dice.uniform(0, HASTE) if hasty and self.dice.random() < HASTY else 0
            reply = self.soak.attempt(what, request, seconds, haste)
            if reply is not None and reply.status in (200, 201):
                answer: dict[str, Any] = reply.json()
                return answer
            if reply is not None:
                self.soak.tally.count("problems", f"{reply.status} {self.retryable(what, reply)}")
            if time.monotonic() > deadline:
                raise Wrong(f"{what} got no answer that helps within {PATIENCE} s")
            time.sleep(self.dice.uniform(0.1, 0.5))

    @staticmethod
    def retryable(what: str, reply: Reply) -> str:
        """The code of a problem that may pass."""
        problem = reply.json()
        message, code = GATEWAY.get(reply.status, ("", ""))
        if code and message in problem.get("message", ""):
            return code
        if not isinstance(problem.get("code"), str) or problem.get("retryable") is not True:
            raise Wrong(f"{what} was answered {reply.status} {reply.body!r}")
        return str(problem["code"])

    def check(self, order: Order, answer: dict[str, Any], asking: str) -> None:
        """Whether an answer is about the order, and goes back from nothing that was said before."""
        wanted = {
            "conversation_id": order.holder,
            "is_holder": asking == order.holder,
            "order_id": order.order_id,
            "amount_minor": order.amount_minor,
            "currency": order.currency,
            "attempt": order.attempt,
        }
        got = {name: answer[name] for name in wanted}
        if got != wanted:
            raise Wrong(f"{order} was answered with {got}, wanted is {wanted}")
        status = answer["payment_status"]
        if order.confirmed and status != "CONFIRMED":
            raise Wrong(f"{order} was CONFIRMED, and is {status} afterwards")
        order.confirmed = status == "CONFIRMED"

    # ---- the payer, and whoever cancels ----

    def pay(self, order: Order, card: str) -> None:
        """Pays on Stripe's own page."""
        body = json.dumps({"intent": order.intent_id, "payment_method": card}).encode()
        headers = {"Content-Type": "application/json"}
        url = f"{self.stack.stripe}/_control/pay"
        self.at_stripe(order, 200 if card == GOOD else 402, lambda timeout: send("POST", url, body, headers, timeout))

    def cancel(self, order: Order, _: str) -> None:
        """Somebody cancels the intent in Stripe's dashboard."""
        path = f"/v1/payment_intents/{order.intent_id}/cancel"
        self.at_stripe(order, 200, lambda _: self.stack.at_stripe(path, {}))

    def at_stripe(self, order: Order, wanted: int, request: Callable[[float], Reply]) -> None:
        """Does something at Stripe itself, which may be down."""
        deadline = time.monotonic() + PATIENCE
        lost = False
        while True:
            reply = self.soak.attempt("payer at Stripe", request, QUERY_TIMEOUT)
            if reply is not None:
                # Stripe did it, and was killed before it said so.
                done = lost and reply.json().get("error", {}).get("code") == "payment_intent_unexpected_state"
                if reply.status == wanted or done:
                    return
                raise Wrong(f"Stripe answered the payer of {order} {reply.status} {reply.body!r}")
            if time.monotonic() > deadline:
                raise Wrong(f"Stripe did not answer the payer of {order} within {PATIENCE} s")
            lost = True
            time.sleep(0.2)


@dataclass(frozen=True)
class Delivery:
    """A webhook to be sent."""

    event_id: str
    body: bytes
    due: float


class Courier:
    """Delivers Stripe's events: shuffled, repeated, several at once, until each delivery got its 200."""

    #: Outcomes that no event of ours may have.
    IMPOSSIBLE = ("not_ours", "other_event", "other_livemode", "unknown_value", "disagreement")

    def __init__(self, soak: Soak) -> None:
        self.soak = soak
        self.dice = soak.random("courier")
        self.events: dict[str, dict[str, Any]] = {}
        self.lost = self.repeats = self.delivered = 0
        self._bag: list[Delivery] = []
        self._busy = 0
        self._news = threading.Condition()
        for _ in range(WEBHOOKS_AT_ONCE):
            threading.Thread(target=self._work, daemon=True).start()

    def collect(self) -> None:
        """Takes over the events that are new at Stripe; Stripe lists the newest first."""
        fresh: list[dict[str, Any]] = []
        more = True
        while more:
            after = f"&starting_after={fresh[-1]['id']}" if fresh else ""
            page = self.soak.stack.at_stripe(f"/v1/events?limit=100{after}").json()
            unknown = [event for event in page["data"] if event["id"] not in self.events]
            fresh += unknown
            more = page["has_more"] and len(unknown) == len(page["data"])
        with self._news:
            for event in fresh:
                self.events[event["id"]] = event
                if key_of(event["data"]["object"]["metadata"]) in self.soak.unheard:
                    self.lost += 1
                    continue
                copies = self.dice.choice((1, 2, 3))
                self.repeats += copies - 1
                self._bag += [self._delivery(event, 2) for _ in range(copies)]
            self._news.notify_all()

    def _delivery(self, event: dict[str, Any], latest: float) -> Delivery:
        return Delivery(event["id"], json.dumps(event).encode(), time.monotonic() + self.dice.uniform(0, latest))

    def _work(self) -> None:
        while True:
            with self._news:
                while not (due := [delivery for delivery in self._bag if delivery.due <= time.monotonic()]):
                    self._news.wait(0.1)
                delivery = self.dice.choice(due)
                self._bag.remove(delivery)
                self._busy += 1
                haste = self.dice.uniform(0, HASTE) if self.dice.random() < HASTY else 0
            taken = False
            try:
                taken = self._deliver(delivery, haste)
            except (Wrong, StackError) as error:
                self.soak.wrong.append(str(error))
            with self._news:
                self._busy -= 1
                if taken:
                    self.delivered += 1
                else:
                    self._bag.append(self._delivery(self.events[delivery.event_id], 1))
                self._news.notify_all()

    def _deliver(self, delivery: Delivery, haste: float) -> bool:
        """Whether the delivery got its 200."""
        header = signature(self.soak.stack.secrets.webhook_secret, delivery.body, int(time.time()))
        self.soak.secrets[leaks.signature_of(header)] = "a webhook signature"
        headers = {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": header}
        url = self.soak.stack.webhook
        reply = self.soak.attempt(
            "webhook", lambda timeout: send("POST", url, delivery.body, headers, timeout), WEBHOOK_TIMEOUT, haste
        )
        if reply is None or reply.status >= 500:
            return False
        outcome = reply.json().get("outcome", "none")
        self.soak.tally.count("outcomes", outcome)
        if reply.status != 200 or outcome in self.IMPOSSIBLE:
            self.soak.wrong.append(f"event {delivery.event_id} was answered {reply.status} {reply.body!r}")
        return True

    def drain(self) -> None:
        """Waits until everything that is to be delivered has been, as long as anything is."""
        self.collect()
        delivered, since = self.delivered, time.monotonic()
        with self._news:
            while self._bag or self._busy:
                self._news.wait(1)
                if self.delivered > delivered:
                    delivered, since = self.delivered, time.monotonic()
                if time.monotonic() - since > PATIENCE:
                    self.soak.wrong.append(f"{len(self._bag) + self._busy} webhooks got no 200 within {PATIENCE} s")
                    return


@dataclass(frozen=True)
class Books:
    """What was written down about the payments, wherever it was."""

    orders: list[Order]
    #: The table's, by order.
    records: dict[str, dict[str, Any]]
    #: Stripe's intents of an order, oldest first, and those that were paid, as often as they were.
    intents: dict[str, list[dict[str, Any]]]
    charges: dict[str, list[dict[str, Any]]]
    #: What Genesys shows and the changes it has accepted, in order, by conversation.
    heard: dict[str, dict[str, Any]]

    def discrepancies(self) -> Iterator[str]:
        """Whatever does not balance."""
        known = {order.order_id for order in self.orders}
        for where, keys in (("records", self.records), ("intents", self.intents), ("charges", self.charges)):
            yield from (f"{where}: {order_id} is nobody's order" for order_id in keys.keys() - known)
        for order in self.orders:
            yield from (f"{order}: {what}" for what in self._of_order(order))
        for conversation_id in self.heard:
            yield from (f"conversation {conversation_id}: {what}" for what in self._of_conversation(conversation_id))
        charged, confirmed = self.charged(), self.confirmed()
        if charged != confirmed:
            yield f"charged at Stripe is {charged}, confirmed in the table {confirmed}"

    def charged(self) -> dict[str, int]:
        """Money that Stripe has taken, in minor units by currency."""
        paid = (intent for intents in self.charges.values() for intent in intents)
        return totals((intent["currency"], intent["amount_received"]) for intent in paid)

    def confirmed(self) -> dict[str, int]:
        """Money that the table says was paid."""
        paid = (record for record in self.records.values() if record["status"] == "CONFIRMED")
        return totals((record["currency"], record["amount_minor"]) for record in paid)

    def _of_order(self, order: Order) -> Iterator[str]:
        record = self.records.get(order.order_id)
        intents = self.intents.get(order.order_id, [])
        if record is None or not intents:
            yield f"record {record}, {len(intents)} intents at Stripe"
            return
        live = [intent["id"] for intent in intents if intent["status"] != "canceled"]
        if len(live) > 1:
            yield f"several intents can be paid: {live}"
        if len(charges := self.charges.get(order.order_id, [])) > 1:
            yield f"charged {len(charges)} times: {[intent['id'] for intent in charges]}"
        newest = intents[-1]
        if record["status"] != order.course.end:
            yield f"the record is {record['status']}, and its payer has brought it to {order.course.end}"
        if record.get("payment_intent_id") != newest["id"]:
            yield f"the record has intent {record.get('payment_intent_id')}, Stripe's newest is {newest['id']}"
        if record["status"] != (truth := payment_status(newest)):
            yield f"the record is {record['status']}, and Stripe says {truth} of {newest['id']}"
        attempt = newest["metadata"]["attempt"]
        if str(record["attempt"]) != attempt:
            yield f"the record is at attempt {record['attempt']}, and Stripe's newest intent at {attempt}"
        if record["holder_conversation_id"] != order.holder:
            yield f"the record is held by {record['holder_conversation_id']}"
        told = tuple(record.get(f"notified_{name}") for name in ("conversation_id", "intent_id", "status"))
        if told != (order.holder, newest["id"], record["status"]):
            yield f"the record is {record['status']}, and the record says that Genesys was told {told}"
        # Who held it before those two learns it from is_holder.
        former = record.get("former_conversation_id")
        for conversation_id in {order.holder, former} & set(order.conversations):
            yield from self._told(order, conversation_id, [intent["id"] for intent in intents], record["status"])

    def patches(self, conversation_id: str) -> list[dict[str, str]]:
        """The attributes that Genesys was given, in order."""
        return [patch["attributes"] for patch in self.heard[conversation_id]["patches"]]

    def _told(self, order: Order, conversation_id: str, intent_ids: list[str], status: str) -> Iterator[str]:
        """What Genesys heard of an order in one of its conversations, against the order's intents and its status."""
        patches = self.patches(conversation_id)
        held = conversation_id == order.holder
        # Nothing is newer than that. No other order has left the same conversation.
        moved = (len(intent_ids), "moved")
        story = [
            moved if patch == MOVED else (intent_ids.index(patch["stripe_intent_id"]), patch["payment_status"])
            for patch in patches
            if patch.get("stripe_intent_id") in intent_ids or (patch == MOVED and not held)
        ]
        if story[-1:] != [(len(intent_ids) - 1, status) if held else moved]:
            yield f"the record is {status}, and Genesys heard {story} in conversation {conversation_id}"
        for (intent, before), (next_intent, after) in pairwise(story):
            left = intent == next_intent and before in ("CONFIRMED", "CANCELED") and after != before
            if left or next_intent < intent:
                yield f"Genesys heard an older status after a newer one: {story}"
        minor = order.amount_minor
        amount = str(minor) if order.currency == "jpy" else f"{minor // 100}.{minor % 100:02}"
        for patch in patches:
            money = (patch.get("payment_amount"), patch.get("payment_currency"))
            if patch.get("stripe_intent_id") in intent_ids and money != (amount, order.currency):
                yield f"Genesys heard of {money}, and it is {(amount, order.currency)}"

    def _of_conversation(self, conversation_id: str) -> Iterator[str]:
        """What an agent sees is the latest of what Genesys was told: how one of the call's payments stands, or that it
        has moved."""
        attributes, patches = self.heard[conversation_id]["attributes"], self.patches(conversation_id)
        orders = [order for order in self.orders if conversation_id in order.conversations]
        records = [self.records[order.order_id] for order in orders if order.order_id in self.records]
        if all(
            conversation_id not in (record["holder_conversation_id"], record.get("former_conversation_id"))
            for record in records
        ):
            return
        if not patches or attributes != dict(pair for patch in patches for pair in patch.items()):
            yield f"attributes {attributes} are not the last of {patches}"
            return
        intents = (intent for order in orders for intent in self.intents.get(order.order_id, []))
        strange = {patch["stripe_intent_id"] for patch in patches if patch != MOVED} - {i["id"] for i in intents}
        if strange:
            yield f"Genesys heard of {strange}, which belong to another call"
        held = [order.order_id for order in orders if order.holder == conversation_id]
        records = (self.records[order_id] for order_id in held if order_id in self.records)
        standing = {(record.get("payment_intent_id"), record["status"]) for record in records}
        seen = (attributes.get("stripe_intent_id"), attributes.get("payment_status"))
        if patches[-1] != MOVED and seen not in standing:
            yield f"attributes {attributes} are none of {standing}"


def payment_status(intent: dict[str, Any]) -> str:
    """How the payment of an intent stands."""
    if intent["status"] == "requires_payment_method" and intent["last_payment_error"]:
        return "DECLINED"
    return STATUSES.get(intent["status"], str(intent["status"]))


def totals(amounts: Iterable[tuple[str, Any]]) -> dict[str, int]:
    """Sums by currency."""
    sums: Counter[str] = Counter()
    for currency, amount in amounts:
        sums[currency] += int(amount)
    return dict(sorted(sums.items()))


class Run:
    """The calls, the breakdowns among them, and the end."""

    def __init__(self, soak: Soak, calls: int) -> None:
        self.soak = soak
        self.stack = soak.stack
        self.dice = soak.random("breakdowns")
        self.courier = Courier(soak)
        self.calls = [Call(soak, number) for number in range(calls)]
        self.steps = sum(call.steps for call in self.calls)
        self.function_kills = self.stripe_kills = 0

    def play(self) -> None:
        """Every call, with breakdowns when so many of their steps are over."""
        over, done = threading.Semaphore(0), threading.Event()

        def step_over(steps: int) -> None:
            for _ in range(steps):
                over.release()

        def collect() -> None:
            while not done.wait(0.2):
                # Stripe may be down.
                with suppress(OSError, http.client.HTTPException):
                    self.courier.collect()

        collector = threading.Thread(target=collect, daemon=True)
        collector.start()
        breakdowns = self.breakdowns()
        self.in_parallel(lambda call: call.play(step_over), CALLS_AT_ONCE)
        for step in range(self.steps):
            over.acquire()
            for breakdown in breakdowns[step]:
                self.tell_progress(step, breakdown())
            if step % (self.steps // 10 + 1) == 0:
                self.tell_progress(step, "")
        done.set()
        collector.join()
        self.tell_progress(self.steps, "")
        self.courier.drain()

    def breakdowns(self) -> dict[int, list[Callable[[], str]]]:
        """What breaks once so many steps are over: each kind evenly over the run."""
        plan = defaultdict(list)
        for breakdown, times in ((self.kill_functions, FUNCTION_KILLS), (self.kill_stripe, STRIPE_KILLS)):
            for at in range(times):
                plan[int((at + self.dice.random()) / times * self.steps)].append(breakdown)
        return plan

    def kill_functions(self) -> str:
        """Kills half of the function processes there are."""
        processes = self.stack.function_processes()
        killed = self.dice.sample(processes, (len(processes) + 1) // 2)
        for process in killed:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.function_kills += len(killed)
        return f"killed {len(killed)} of {len(processes)} function processes"

    def kill_stripe(self) -> str:
        """Kills Stripe, which is back after a while."""
        down = self.dice.uniform(0.1, 1.5)
        self.stack.kill_stripe(down)
        self.stripe_kills += 1
        return f"killed Stripe, back after {down:.1f} s"

    def tell_progress(self, steps: int, what: str) -> None:
        part, events, delivered = steps / self.steps, len(self.courier.events), self.courier.delivered
        self.soak.tell(f"{part:5.0%} played, {events:5} events, {delivered:5} webhooks delivered   {what}".rstrip())

    def in_parallel(self, work: Callable[[Call], None], at_once: int) -> list[threading.Thread]:
        """Does something with every call, several at once; what goes wrong is noted."""
        left = iter(self.calls)
        lock = threading.Lock()

        def worker() -> None:
            while True:
                with lock:
                    call = next(left, None)
                if call is None:
                    return
                try:
                    work(call)
                except Exception as error:
                    self.soak.wrong.append(f"{type(error).__name__}: {error}")

        threads = [threading.Thread(target=worker, daemon=True) for _ in range(at_once)]
        for thread in threads:
            thread.start()
        return threads

    # ---- the end ----

    def settle(self) -> tuple[Books, list[str]]:
        """Asks for every order once its record is stale, until the books balance or it does not help."""
        for _ in range(ROUNDS):
            self.soak.tell(f"waiting until the records are stale, then asking for all {len(self.soak.orders)} orders")
            time.sleep(STALE)
            for thread in self.in_parallel(self.ask_again, QUESTIONS_AT_ONCE):
                thread.join()
            books = self.books()
            discrepancies = list(books.discrepancies())
            self.soak.tell(f"{len(discrepancies)} discrepancies")
            if not discrepancies:
                break
        return books, discrepancies

    @staticmethod
    def ask_again(call: Call) -> None:
        for order in call.orders:
            if order.intent_id:
                call.query(order)

    def books(self) -> Books:
        """Reads everything that was written down."""
        read = TypeDeserializer().deserialize
        items = [{name: read(value) for name, value in item.items()} for item in self.stack.items()]
        intents, charges = defaultdict(list), defaultdict(list)
        for event in self.courier.events.values():
            intent = event["data"]["object"]
            if event["type"] == "payment_intent.created":
                now = self.stack.at_stripe(f"/v1/payment_intents/{intent['id']}").json()
                intents[key_of(intent["metadata"])].append(now)
            if event["type"] == "payment_intent.succeeded":
                charges[key_of(intent["metadata"])].append(intent)
        for of_order in intents.values():
            of_order.sort(key=lambda intent: int(intent["metadata"]["attempt"]))
        return Books(
            self.soak.orders,
            {key_of(item): item for item in items if item["pk"].startswith("ORDER#")},
            intents,
            charges,
            {call: self.stack.heard(call) for order in self.soak.orders for call in order.conversations},
        )

    def leaks(self) -> Iterator[str]:
        """Searches what was written for secrets."""
        tokens = dict.fromkeys((GOOD, BAD, STRICT), "a payment method")
        for place, lines in leaks.written(self.stack).items():
            few = {**leaks.secrets_of(self.stack), **tokens}
            yield from (f"{what} is in {place}" for what in leaks.found(lines, few, words=self.soak.secrets))

    def summary(self, books: Books) -> None:
        """What happened, as a table."""
        tally, courier = self.soak.tally, self.courier
        broken_off = sum(DIED_AT_WORK in line for line in self.stack.ministack.lines)
        rows = [
            ("calls, orders", f"{len(self.calls)}, {len(self.soak.orders)}"),
            ("rang again", str(sum(len(order.conversations) - 1 for order in self.soak.orders))),
            ("seed", str(self.soak.seed)),
            *((what, table(tally.of(what))) for what in ("POST /payments", "GET /payments", "problems", "webhook")),
            ("outcomes", table(tally.of("outcomes"))),
            ("payer at Stripe", table(tally.of("payer at Stripe"))),
            *((f"{what}, seconds", quantiles(seconds)) for what, seconds in tally.seconds.items()),
            ("events", f"{len(courier.events)}, of which lost {courier.lost}"),
            ("webhooks delivered", f"{courier.delivered}, of which duplicates {courier.repeats}"),
            ("function processes killed", f"{self.function_kills}, at work {broken_off}"),
            ("Stripe killed", str(self.stripe_kills)),
            ("orders in the end", table(Counter(record["status"] for record in books.records.values()))),
            ("charged at Stripe", table(books.charged())),
            ("confirmed in the table", table(books.confirmed())),
        ]
        print()
        for name, value in rows:
            print(f"{name:<26} {value}")


def key_of(names: Mapping[str, str]) -> str:
    """Which order metadata or a record belong to."""
    return names["order_id"]


def table(counts: Mapping[str, int]) -> str:
    return "   ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def quantiles(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    marks = {"half": 0.5, "99 %": 0.99, "all": 1.0}
    return "   ".join(f"{name} {ordered[math.ceil(part * len(ordered)) - 1]:.2f}" for name, part in marks.items())


def main() -> int:
    stop_on_signals()
    began = time.monotonic()
    calls, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else secrets.randbelow(1_000_000)

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)

    tell(f"{calls} calls, seed {seed}")
    try:
        with SoakStack("soak", tell) as stack:
            soak = Soak(stack, seed, tell)
            run = Run(soak, calls)
            run.play()
            books, discrepancies = run.settle()
            tell("searching logs and records for secrets")
            wrong = [*soak.wrong, *discrepancies, *run.leaks()]
            run.summary(books)
    except (StackError, Wrong) as error:
        tell(str(error))
        return 1
    except KeyboardInterrupt:
        tell("stopped")
        return 130
    print()
    if wrong:
        print(f"{len(wrong)} things are wrong:", *wrong, sep="\n  ")
        return 1
    tell("the books balance")
    return 0


if __name__ == "__main__":
    sys.exit(main())
