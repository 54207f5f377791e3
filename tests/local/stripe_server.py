"""Runs localstripe as the Stripe of the local stack.

localstripe keeps intents and cards, decides about test cards and sends signed webhooks. What it lacks of the real
Stripe, and this project uses, is added here, so that the production client need not bend:

* create: `description`, `receipt_email` and, with `confirm`, `error_on_requires_action`; `allowed_payment_method_types`
  in the place of `payment_method_types`, which the API refuses from 2026-09-30.endive on;
* confirm: with a payment method, after a decline too, with `error_on_requires_action` and `payment_method_options`;
  also as the payer's browser does it, with the publishable key, the client secret and the card itself;
* cancel: with a `cancellation_reason`, with Stripe's code where it cannot be, with its webhook;
* a decline is a `card_error` that carries its intent, and the card 4000 0000 0000 0002 is declined when charged;
* an intent tells its `amount_received`;
* the log says which object a webhook was about;
* data stays in memory, and the server listens on one address and any free port.

Still unlike the real one: no idempotency keys, no search, any key that begins with `sk_` is good, one delivery per
webhook, sent a second after its event.

    stripe_server.py ADDRESS PORT     port 0: any; the first line of output says which
"""

import logging
import re
import socket
import sys
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from aiohttp import web
from localstripe import resources, server, webhooks
from localstripe.errors import UserError
from localstripe.resources import PaymentIntent, PaymentMethod, try_convert_to_bool

Params = dict[str, Any]

TAKEN_OVER = re.compile(r"/v1/payment_intents/(pi_\w+)/(confirm|cancel)")
CANCELABLE = ("requires_payment_method", "requires_confirmation", "requires_action", "requires_capture")
CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")

#: The object whose webhook the current task delivers.
DELIVERING: ContextVar[str] = ContextVar("DELIVERING")

plain_create = PaymentIntent._api_create
plain_charging_is_declined = PaymentMethod._charging_is_declined
plain_send_webhook = webhooks._send_webhook


def create(cls: type[PaymentIntent], **params: Any) -> PaymentIntent:
    """POST /v1/payment_intents."""
    if "payment_method_types" in params:
        code = {"code": "payment_method_types_no_longer_supported", "param": "payment_method_types"}
        raise UserError(400, "Send allowed_payment_method_types.", code)
    if (allowed := params.pop("allowed_payment_method_types", None)) is not None:
        params["payment_method_types"] = allowed
    confirm = try_convert_to_bool(params.pop("confirm", False))
    error_on_requires_action = try_convert_to_bool(params.pop("error_on_requires_action", False))
    if error_on_requires_action and not confirm:
        raise UserError(400, "error_on_requires_action needs confirm")
    extras = {name: params.pop(name, None) for name in ("description", "receipt_email")}
    intent = plain_create(**params)
    intent.description, intent.receipt_email = extras["description"], extras["receipt_email"]
    if confirm:
        charge(intent, error_on_requires_action)
    return intent


def confirm(intent: PaymentIntent, params: Params) -> None:
    """POST /v1/payment_intents/{id}/confirm."""
    error_on_requires_action = try_convert_to_bool(params.pop("error_on_requires_action", False))
    params.pop("payment_method_options", None)
    method, card = params.pop("payment_method", None), params.pop("payment_method_data", None)
    if params:
        raise UserError(400, "Unexpected " + ", ".join(params))
    if intent.status not in CONFIRMABLE:
        refused = {"code": "payment_intent_unexpected_state", "payment_intent": intent._export()}
        raise UserError(400, f"This PaymentIntent's status is {intent.status}.", refused)
    if card is not None:
        method = PaymentMethod._api_create(**card).id
    if method is not None:
        intent.payment_method = PaymentMethod._api_retrieve(method).id
        intent.latest_charge = None
    charge(intent, error_on_requires_action)


def cancel(intent: PaymentIntent, params: Params) -> None:
    """POST /v1/payment_intents/{id}/cancel."""
    params.pop("cancellation_reason", None)
    if intent.status not in CANCELABLE:
        refused = {"code": "payment_intent_unexpected_state", "payment_intent": intent._export()}
        raise UserError(400, f"This PaymentIntent's status is {intent.status}.", refused)
    PaymentIntent._api_cancel(intent.id, **params)
    webhooks.schedule_webhook(resources.Event("payment_intent.canceled", intent))


def charge(intent: PaymentIntent, error_on_requires_action: bool) -> None:
    """Charges the intent's payment method; a decline says of which intent."""
    declined = {"type": "card_error", "code": "card_declined"}
    try:
        intent._confirm(on_failure_now=intent._report_failure)
        if error_on_requires_action and intent.status == "requires_action":
            intent.next_action = intent.payment_method = None
            intent._authentication_failed = True
            declined["decline_code"] = "authentication_required"
            raise UserError(402, "Your card was declined.")
    except UserError as error:
        if error.code == 402:
            declined.setdefault("decline_code", "generic_decline")
            error.body["error"].update(declined, payment_intent=intent._export())
        raise


def authorize(request: web.Request, intent: PaymentIntent, params: Params) -> None:
    """The secret key, or the publishable key together with the intent's client secret."""
    key, client_secret = str(params.pop("key", "")), params.pop("client_secret", None)
    if key.startswith("pk_") and client_secret == intent.client_secret:
        return
    if server.get_api_key(request) is None:
        raise UserError(401, "Unauthorized")


@web.middleware
async def take_over(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Takes the routes of confirm and cancel over from localstripe."""
    route = TAKEN_OVER.fullmatch(request.path)
    if route is None or request.method != "POST":
        return await handler(request)
    params = await server.get_post_data(request, remove_auth=False) or {}
    intent = PaymentIntent._api_retrieve(route[1])
    authorize(request, intent, params)
    (confirm if route[2] == "confirm" else cancel)(intent, params)
    return server.json_response(intent._export())


async def send_webhook(event: resources.Event) -> None:
    """Delivers one event; every delivery is a task, and so a context, of its own."""
    DELIVERING.set(event.data["object"]["id"])
    await plain_send_webhook(event)


def name_object(record: logging.LogRecord) -> bool:
    """A log filter that lets everything through, with the object a webhook is about."""
    if delivering := DELIVERING.get(""):
        record.msg = f"{record.msg} ({delivering})"
    return True


def main() -> None:
    """Serves until SIGTERM."""
    address, port = sys.argv[1], int(sys.argv[2])
    resources.store.dump_to_disk = lambda: None
    PaymentIntent._api_create = classmethod(create)
    PaymentMethod._charging_is_declined = lambda self: plain_charging_is_declined(self) or self._attaching_is_declined()
    PaymentIntent.amount_received = property(lambda self: self.amount if self.status == "succeeded" else 0)
    webhooks._send_webhook = send_webhook
    # Inside the middleware that turns a UserError into a reply, outside the one that wants a secret key.
    server.app.middlewares.insert(1, take_over)

    listener = socket.create_server((address, port))
    log = logging.getLogger("aiohttp.access")
    log.setLevel(logging.INFO)
    log.addFilter(name_object)
    log.addHandler(logging.StreamHandler(sys.stdout))
    print(f"listening on http://{address}:{listener.getsockname()[1]}", flush=True)
    web.run_app(server.app, sock=listener, access_log=log, print=None, shutdown_timeout=1)


if __name__ == "__main__":
    main()
