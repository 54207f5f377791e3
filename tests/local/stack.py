"""The local stack: AWS (ministack), Stripe (localstripe) and Genesys (the tests' own stand-in), with template.yaml
deployed by a real `sam deploy`. `soak.py` has another Stripe.

    stack.py [ADDRESS]      starts it, says where everything is, keeps it until Ctrl-C

Nothing is shared with other stacks or left behind: every port is a free one, every secret is made up for the run, every
part is its own process group, and whatever it writes is in a temporary folder or under `.local/`.
"""

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import boto3
from botocore.config import Config

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".venv" / "bin"
LOCAL = ROOT / ".local"
REGION = "us-east-1"
STACK_NAME = "phone-payments"
FUNCTIONS = ("create-intent", "stripe-webhook", "status-query")
#: Where template.yaml expects the functions, and which build of them runs here: `release` is that one.
BUILT = "target/lambda/"
PROFILE = os.environ.get("PROFILE", "dev")

#: Seconds a part has to be ready, and to end when it is told to.
READY, GONE = 30, 5
#: Seconds between two lines about something that takes long.
TICK = 5

#: Signals that end a program: Ctrl-C and its relatives.
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Say = Callable[[str], None]


class StackError(Exception):
    """The stack could not be brought up or asked."""


def stop_on_signals() -> None:
    """Makes SIGTERM and SIGHUP end the program as Ctrl-C does, through every `with` and `finally`."""

    def stop(number: int, _frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    for number in STOPPING[1:]:
        signal.signal(number, stop)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Puts signals off until the end of the block, so that what is started in it is also noted."""
    caught: list[int] = []
    before = {
        number: signal.signal(number, lambda caught_number, _frame: caught.append(caught_number)) for number in STOPPING
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for late in caught:
        os.kill(os.getpid(), late)


class Process:
    """A program in its own process group, whose output goes to a file and can be waited for."""

    def __init__(self, name: str, command: list[str], env: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self._lines: list[str] = []
        self._ended = False
        self._killed = False
        self._news = threading.Condition()
        self._child = subprocess.Popen(
            command,
            cwd=ROOT,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._child.stdout is not None
        with open(self.log, "w") as log:
            for line in self._child.stdout:
                log.write(line)
                log.flush()
                with self._news:
                    self._lines.append(line.rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def lines(self) -> list[str]:
        """What it has written so far."""
        with self._news:
            return list(self._lines)

    def wait_for(self, pattern: str, seconds: float, after: int = 0) -> re.Match[str]:
        """The first line that matches, of those after the first `after` lines; waits until it is written."""
        deadline = time.monotonic() + seconds
        with self._news:
            while True:
                for line in self._lines[after:]:
                    if match := re.search(pattern, line):
                        return match
                after = max(after, len(self._lines))
                if self._ended:
                    raise StackError(f"{self.name} ended without {pattern!r}, see {self.log}")
                if not self._news.wait(deadline - time.monotonic()) and time.monotonic() >= deadline:
                    raise StackError(f"{self.name} wrote no {pattern!r} within {seconds:.0f} s, see {self.log}")

    def wait(self, tick: Callable[[], None]) -> int:
        """Its exit code; calls `tick` every few seconds meanwhile."""
        while True:
            try:
                return self._child.wait(TICK)
            except subprocess.TimeoutExpired:
                tick()

    def stop(self) -> None:
        """Ends it and everything it has started."""
        if self._killed:
            return
        self._signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(GONE)
        # What is left of its group: a part that did not obey, or children that outlived it.
        self.kill()

    def kill(self) -> None:
        """Ends it and everything it has started at once, whatever they are doing."""
        self._signal(signal.SIGKILL)
        self._child.wait()
        self._reader.join(GONE)
        self._killed = True

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, number)


@contextmanager
def running(name: str, command: list[str], env: Mapping[str, str], log: Path) -> Iterator[Process]:
    """A process that is stopped at the end of the block."""
    process = None
    try:
        with uninterrupted():
            process = Process(name, command, env, log)
        yield process
    finally:
        if process is not None:
            with uninterrupted():
                process.stop()


@dataclass(frozen=True)
class Reply:
    """An HTTP answer, of whatever status."""

    status: int
    body: bytes
    content_type: str = ""

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            raise StackError(f"status {self.status} and no JSON: {self.body[:200]!r}") from None


def http(
    method: str,
    url: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 30,
) -> Reply:
    """One HTTP request, straight to the address: no proxy, no redirect is of use here."""
    request = urllib.request.Request(url, data=body, method=method, headers=dict(headers or {}))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout) as answer:
            return Reply(answer.status, answer.read(), answer.headers.get_content_type())
    except urllib.error.HTTPError as answer:
        with answer:
            return Reply(answer.code, answer.read(), answer.headers.get_content_type())


@dataclass(frozen=True)
class Secrets:
    """Everything secret of one run, made up for it."""

    stripe_key: str = field(default_factory=lambda: "sk_test_" + secrets.token_hex(24))
    publishable_key: str = field(default_factory=lambda: "pk_test_" + secrets.token_hex(24))
    webhook_secret: str = field(default_factory=lambda: "whsec_" + secrets.token_hex(24))
    genesys_client_id: str = field(default_factory=lambda: secrets.token_hex(16))
    genesys_client_secret: str = field(default_factory=lambda: secrets.token_hex(24))


#: What the stack lets people pay; the demo and events/ count on it.
POLICY = {
    "AllowedCurrencies": "usd,eur,gbp,jpy",
    "RegionCurrencies": "US=usd,EU=eur,GB=gbp,JP=jpy",
    "MaxAmounts": "usd=1000000,eur=1000000,gbp=1000000,jpy=1500000",
}


class Stack:
    """The running parts and the deployed stack. A context manager: leaving it stops everything."""

    def __init__(self, name: str, say: Say, host: str = "127.0.0.1") -> None:
        self.say = say
        self.host = host
        self.secrets = Secrets()
        self.logs = LOCAL / name
        self._parts = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._parts.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._parts.close()

    # ---- parts ----

    def _start(self) -> None:
        # A profile or an endpoint of whoever runs this has no say here.
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir(parents=True)
        (LOCAL / "home").mkdir(exist_ok=True)
        with uninterrupted():
            self.tmp = Path(tempfile.mkdtemp(prefix="phone-payments-"))
            self._parts.callback(shutil.rmtree, self.tmp, ignore_errors=True)

        self.say("starting AWS, Stripe and Genesys")
        aws_port = self._free_port()
        self.aws = f"http://{self.host}:{aws_port}"
        self.ministack = self._part(
            "ministack",
            [str(BIN / "python"), "-m", "ministack"],
            {
                "GATEWAY_PORT": str(aws_port),
                "BIND_HOST": self.host,
                "AWS_ENDPOINT_URL": self.aws,
                # Signatures are verified and every function has only what its role grants.
                "AUTH": "true",
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "STATE_DIR": f"{self.tmp}/state",
                "S3_DATA_DIR": f"{self.tmp}/s3",
                # No part of it but those behind the one port; functions run as processes, never in Docker.
                "IOT_MTLS_ENABLED": "0",
                "SFTP_ENABLED": "0",
                "DOCKER_HOST": f"unix://{self.tmp}/no-docker.sock",
            },
        )
        self.genesys_stand_in = self._part(
            "genesys",
            [str(ROOT / "target/debug/genesys-stand-in")],
            {
                "BIND": self.host,
                "GENESYS_CLIENT_ID": self.secrets.genesys_client_id,
                "GENESYS_CLIENT_SECRET": self.secrets.genesys_client_secret,
            },
        )
        self._start_stripe()
        self.ministack.wait_for("Running on http", READY)
        self.genesys = self.genesys_stand_in.wait_for(r"listening on (\S+)", READY)[1]

        self._deploy()
        self._fill_secrets()
        self._register_webhook()
        self._read_variables()

    def _start_stripe(self) -> None:
        """Starts Stripe; `self.stripe` is where. Here it is localstripe, which sends webhooks by itself."""
        command = [str(BIN / "python"), str(ROOT / "tests/local/stripe_server.py"), self.host, "0"]
        self.localstripe = self._part("localstripe", command, {})
        self.stripe = self.localstripe.wait_for(r"listening on (\S+)", READY)[1]

    def _register_webhook(self) -> None:
        """Tells Stripe where its webhooks go."""
        webhook = {"url": self.webhook, "secret": self.secrets.webhook_secret}
        registered = http("POST", f"{self.stripe}/_config/webhooks/phone-payments", json.dumps(webhook).encode())
        if registered.status != 200:
            raise StackError(f"localstripe took no webhook: {registered.status} {registered.body!r}")

    def _part(self, name: str, command: list[str], env: Mapping[str, str]) -> Process:
        with uninterrupted():
            return self._parts.enter_context(running(name, command, self.environment(env), self.logs / f"{name}.log"))

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """Nothing of the caller's environment but where programs are."""
        return {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(LOCAL / "home"),
            "TMPDIR": str(self.tmp),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            **more,
        }

    def _free_port(self) -> int:
        try:
            with socket.create_server((self.host, 0)) as listener:
                port: int = listener.getsockname()[1]
                return port
        except OSError as error:
            raise StackError(f"cannot listen on {self.host}: {error}") from None

    # ---- deployment ----

    def aws_environment(self) -> dict[str, str]:
        """How a program on this machine reaches the stack's AWS."""
        return {
            "AWS_ENDPOINT_URL": self.aws,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
        }

    def parameters(self) -> dict[str, str]:
        """Parameters of template.yaml."""
        return {
            **POLICY,
            "Architecture": os.environ.get("ARCH", "x86_64"),
            "GenesysDomain": "mypurecloud.com",
            "TableDeletionProtection": "false",
            "StripeApiBase": self.stripe,
            "GenesysApiBase": self.genesys,
            "GenesysLoginBase": self.genesys,
        }

    def _template(self) -> Path:
        """template.yaml or, for another build than the one it names, a copy that names this one, without its symbols."""
        template = ROOT / "template.yaml"
        if PROFILE == "release":
            return template
        text = template.read_text()
        for function in FUNCTIONS:
            folder = self.tmp / "functions" / function
            folder.mkdir(parents=True)
            built = ROOT / "target" / "debug" / function
            subprocess.run(["strip", "-o", folder / "bootstrap", built], check=True)
            if f"{BUILT}{function}/" not in text:
                raise StackError(f"template.yaml must name {BUILT}{function}/, and does not")
            text = text.replace(f"{BUILT}{function}/", f"{folder}/")
        copy = self.tmp / "template.yaml"
        copy.write_text(text)
        return copy

    def _deploy(self) -> None:
        self.say("deploying template.yaml with sam deploy")
        overrides = [f"{name}={value}" for name, value in self.parameters().items()]
        env = {**self.aws_environment(), "SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "0.5"}
        command = [
            str(BIN / "sam"), "deploy", "--template-file", str(self._template()),
            "--config-file", str(ROOT / "samconfig.toml"), "--config-env", "local",
            "--parameter-overrides", *overrides,
        ]  # fmt: skip
        began = time.monotonic()
        deployment = self._part("sam-deploy", command, env)
        code = deployment.wait(lambda: self.say(f"still deploying ({time.monotonic() - began:.0f} s)"))
        if code != 0:
            tail = "\n".join(deployment.lines[-30:])
            raise StackError(f"sam deploy failed, the end of {deployment.log}:\n{tail}")
        stack = self.client("cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"][0]
        self.outputs: dict[str, str] = {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]}
        # Emulated APIs and Function URLs are at the emulator's own address, under the host name AWS would give them.
        api_id, pages_id, webhook_id = (
            self.outputs[name].removeprefix("https://").split(".")[0] for name in ("ApiUrl", "PayUrl", "WebhookUrl")
        )
        self.api = f"{self.aws}/_aws/execute-api/{api_id}/v1"
        self.pages = f"{self.aws}/_aws/execute-api/{pages_id}/v1"
        self.webhook = f"{self.aws}/_aws/lambda-url/{webhook_id}/"
        key = self.client("apigateway").get_api_key(apiKey=self.outputs["ApiKeyId"], includeValue=True)
        self.api_key: str = key["value"]

    def _fill_secrets(self) -> None:
        values = {
            "StripeSecretArn": {
                "secret_key": self.secrets.stripe_key,
                "publishable_key": self.secrets.publishable_key,
                "webhook_secrets": [self.secrets.webhook_secret],
            },
            "GenesysSecretArn": {
                "client_id": self.secrets.genesys_client_id,
                "client_secret": self.secrets.genesys_client_secret,
            },
        }
        for output, value in values.items():
            self.client("secretsmanager").put_secret_value(
                SecretId=self.outputs[output], SecretString=json.dumps(value)
            )

    def _read_variables(self) -> None:
        """The environment of the deployed functions, as `sam local invoke --env-vars` reads it from a file."""
        functions = self.client("lambda").list_functions()["Functions"]
        self.variables = {name: value for f in functions for name, value in f["Environment"]["Variables"].items()}
        self.variables["AWS_ENDPOINT_URL"] = self.aws
        self.env_vars = self.logs / "env.json"
        self.env_vars.write_text(json.dumps({"Parameters": self.variables}, indent=2))

    def client(self, service: str) -> Any:
        """An AWS client of the stack."""
        return boto3.client(
            service,
            endpoint_url=self.aws,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(proxies={}, retries={"total_max_attempts": 1}),
        )

    # ---- what can be asked ----

    def page(self, payment_url: str) -> str:
        """Where a pay link leads here."""
        if not payment_url.startswith(self.outputs["PayUrl"] + "/pay#"):
            raise StackError("payment_url is no pay link of this stack")
        return self.pages + payment_url.removeprefix(self.outputs["PayUrl"])

    def open_conversation(self, conversation_id: str) -> None:
        """A call arrives at Genesys."""
        body = json.dumps({"conversation_id": conversation_id, "purpose": "customer"}).encode()
        opened = http("POST", f"{self.genesys}/_control/conversations", body)
        if opened.status != 201:
            raise StackError(f"Genesys opened no conversation: {opened.status} {opened.body!r}")

    def heard(self, conversation_id: str) -> dict[str, Any]:
        """What Genesys was told about a conversation."""
        told: dict[str, Any] = http("GET", f"{self.genesys}/_control/conversations/{conversation_id}").json()
        return told

    def at_stripe(self, path: str, parameters: Mapping[str, str] | None = None) -> Reply:
        """What Stripe answers its account's owner: to a GET or, with parameters, to a POST."""
        form = None if parameters is None else urllib.parse.urlencode(parameters).encode()
        headers = {"Authorization": f"Bearer {self.secrets.stripe_key}"}
        return http("GET" if form is None else "POST", self.stripe + path, form, headers)

    def function_logs(self, function: str) -> list[str]:
        """What a function has logged, oldest line first."""
        pages = self.client("logs").get_paginator("filter_log_events")
        group = f"/aws/lambda/{STACK_NAME}/{function}"
        return [event["message"] for page in pages.paginate(logGroupName=group) for event in page["events"]]

    def items(self) -> list[dict[str, Any]]:
        """Every item of the table, in DynamoDB's own JSON."""
        pages = self.client("dynamodb").get_paginator("scan")
        return [item for page in pages.paginate(TableName=self.outputs["TableName"]) for item in page["Items"]]


def main() -> int:
    stop_on_signals()
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)

    try:
        with Stack("stack", tell, *sys.argv[1:]) as stack:
            print(f"API       {stack.api}  (x-api-key: {stack.api_key})")
            print(f"Pay links {stack.pages}  (instead of {stack.outputs['PayUrl']})")
            print(f"Webhook   {stack.webhook}")
            print(f"AWS       {stack.aws}  (key and secret: test)")
            print(f"Stripe    {stack.stripe}")
            print(f"Genesys   {stack.genesys}")
            shell = stack.logs / "env.sh"
            exports = {**stack.aws_environment(), "STRIPE_WEBHOOK_SECRET": stack.secrets.webhook_secret}
            shell.write_text("".join(f"export {name}={value}\n" for name, value in exports.items()))
            print(f"For sam local invoke: source {shell.relative_to(ROOT)}, then")
            print(f"          --env-vars {stack.env_vars.relative_to(ROOT)}")
            print("Ctrl-C stops it.", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        pass
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
