"""A peer of create-intent for Python: the same job over the same protocol and the same items, with
boto3 and Stripe's SDK, one client of each for the life of the process, kept connections and one
retry. Beside the job it has what AWS's managed runtime does: a loop over Lambda's Runtime API.
"""

import hashlib
import http.client
import json
import os
import re
import secrets
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import boto3
import stripe
from botocore.config import Config

TABLE = os.environ["TABLE_NAME"]
CURRENCIES = set(os.environ["ALLOWED_CURRENCIES"].split(","))
CEILINGS = dict(pair.split("=") for pair in os.environ["MAX_AMOUNTS"].split(","))
BASE_36 = "0123456789abcdefghijklmnopqrstuvwxyz"
BASE_62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

AWS = Config(
    connect_timeout=0.5,
    read_timeout=0.8,
    tcp_keepalive=True,
    retries={"mode": "standard", "total_max_attempts": 2},
)
dynamodb = boto3.client("dynamodb", config=AWS)
secrets_manager = boto3.client("secretsmanager", config=AWS)


def stripe_client() -> stripe.StripeClient:
    """A client with the key that is in Secrets Manager."""
    secret = secrets_manager.get_secret_value(SecretId=os.environ["STRIPE_SECRET_ID"])
    if "AWS_CA_BUNDLE" in os.environ:
        stripe.ca_bundle_path = os.environ["AWS_CA_BUNDLE"]
    return stripe.StripeClient(
        json.loads(secret["SecretString"])["secret_key"],
        base_addresses={"api": os.environ["STRIPE_API_BASE"]},
        max_network_retries=1,
        http_client=stripe.RequestsClient(timeout=4),
    )


@dataclass
class Refused(Exception):
    """A request that gets no payment."""

    status: int
    code: str


@dataclass(frozen=True)
class Order:
    """What is asked for, checked."""

    conversation_id: str
    order_id: str
    amount_minor: int
    currency: str

    def key(self) -> dict[str, Any]:
        return {"pk": {"S": f"ORDER#{self.order_id}"}, "sk": {"S": "PAYMENT"}}

    def correlation(self, uid: str) -> dict[str, Any]:
        return {
            "payment_uid": {"S": uid},
            "conversation_id": {"S": self.conversation_id},
            "order_id": {"S": self.order_id},
            "attempt": {"N": "1"},
        }


def read(body: str) -> Order:
    """Reads and checks a request."""
    given = json.loads(body)
    if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", given["conversation_id"]):
        raise Refused(400, "invalid_conversation_id")
    if not re.fullmatch(r"[A-Za-z0-9._:-]{1,100}", given["order_id"]):
        raise Refused(400, "invalid_order_id")
    if given["currency"] not in CURRENCIES:
        raise Refused(400, "currency_not_allowed")
    digits = re.fullmatch(r"(\d{1,6})(?:\.(\d{2}))?", given["amount"])
    if digits is None:
        raise Refused(400, "invalid_amount")
    amount_minor = int(digits[1]) * 100 + int(digits[2] or 0)
    if not 50 <= amount_minor <= int(CEILINGS.get(given["currency"], 99_999_999)):
        raise Refused(400, "amount_above_limit")
    return Order(given["conversation_id"], given["order_id"], amount_minor, given["currency"])


def random_text(digits: str, length: int) -> str:
    """128 random bits."""
    rest, text = secrets.randbits(128), ""
    for _ in range(length):
        rest, digit = divmod(rest, len(digits))
        text = digits[digit] + text
    return text


