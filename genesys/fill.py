"""Writes the Data Actions with the addresses of a deployed stack, ready to import.

    sam list stack-outputs --stack-name phone-payments --output json | python3 genesys/fill.py .local/genesys

Reads the stack's outputs from standard input and replaces the placeholders of every file; nothing else changes. Needs
nothing but Python's standard library.
"""

import json
import re
import sys
from pathlib import Path

DATA_ACTIONS = Path(__file__).resolve().parent / "data-actions"

ARN = r"arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:function:[A-Za-z0-9_-]+"

#: What stands in the files, the output that takes its place, and what that looks like.
PLACEHOLDERS = (
    ("https://API_ID.execute-api.REGION.amazonaws.com/v1", "ApiUrl", r"https://[A-Za-z0-9.-]+/[A-Za-z0-9_-]+"),
    ("arn:aws:lambda:REGION:ACCOUNT_ID:function:CREATE_INTENT_FUNCTION", "CreateIntentFunctionArn", ARN),
    ("arn:aws:lambda:REGION:ACCOUNT_ID:function:STATUS_QUERY_FUNCTION", "StatusQueryFunctionArn", ARN),
)


def fill(text: str, outputs: dict[str, str]) -> str:
    for placeholder, output, _ in PLACEHOLDERS:
        text = text.replace(placeholder, outputs[output])
    return text


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        outputs = {output["OutputKey"]: output["OutputValue"] for output in json.load(sys.stdin)}
    except (ValueError, TypeError, KeyError):
        print("standard input is not a stack's list of outputs", file=sys.stderr)
        return 1
    wrong = [name for _, name, form in PLACEHOLDERS if not re.fullmatch(form, outputs.get(name, ""))]
    if wrong:
        complaint = f"missing or malformed outputs: {', '.join(wrong)}"
        print(f"{complaint}. Is it the right stack, and deployed anew?", file=sys.stderr)
        return 1
    for file in sorted(DATA_ACTIONS.rglob("*.custom.json")):
        written = Path(sys.argv[1]) / file.relative_to(DATA_ACTIONS)
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(fill(file.read_text(encoding="utf-8"), outputs), encoding="utf-8")
        print(written)
    return 0


if __name__ == "__main__":
    sys.exit(main())
