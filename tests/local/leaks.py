"""Searches what a run has written for what must be nowhere: keys, client secrets, tokens, signatures, card numbers."""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from stack import FUNCTIONS, Stack, StackError


def secrets_of(stack: Stack) -> dict[str, str]:
    """The stack's own secrets, with what each is."""
    secrets = stack.secrets
    pair = f"{secrets.genesys_client_id}:{secrets.genesys_client_secret}"
    return {
        secrets.stripe_key: "Stripe's secret key",
        secrets.webhook_secret: "the webhook secret",
        secrets.genesys_client_secret: "the Genesys client secret",
        base64.b64encode(pair.encode()).decode(): "the Genesys credentials",
        stack.api_key: "the API key",
    }


def signature_of(header: str) -> str:
    """What is secret of a Stripe-Signature header."""
    return header.partition("v1=")[2]


def token_of(payment_url: str) -> str:
    """What is secret of a pay link."""
    return payment_url.rpartition("#")[2]


def written(stack: Stack) -> dict[str, list[str]]:
    """Every line that the functions have logged and every item that they have stored, by where it is."""
    places = {f"the log of {function}": stack.function_logs(function) for function in FUNCTIONS}
    for place, lines in places.items():
        # A search that finds nothing means something only where something was written.
        if all(re.match(r"(START|END|REPORT) RequestId", line) for line in lines):
            raise StackError(f"{place} is empty")
    places["the output of the emulated Lambda"] = stack.ministack.lines
    places["the table"] = [json.dumps(item) for item in stack.items()]
    return places


def found(
    lines: Iterable[str],
    secrets: Mapping[str, str],
    cards: Iterable[str] = (),
    words: Mapping[str, str] = MappingProxyType({}),
) -> set[str]:
    """What of it is in the lines. `words` are secrets too many to be looked for one by one, in letters and digits."""
    text = "\n".join(lines)
    digits = re.sub(r"[ -]", "", text)
    return {
        *(what for secret, what in secrets.items() if secret in text),
        *(words[word] for word in set(re.findall(r"\w{16,}", text)) & words.keys()),
        *("a card number" for card in cards if card in digits),
        *(["a token"] if re.search(r"bearer\s+[\w.-]{8}", text, re.IGNORECASE) else []),
    }
