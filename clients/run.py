#!/usr/bin/env python3
"""Software that nobody here wrote sends to a real server, and what it sent is read back.

    clients/run.py --binary target/release/tidegate [--install] [--only NAME]

Each client is a case: its own server on free ports, a time limit, and a check of every field it sent. A client that is
not installed is skipped and named; where CI is set it is a failure. `--install` fetches those that PyPI and npm have."""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tidegate import Failed, Server, arguments, expect, in_ci, run, until

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tidegate-clients"
PYTHON = CACHE / "venv/bin/python"
NODE_FOLDER = CACHE / "node"
NPM_CLIENT = "riemann@2.2.0"


class Skipped(Exception):
    """The client is not here."""


def program(name, package):
    """Where a program is; also in the folders of daemons."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if not found:
        raise Skipped(f"{name} is not installed (Debian package {package})")
    return found


def install():
    """Fetches the clients that PyPI and npm have."""
    if not PYTHON.exists():
        run([sys.executable, "-m", "venv", CACHE / "venv"], 120)
    run([PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", HERE / "requirements.txt"], 300)
    if shutil.which("npm"):
        NODE_FOLDER.mkdir(parents=True, exist_ok=True)
        run(["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", NODE_FOLDER, NPM_CLIENT], 300)


def python(module, script, *parameters):
    """Runs a script with a client of PyPI's; what it prints is read as JSON."""
    if not PYTHON.exists() or subprocess.run([PYTHON, "-c", f"import {module}"], capture_output=True).returncode:
        raise Skipped(f"PyPI's {module} is not installed: run {Path(__file__).name} --install")
    return json.loads(run([PYTHON, "-c", script, *parameters]))


def one(server, query):
    """The one event that matches, as soon as it is there."""
    events = until(10, f"an event that matches {query}", lambda: server.query(query))
    expect(len(events) == 1, f"{query} found {events}")
    return events[0]


def same(found, wanted):
    """Every field that was sent is there as it was sent."""
    for name, value in wanted.items():
        expect(found.get(name) == value, f"{name} was sent as {value!r}, found {found.get(name)!r} in {found}")


def debian_c_client(server):
    client = program("riemann-client", "riemann-c-client")
    host, port = server.tcp
    for protocol, address in (("--tcp", server.tcp), ("--udp", server.udp)):
        run([client, "send", "--host", "web-1", "--service", f"c {protocol}", "--state", "warning", "--metric-d", "12.5",
             "--ttl", "120", "--tag", "prod", "--tag", "eu", "--attribute", "zone=a", "--description", "caffè",
             protocol, address[0], address[1]])
        same(one(server, f'service = "c {protocol}"'), {
            "host": "web-1", "state": "warning", "metric": 12.5, "ttl": 120.0, "tags": ["prod", "eu"], "zone": "a",
            "description": "caffè"})
    run([client, "send", "--service", "c int", "--metric-sint64", "-9007199254740993", host, port])
    same(one(server, 'service = "c int"'), {"metric": -9007199254740993})
    answer = json.loads(run([client, "query", 'tagged "prod" and service = "c --tcp"', "--json", host, port]))
    expect(len(answer) == 1 and answer[0]["service"] == "c --tcp", f"query: {answer}")
    expect("c --udp" in run([client, "query", 'service = "c --udp"', host, port]), "query as text")
    wrong = subprocess.run([client, "query", "service = ", host, str(port)], capture_output=True, text=True, timeout=30)
    expect(wrong.returncode != 0, f"a query that does not parse is refused, found {wrong.stdout}")


def pypi_riemann_client(server):
    script = """
import json, sys
from riemann_client.client import Client, QueuedClient
from riemann_client.transport import TCPTransport, UDPTransport
host, tcp, udp = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with Client(TCPTransport(host, tcp)) as client:
    client.event(host="web-2", service="py one", state="ok", metric_d=0.25, ttl=60, tags=["x"], attributes={"role": "db"},
                 description="one")
    found = client.query('service = "py one"')
with QueuedClient(TCPTransport(host, tcp)) as client:
    for n in range(500):
        client.event(service="py queued %d" % n, metric_sint64=n)
    client.flush()
with Client(UDPTransport(host, udp)) as client:
    client.event(service="py udp", metric_f=1.5)
print(json.dumps(found))
"""
    (host, tcp), (_, udp) = server.tcp, server.udp
    found = python("riemann_client", script, host, str(tcp), str(udp))
    expect(len(found) == 1, f"query found {found}")
    same(found[0], {"host": "web-2", "service": "py one", "state": "ok", "tags": ["x"], "attributes": {"role": "db"}})
    same(one(server, 'service = "py one"'), {"metric": 0.25, "role": "db", "description": "one", "ttl": 60.0})
    same(one(server, 'service = "py udp"'), {"metric": 1.5})
    queued = server.query('service =~ "py queued %"')
    expect({event["metric"] for event in queued} == set(range(500)), f"{len(queued)} of 500 queued events arrived")


