"""Finds dependencies that nobody names: runs cargo-shear, and leaves out the one kind of finding that is meant here.

The manifests below tests/ hold among their dependencies what only tests use, for the reason that tests/Cargo.toml gives;
cargo-shear would move those to the dev-dependencies. It is still told when nobody uses one at all. Exits with 1 when
anything is left over.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MEANT = [
    ("shear/misplaced_dependency", f"tests/{folder}Cargo.toml") for folder in ("", "card_guard/", "model/")
]


def main() -> int:
    command = ["cargo", "shear", "--locked", "--format=json"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    try:
        findings = json.loads(ran.stdout)["findings"]
    except (ValueError, KeyError):
        print(f"{' '.join(command)} failed:\n{ran.stdout}{ran.stderr}")
        return 1
    found = [finding for finding in findings if (finding["code"], finding.get("file")) not in MEANT]
    for finding in found:
        print(f"{finding.get('file', 'the workspace')}: {finding['message']}; {finding.get('help', '')}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
