"""Writes the flows with the names of your organization, ready for Archy or for Architect's import.

    python3 genesys/flow/fill.py values.json .local/genesys/flow

Takes the values from a JSON file like values.example.json; nothing else changes. Needs nothing but Python's standard
library.
"""

import json
import re
import sys
from pathlib import Path

FLOWS = sorted(Path(__file__).resolve().parent.glob("*.yaml"))

PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")

#: Every placeholder stands within double quotes, where these characters would mean something else.
PLAIN = re.compile(r'[^"\\{}\x00-\x1f\x7f]+')

E164 = re.compile(r"\+[1-9][0-9]{6,14}")


def wrong_with(values: object, wanted: set[str]) -> str | None:
    """What is wrong with the values, if anything is."""
    if not isinstance(values, dict):
        return "no JSON object"
    if missing := wanted - values.keys():
        return f"missing: {', '.join(sorted(missing))}"
    if unknown := values.keys() - wanted:
        return f"unknown: {', '.join(sorted(unknown))}"
    for name, value in values.items():
        if not isinstance(value, str) or not PLAIN.fullmatch(value):
            return f"{name} wants a text without quotes, backslashes, braces and line breaks"
    if not E164.fullmatch(values["sms_from_address"]):
        return "sms_from_address wants a number such as +12025550143"
    return None


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    texts = {flow.name: flow.read_text(encoding="utf-8") for flow in FLOWS}
    try:
        values = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        print(f"{sys.argv[1]}: {error}", file=sys.stderr)
        return 1
    if wrong := wrong_with(values, {name for text in texts.values() for name in PLACEHOLDER.findall(text)}):
        print(f"{sys.argv[1]}: {wrong}", file=sys.stderr)
        return 1
    target = Path(sys.argv[2])
    target.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (target / name).write_text(PLACEHOLDER.sub(lambda found: values[found[1]], text), encoding="utf-8")
        print(target / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