def expires_at(now: int) -> dict[str, str]:
    return {"N": str(now // 1000 + int(os.environ["RECORD_DAYS"]) * 86_400)}


def begin(order: Order, now: int) -> Any:
    """The order's record: written now, or found."""
    item = {
        **order.key(),
        **order.correlation(random_text(BASE_36, 25)),
        "holder_conversation_id": {"S": order.conversation_id},
        "version": {"N": "1"},
        "amount_minor": {"N": str(order.amount_minor)},
        "currency": {"S": order.currency},
        "status": {"S": "CREATING"},
        "terms": {"M": {"capture_method": {"S": "automatic"}}},
        "capture_method": {"S": "automatic"},
        "amount_received_minor": {"N": "0"},
        "declines": {"L": []},
        "was_authorized": {"BOOL": False},
        "attempt_started_at": {"N": str(now)},
        "created_at": {"N": str(now)},
        "updated_at": {"N": str(now)},
        "expires_at": expires_at(now),
        "notified_opened": {"BOOL": False},
    }
    try:
        dynamodb.put_item(
            TableName=TABLE,
            Item=item,
            ConditionExpression="attribute_not_exists(pk)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
        return item
    except dynamodb.exceptions.ConditionalCheckFailedException as error:
        there: Any = error.response
        return there["Item"]


def adopt(order: Order, record: Any, intent: stripe.PaymentIntent, now: int) -> str:
    """Puts the intent on record, with whose it is, the conversation's newest order and a fresh
    link, which it gives."""
    owner, token = order.correlation(record["payment_uid"]["S"]), random_text(BASE_62, 22)
    valid_until = now + int(os.environ["PAY_LINK_MINUTES"]) * 60_000
    update = {
        "TableName": TABLE,
        "Key": order.key(),
        "UpdateExpression": "SET #status = :status, payment_intent_id = :intent, "
        "stripe_status = :stripe_status, as_of_from = :as_of, as_of_until = :as_of, "
        "updated_at = :now, version = :version REMOVE terms",
        "ConditionExpression": "version = :version_before",
        "ExpressionAttributeNames": {"#status": "status"},
        "ExpressionAttributeValues": {
            ":status": {"S": "PENDING"},
            ":intent": {"S": intent.id},
            ":stripe_status": {"S": intent.status},
            ":as_of": {"N": str(intent.created)},
            ":now": {"N": str(now)},
            ":version": {"N": str(int(record["version"]["N"]) + 1)},
            ":version_before": record["version"],
        },
    }
    pointer = {
        "TableName": TABLE,
        "Item": {
            "pk": {"S": f"INTENT#{intent.id}"},
            "sk": {"S": "INTENT"},
            **owner,
            "expires_at": record["expires_at"],
        },
        "ConditionExpression": "attribute_not_exists(pk)",
    }
    newest = {
        "TableName": TABLE,
        "Item": {
            "pk": {"S": f"CONVERSATION#{order.conversation_id}"},
            "sk": {"S": "NEWEST"},
            "order_id": {"S": order.order_id},
            "expires_at": expires_at(now),
        },
    }
    link = {
        "TableName": TABLE,
        "Item": {
            "pk": {"S": f"LINK#{hashlib.sha256(token.encode()).hexdigest()}"},
            "sk": {"S": "LINK"},
            **owner,
            "valid_until": {"N": str(valid_until)},
            "expires_at": {"N": str(valid_until // 1000 + 7 * 86_400)},
        },
    }
    puts = [{"Put": put} for put in (pointer, newest, link)]
    dynamodb.transact_write_items(TransactItems=[{"Update": update}, *puts])
    return f"{os.environ['PAY_LINK_BASE']}/pay#{token}"


def create(client: stripe.StripeClient, body: str) -> dict[str, Any]:
    """Makes the intent of an order."""
    order = read(body)
    now = time.time_ns() // 1_000_000
    record = begin(order, now)
    if (record["amount_minor"]["N"], record["currency"]["S"]) != (
        str(order.amount_minor),
        order.currency,
    ):
        raise Refused(409, "order_changed")
    if record["status"]["S"] != "CREATING":
        raise Refused(409, "in_progress")
    uid = record["payment_uid"]["S"]
    params: Any = {
        "amount": order.amount_minor,
        "currency": order.currency,
        "allowed_payment_method_types": ["card"],
        "capture_method": "automatic",
        "metadata": {
            "payment_uid": uid,
            "conversation_id": order.conversation_id,
            "order_id": order.order_id,
            "attempt": "1",
        },
    }
    intent = client.v1.payment_intents.create(params, {"idempotency_key": f"{uid}/1"})
    if (intent.amount, intent.currency) != (order.amount_minor, order.currency):
        raise Refused(502, "stripe_rejected")
    payment_url = adopt(order, record, intent, now)
    line = {
        "timestamp": now,
        "level": "INFO",
        "message": "payment answered",
        "conversation_id": order.conversation_id,
        "order_id": order.order_id,
        "payment_intent_id": intent.id,
        "payment_status": "PENDING",
    }
    print(json.dumps(line), flush=True)
    return {
        "payment_status": "PENDING",
        "final": False,
        "payment_intent_id": intent.id,
        "stripe_status": intent.status,
        "conversation_id": order.conversation_id,
        "is_holder": True,
        "order_id": order.order_id,
        "attempt": 1,
        "amount": f"{order.amount_minor // 100}.{order.amount_minor % 100:02}",
        "amount_minor": order.amount_minor,
        "amount_received_minor": intent.amount_received,
        "currency": order.currency,
        "payment_url": payment_url,
        "client_secret": "",
        "reason_code": "",
        "caller_message": "The payment is waiting for you.",
        "retryable": False,
    }


def handle(client: stripe.StripeClient, event: dict[str, Any]) -> dict[str, Any]:
    """An event's answer."""
    try:
        status, kind, body = 201, "application/json", create(client, event["body"])
    except Exception as error:  # Whatever it is, the caller gets an answer.
        refused = error if isinstance(error, Refused) else Refused(503, "unavailable")
        print(
            json.dumps({"level": "WARN", "code": refused.code, "error": repr(error)}),
            file=sys.stderr,
        )
        status, kind, body = refused.status, "application/problem+json", {"code": refused.code}
    return {
        "statusCode": status,
        "headers": {"content-type": kind},
        "multiValueHeaders": {},
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }


def main() -> None:
    client = stripe_client()
    # Opens the connections before the first event; what fails here fails there.
    with suppress(Exception):
        dynamodb.get_item(
            TableName=TABLE,
            Key={"pk": {"S": "SETTINGS"}, "sk": {"S": "SETTINGS"}},
            ConsistentRead=True,
        )
        client.raw_request("get", "/healthcheck")
    # What the managed runtime does.
    api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    while True:
        api.request("GET", "/2018-06-01/runtime/invocation/next")
        response = api.getresponse()
        event = json.loads(response.read())
        request_id = response.headers["Lambda-Runtime-Aws-Request-Id"]
        answer = json.dumps(handle(client, event))
        api.request("POST", f"/2018-06-01/runtime/invocation/{request_id}/response", answer)
        api.getresponse().read()


if __name__ == "__main__":
    main()
