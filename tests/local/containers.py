"""Docker for `sam local invoke`: the daemon that is there or one of our own, AWS's base image or a stand-in for it."""

import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from stack import LOCAL, READY, Say, StackError, running, uninterrupted

ARCHITECTURE = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
#: The base image `sam local invoke` looks for, and the one it derives from it.
BASE_IMAGE = f"public.ecr.aws/lambda/provided:al2023-{ARCHITECTURE}"
DERIVED_IMAGE = f"public.ecr.aws/lambda/provided:al2023-rapid-{ARCHITECTURE}"
#: Seconds to pull the base image in.
PULL = 300


@contextmanager
def docker(say: Say) -> Iterator[None]:
    """A Docker daemon with the base image in it; `DOCKER_HOST` names it meanwhile."""
    if not answers():
        install("dockerd", "docker.io", say)
        install("docker", "docker-cli", say)
    # Where there is an init system, installing has started one.
    if not answers():
        with own_daemon(say):
            provide_base_image(say)
            yield
        return
    say("using the Docker daemon that is running")
    made = provide_base_image(say)
    try:
        yield
    finally:
        if made:
            # Nobody else on this daemon shall take a Debian for Amazon Linux.
            run("docker", "image", "rm", "--force", BASE_IMAGE, DERIVED_IMAGE, check=False)


def bridge_address() -> str:
    """This machine's address on Docker's bridge: where containers reach it."""
    config = json.loads(run("docker", "network", "inspect", "bridge"))[0]["IPAM"]["Config"][0]
    gateway: str = config.get("Gateway") or config["Subnet"].rsplit(".", 1)[0] + ".1"
    return gateway


def answers() -> bool:
    """Whether a daemon answers."""
    if shutil.which("docker") is None:
        return False
    # `docker info` succeeds without a daemon; `docker version` with a server field does not.
    asked = subprocess.run(["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True)
    return asked.returncode == 0


def run(*command: str, check: bool = True) -> str:
    """The output of a short command."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if check and done.returncode != 0:
        raise StackError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def run_long(say: Say, what: str, *command: str, env: dict[str, str] | None = None) -> None:
    """A command that takes long, telling that it does."""
    log = log_file(command[0])
    began = time.monotonic()
    say(what)
    with running(command[0], list(command), {**os.environ, **(env or {})}, log) as process:
        code = process.wait(lambda: say(f"{what} ({time.monotonic() - began:.0f} s)"))
    if code != 0:
        raise StackError(f"{what} failed, the end of {log}:\n" + "\n".join(process.lines[-20:]))


def install(program: str, package: str, say: Say) -> None:
    """Installs a Debian package where its program is missing."""
    if shutil.which(program) is not None:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise StackError(f"{program} is missing; install {package}, or start Docker, or run this as root on Debian")
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    run_long(say, "reading Debian's package lists", "apt-get", "update", env=env)
    run_long(say, f"installing {package}", "apt-get", "install", "--yes", "--no-install-recommends", package, env=env)


@contextmanager
def own_daemon(say: Say) -> Iterator[None]:
    """Starts a daemon that leaves the machine's network alone; it and its bridge are gone afterwards."""
    if os.geteuid() != 0:
        raise StackError("no Docker daemon answers; start Docker, or run this as root, so that one can be started")
    # The socket's path must be short, and a system daemon's files are not ours.
    folder = tempfile.TemporaryDirectory(prefix="phone-payments-docker-", ignore_cleanup_errors=True)
    with folder as state, ExitStack() as ends:
        os.environ["DOCKER_HOST"] = f"unix://{state}/docker.sock"
        ends.callback(os.environ.pop, "DOCKER_HOST")
        if not Path("/sys/class/net/docker0").exists() and shutil.which("ip"):
            ends.callback(run, "ip", "link", "delete", "docker0", check=False)
        # Layers on top of each other need a kernel and a file system that can; plain copies work anywhere.
        try:
            start_daemon("overlay2", state, ends, say)
        except StackError as failure:
            say(f"{failure}; trying without layers")
            start_daemon("vfs", state, ends, say)
        yield


def start_daemon(storage_driver: str, state: str, ends: ExitStack, say: Say) -> None:
    """Starts a daemon, to be stopped by `ends`, and waits until it answers."""
    say(f"starting a Docker daemon ({storage_driver})")
    command = [
        "dockerd",
        "--host", os.environ["DOCKER_HOST"],
        "--pidfile", f"{state}/docker.pid",
        "--exec-root", f"{state}/exec",
        "--data-root", str(LOCAL / "docker" / storage_driver),
        "--storage-driver", storage_driver,
        # Containers talk to this machine only, over the bridge: no address translation is needed.
        "--iptables=false",
        "--ip6tables=false",
    ]  # fmt: skip
    with uninterrupted():
        daemon = ends.enter_context(running("dockerd", command, os.environ, log_file("dockerd")))
    daemon.wait_for("API listen on", READY)


def log_file(program: str) -> Path:
    """Where a program's output goes."""
    folder = LOCAL / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{program}.log"


def provide_base_image(say: Say) -> bool:
    """Sees to it that the base image is there; says whether it had to be made."""
    if run("docker", "image", "ls", "--quiet", BASE_IMAGE).strip():
        return False
    say(f"pulling {BASE_IMAGE}")
    try:
        pulled = subprocess.run(["docker", "pull", "--quiet", BASE_IMAGE], capture_output=True, timeout=PULL)
        if pulled.returncode == 0:
            return False
    except subprocess.TimeoutExpired:
        pass
    say("it cannot be pulled; making one from Debian, which has the C library the functions need")
    make_base_image(say)
    return True


def make_base_image(say: Say) -> None:
    """A minimal Debian with certificates, under the base image's name."""
    install("debootstrap", "debootstrap", say)
    if os.geteuid() != 0:
        raise StackError("debootstrap must run as root")
    suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "stable")
    with tempfile.TemporaryDirectory(prefix="phone-payments-debian-") as root:
        run_long(
            say, "making a Debian root", "debootstrap", "--variant=minbase", "--include=ca-certificates", suite, root
        )
        tar = subprocess.Popen(
            ["tar", "--create", "--directory", root, "--exclude=./var/cache", "--exclude=./var/lib/apt", "."],
            stdout=subprocess.PIPE,
        )
        imported = subprocess.run(
            ["docker", "import", "--change", "WORKDIR /var/task", "-", BASE_IMAGE],
            stdin=tar.stdout,
            capture_output=True,
        )
        if tar.wait() != 0 or imported.returncode != 0:
            raise StackError(f"docker import failed: {imported.stderr.decode()}")
