"""Runs one command that may take long, and says so while it does.

    step.py LOG "what it does" COMMAND ARGUMENT...

The command's output goes to LOG; what it does, the seconds it has taken so far and, when it fails, the end of LOG go
to the terminal. Exits as the command does. Needs nothing but Python's standard library.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

#: Seconds between two lines about the same step.
TICK = 10
#: Lines of LOG to show when the command fails.
TAIL = 40


def last_line(log: str) -> str:
    """What the command has said last."""
    lines = Path(log).read_text(errors="replace").splitlines()
    return lines[-1].strip() if lines else ""


def main() -> int:
    log, what, *command = sys.argv[1:]
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    quick = True
    with open(log, "wb") as out:
        # Cargo would take the jobs of a parallel make for its own, and cannot reach them.
        env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS")}
        child = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        while True:
            try:
                code = child.wait(1 if quick else TICK)
                break
            except subprocess.TimeoutExpired:
                elapsed = time.monotonic() - began
                print(f"{what} ... {elapsed:.0f} s: {last_line(log)}" if not quick else f"{what} ...", flush=True)
                quick = False
            except KeyboardInterrupt:
                # The terminal has told the command too.
                child.wait()
                return 130
    elapsed = time.monotonic() - began
    if code != 0:
        print(f"{what}: failed after {elapsed:.1f} s, the end of {log}:", flush=True)
        lines = Path(log).read_text(errors="replace").splitlines()
        print("\n".join(lines[-TAIL:]), flush=True)
    else:
        print(f"{what}: done in {elapsed:.1f} s", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
