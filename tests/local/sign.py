"""Signs a webhook event file anew, as Stripe would now.

    STRIPE_WEBHOOK_SECRET=whsec_... python3 tests/local/sign.py events/stripe-webhook.succeeded.json \\
        | sam local invoke StripeWebhookFunction -e -

The event's body stays as it is, byte for byte. In the Stripe-Signature header the timestamp and the first signature are
replaced; any further signature stays.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from pathlib import Path
from typing import Any


def signature(secret: str, body: bytes, timestamp: int) -> str:
    """The value of the Stripe-Signature header."""
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    return f"t={timestamp},v1={digest.hexdigest()}"


def signed(event: dict[str, Any], secret: str, timestamp: int) -> dict[str, Any]:
    """The Function URL event with a signature that holds at this time."""
    body: bytes = event["body"].encode()
    if event.get("isBase64Encoded"):
        body = base64.b64decode(body)
    _timestamp, _first, *further = event["headers"]["stripe-signature"].split(",")
    header = ",".join([signature(secret, body, timestamp), *further])
    return {**event, "headers": {**event["headers"], "stripe-signature": header}}


def main() -> int:
    if len(sys.argv) != 2 or not os.environ.get("STRIPE_WEBHOOK_SECRET"):
        print(__doc__, file=sys.stderr)
        return 2
    event = json.loads(Path(sys.argv[1]).read_text())
    json.dump(signed(event, os.environ["STRIPE_WEBHOOK_SECRET"], int(time.time())), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
