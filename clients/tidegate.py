"""A real server on free ports, what it says of itself, and just enough of Riemann's protocol to load it.

Standard library only. The clients under test are never this file: it starts servers, reads back over HTTP what others
have sent, and makes load for the drivers that kill and deploy."""

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

SETTINGS = """
[http]
address = "127.0.0.1:0"
[websocket]
address = "127.0.0.1:0"
[inputs.riemann]
type = "riemann"
tcp = "127.0.0.1:0"
udp = "127.0.0.1:0"
"""

# Answers do not come from a proxy, whatever this machine's environment says.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Failed(Exception):
    """What was expected did not happen."""


def expect(condition, message):
    """Fails with this message unless the condition holds."""
    if not condition:
        raise Failed(message)


def until(seconds, what, attempt, pause=0.05):
    """Repeats `attempt` until it returns something true; says what was waited for when it does not."""
    deadline = time.monotonic() + seconds
    while True:
        found = attempt()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds} s for {what}")
        time.sleep(pause)


class Server:
    """A tidegate process with a data directory of its own, which outlives it."""

    def __init__(self, binary, data=None, settings=SETTINGS, name="server"):
        self.binary = str(Path(binary).resolve())
        self.folder = Path(data or tempfile.mkdtemp(prefix="tidegate-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config = self.folder / "tidegate.toml"
        self.config.write_text(settings)
        self.name = name
        self.process = None
        self.listeners = {}

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.stop()

    def start(self, patience=60):
        """Starts it, and returns how many seconds it took to be ready."""
        began = time.monotonic()
        self.listeners = {}
        log = open(self.folder / "server.log", "ab")
        self.process = subprocess.Popen(
            [self.binary, "run", "--config", str(self.config), "--data", str(self.folder / "data")],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, cwd=self.folder)
        log.close()
        ready = threading.Event()
        threading.Thread(target=self._listen, args=(self.process.stdout, ready), daemon=True).start()
        while not ready.wait(0.01):
            if self.process.poll() is not None and not ready.wait(0.2):
                raise Failed(f"{self.name} ended before it was ready ({self.process.returncode}):\n{self.log()}")
            if time.monotonic() - began > patience:
                self.kill()
                raise Failed(f"{self.name} was not ready within {patience} s:\n{self.log()}")
        return time.monotonic() - began

    def _listen(self, lines, ready):
        for line in lines:
            line = line.rstrip("\n")
            if line == "ready":
                ready.set()
            elif not ready.is_set() and " " in line:
                name, _, address = line.rpartition(" ")
                self.listeners[name.strip()] = address

    def log(self):
        """The last lines of what it said on standard error."""
        return "\n".join((self.folder / "server.log").read_text(errors="replace").splitlines()[-20:])

    def kill(self):
        """Ends it at once: `kill -9`."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, patience=30):
        """Asks it to stop, and fails unless it does so cleanly."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"{self.name} did not stop within {patience} s:\n{self.log()}") from None
        expect(code == 0, f"{self.name} stopped with {code}:\n{self.log()}")

    def address(self, name):
        """Host and port of a listener."""
        expect(name in self.listeners, f"{self.name} names no {name!r} listener; it names {sorted(self.listeners)}")
        host, _, port = self.listeners[name].removeprefix("http://").rstrip("/").rpartition(":")
        return host, int(port)

    @property
    def tcp(self):
        """Riemann over TCP."""
        return self.address("riemann tcp")

    @property
    def udp(self):
        """Riemann over UDP."""
        return self.address("riemann udp")

    @property
    def page(self):
        """The page, and everything that is asked over HTTP."""
        return self.listeners["page"].rstrip("/")

    def http(self, path, method="GET", body=None, kind="application/json", **params):
        """Asks over HTTP; the answer as text."""
        query = f"?{urllib.parse.urlencode(params)}" if params else ""
        headers = {"content-type": kind} if body is not None else {}
        request = urllib.request.Request(f"{self.page}{path}{query}", data=body, method=method, headers=headers)
        try:
            with OPENER.open(request, timeout=60) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            raise Failed(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from None

    def query(self, query, limit=10_000):
        """The events of the index that match; all of them, or it fails."""
        answer = json.loads(self.http("/api/v1/query", q=query, limit=limit))
        expect(not answer["truncated"], f"more than {limit} events match {query}")
        return answer["events"]

    def rule(self, name):
        """What is known of a rule, or None."""
        rules = json.loads(self.http("/api/v1/rules"))["rules"]
        return next((rule for rule in rules if rule["name"] == name), None)

    def deploy(self, module, name, to=None, query=None, **settings):
        """Deploys a module."""
        params = {f"set.{key}": value for key, value in settings.items()}
        params |= {f"to.{key}": value for key, value in (to or {}).items()}
        if query:
            params["query"] = query
        body = Path(module).read_bytes()
        return json.loads(self.http(f"/api/v1/rules/{name}", "PUT", body, "application/wasm", **params))

    def command(self, *words):
        """Runs one of the program's own commands against this server."""
        return run([self.binary, *words], env=os.environ | {"TIDEGATE_SERVER": self.page})

    def metrics(self):
        """All counters: {(name, frozenset of (label, value)): value}."""
        found = {}
        for line in self.http("/metrics").splitlines():
            match = re.fullmatch(r"([a-z0-9_:]+)(?:\{(.*)\})? (\S+)", line)
            if match:
                labels = frozenset(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', match[2] or ""))
                found[match[1], labels] = float(match[3])
        return found

    def total(self, name, **labels):
        """The sum of a counter's series that have these labels."""
        wanted = set(labels.items())
        return sum(value for (found, has), value in self.metrics().items() if found == name and wanted <= has)


def arguments(parser):
    """What every driver is told."""
    parser.add_argument("--binary", "--server-binary", required=True, help="the tidegate program")
    return parser


def in_ci():
    """Whether a missing program is a failure."""
    return os.environ.get("CI", "") not in ("", "0", "false")


def run(command, seconds=60, **more):
    """Runs a program; fails with what it said unless it ends well in time."""
    command = [str(part) for part in command]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=seconds, **more)
    except subprocess.TimeoutExpired:
        raise Failed(f"{' '.join(command)}: not done within {seconds} s") from None
    expect(done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Workshop:
    """Writes and builds rules as an author would: `tidegate new`, a source, `tidegate build`."""

    def __init__(self, binary, folder):
        self.binary = str(Path(binary).resolve())
        self.folder = Path(folder)
        # The SDK is compiled once for all of them, and nothing is left in the home directory.
        self.environment = os.environ | {
            "CARGO_TARGET_DIR": str(self.folder / "target"), "TIDEGATE_HOME": str(self.folder / "home")}

    def new(self, name):
        """A rule as `tidegate new` makes it; its folder."""
        run([self.binary, "new", name], 120, cwd=self.folder, env=self.environment)
        return self.folder / name

    def build(self, name):
        """The module of a rule's folder."""
        module = self.folder / f"{name}.wasm"
        run([self.binary, "build", self.folder / name, "--out", module], 600, cwd=self.folder, env=self.environment)
        return module

    def ours(self, name):
        """The module of one of the rules in `clients/rules`."""
        source = Path(__file__).resolve().parent / "rules" / f"{name}.rs"
        (self.new(name) / "src/lib.rs").write_text(source.read_text())
        return self.build(name)


# Riemann's messages, as far as the drivers speak them.


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def event(host, service, metric, ttl=86_400.0, state="ok"):
    """One event as protobuf."""
    body = field(2, state.encode()) + field(3, service.encode()) + field(4, host.encode())
    return body + b"\x45" + struct.pack("<f", ttl) + b"\x71" + struct.pack("<d", metric)


def frame(events):
    """A message of encoded events with its length in front."""
    message = b"".join(field(6, event) for event in events)
    return struct.pack(">I", len(message)) + message


class Connection:
    """Riemann over TCP: frames out, answers in."""

    def __init__(self, address, patience=30):
        self.socket = socket.create_connection(address, timeout=patience)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def send(self, frames):
        self.socket.sendall(frames)

    def _take(self, count):
        while len(self.buffer) < count:
            more = self.socket.recv(1 << 16)
            if not more:
                raise ConnectionError("the server closed the connection")
            self.buffer += more
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def answer(self):
        """Waits for one answer: None when it is ok, else why not."""
        (length,) = struct.unpack(">I", self._take(4))
        message = self._take(length)
        at, ok, error = 0, None, None
        while at < len(message):
            tag, at = read_varint(message, at)
            if tag & 7 == 0:
                value, at = read_varint(message, at)
                if tag >> 3 == 2:
                    ok = value
            elif tag & 7 == 2:
                length, at = read_varint(message, at)
                if tag >> 3 == 3:
                    error = message[at:at + length].decode(errors="replace")
                at += length
            else:
                raise Failed(f"an answer with a field of wire type {tag & 7}")
        return None if ok == 1 else error or "no reason given"

    def close(self):
        self.socket.close()


def read_varint(message, at):
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def main(work):
    """Runs a driver: what failed is said in a line, not as a traceback."""
    try:
        work()
    except Failed as failure:
        print(f"failed: {failure}", file=sys.stderr)
        sys.exit(1)