def pypi_bernhard(server):
    script = """
import json, sys, bernhard
host, tcp, udp = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
client = bernhard.Client(host=host, port=tcp, transport=bernhard.TCPTransport)
client.send({"host": "web-3", "service": "bernhard", "metric": 42, "state": "critical", "ttl": 30.0, "tags": ["a", "b"],
             "attributes": {"k": "v"}, "description": "d"})
found = [{"service": e.service, "state": e.state, "host": e.host} for e in client.query('service = "bernhard"')]
bernhard.Client(host=host, port=udp, transport=bernhard.UDPTransport).send({"service": "bernhard udp", "metric": 7})
print(json.dumps(found))
"""
    (host, tcp), (_, udp) = server.tcp, server.udp
    found = python("bernhard", script, host, str(tcp), str(udp))
    expect(found == [{"service": "bernhard", "state": "critical", "host": "web-3"}], f"query found {found}")
    same(one(server, 'service = "bernhard"'), {"metric": 42, "tags": ["a", "b"], "k": "v", "ttl": 30.0, "description": "d"})
    same(one(server, 'service = "bernhard udp"'), {"metric": 7})


def npm_riemann(server):
    node = program("node", "nodejs")
    if not (NODE_FOLDER / "node_modules/riemann").is_dir():
        raise Skipped(f"npm's riemann is not installed: run {Path(__file__).name} --install")
    script = """
const client = require("riemann").createClient({ host: process.argv[2], port: Number(process.argv[3]) });
client.on("connect", () => {
  client.send(client.Event({ host: "web-4", service: "node", metric: 2.5, tags: ["n"], ttl: 45, state: "ok" }), client.tcp);
  client.once("data", () => {
    client.send(client.Query({ string: 'service = "node"' }), client.tcp);
    client.once("data", (answer) => {
      console.log(JSON.stringify(answer.events.map((event) => [event.host, event.service])));
      client.disconnect();
    });
  });
});
"""
    file = NODE_FOLDER / "send.js"
    file.write_text(script)
    host, port = server.tcp
    found = json.loads(run([node, file, host, port], 30, cwd=NODE_FOLDER))
    expect(found == [["web-4", "node"]], f"query found {found}")
    same(one(server, 'service = "node"'), {"host": "web-4", "metric": 2.5, "tags": ["n"], "ttl": 45.0, "state": "ok"})


@contextlib.contextmanager
def collectd(server, protocol, folder, listener="riemann tcp"):
    """A collectd that reports this machine's load and memory every second."""
    daemon = program("collectd", "collectd-core")
    host, port = server.address(listener)
    config = Path(folder) / "collectd.conf"
    config.write_text(f"""
Hostname "collected"
FQDNLookup false
BaseDir "{folder}"
PIDFile "{folder}/collectd.pid"
Interval 1
LoadPlugin logfile
<Plugin logfile>
  LogLevel info
  File stderr
</Plugin>
LoadPlugin load
LoadPlugin memory
LoadPlugin write_riemann
<Plugin write_riemann>
  <Node "tidegate">
    Host "{host}"
    Port "{port}"
    Protocol {protocol}
    Batch false
    TTLFactor 5.0
  </Node>
  Tag "from-collectd"
  Attribute "rack" "r1"
</Plugin>
""")
    with open(Path(folder) / "collectd.log", "wb") as log:
        process = subprocess.Popen([daemon, "-f", "-C", config], stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def collectd_write_riemann(server):
    for protocol in ("TCP", "UDP"):
        with tempfile.TemporaryDirectory() as folder, collectd(server, protocol, folder, f"riemann {protocol.lower()}"):
            query = 'host = "collected" and tagged "from-collectd" and service =~ "load%"'
            try:
                events = until(20, f"collectd over {protocol}", lambda: len(found := server.query(query)) >= 3 and found)
            except Failed as failure:
                raise Failed(f"{failure}\n{(Path(folder) / 'collectd.log').read_text()}") from None
            for event in events:
                same(event, {"plugin": "load", "rack": "r1", "ttl": 5.0, "ds_type": "gauge"})
            first = {event["service"]: event["time"] for event in events}
            until(10, "newer events", lambda: all(
                event["time"] > first.get(event["service"], "") for event in server.query(query)))
            memory = server.query('host = "collected" and service =~ "memory%" and metric > 0')
            expect(memory, "collectd's memory events have metrics")
        # What stops reporting expires by itself: five intervals, and then it is gone.
        until(20, "collectd's streams to expire", lambda: not server.query('host = "collected"'))


CASES = {
    "Debian riemann-c-client": debian_c_client,
    "PyPI riemann-client": pypi_riemann_client,
    "PyPI bernhard": pypi_bernhard,
    "npm riemann": npm_riemann,
    "Debian collectd, write_riemann": collectd_write_riemann,
}


def main():
    parser = arguments(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter))
    parser.add_argument("--install", action="store_true", help="first fetch the clients that PyPI and npm have")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    options = parser.parse_args()
    if options.install:
        install()
    report, failed = [], 0
    for name, case in CASES.items():
        if options.only.lower() not in name.lower():
            continue
        began = time.monotonic()
        try:
            with tempfile.TemporaryDirectory(prefix="tidegate-clients-") as folder, Server(options.binary, folder) as server:
                case(server)
                refused = server.total("tidegate_input_events_rejected_total") + server.total("tidegate_input_events_shed_total")
                expect(refused == 0, f"the server refused {refused} events")
            outcome = "passed"
        except Skipped as reason:
            outcome = f"FAILED   {reason}" if in_ci() else f"skipped  {reason}"
        except Failed as failure:
            outcome = f"FAILED   {failure}"
        failed += outcome.startswith("FAILED")
        report.append(f"{name:<32} {time.monotonic() - began:6.1f} s  {outcome}")
        print(report[-1], flush=True)
    passed = sum("  passed" in line for line in report)
    print(f"{passed} of {len(report)} clients passed, {failed} failed, {len(report) - passed - failed} skipped")
    sys.exit(1 if failed or not report else 0)


if __name__ == "__main__":
    main()
