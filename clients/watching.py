#!/usr/bin/env python3
"""Prometheus against a real server: what is counted, the alerts, and the board for Grafana.

    clients/watching.py --binary target/release/tidegate [--only NAME]

A server with rules, outputs, a rule that panics and an output that nobody answers. Then: `promtool check metrics` on the text
form, a strict reader of PyPI's on the OpenMetrics form, a real Prometheus that scrapes it with the alerts of
docs/prometheus loaded, and every query of docs/grafana asked there."""

import argparse
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

from run import PYTHON, Skipped, program
from tidegate import OPENER, SETTINGS, Connection, Failed, Server, Workshop, arguments, event, expect, frame, in_ci, main, run, until

DOCS = Path(__file__).resolve().parent.parent / "docs"
BOARD = DOCS / "grafana/tidegate.json"
ALERTS = DOCS / "prometheus/tidegate.rules.yml"
PLAYED = DOCS / "prometheus/tidegate.test.yml"

# `synced`, so that there are syncs to look at; an output that works, and one that nobody answers.
WATCHED = SETTINGS.replace("[http]", '[http]\nack = "synced"') + """
[log]
checkpoint = "1s"
[outputs.audit]
type = "file"
path = "audit.ndjson"
where = "service = \\"load\\""
[outputs.hook]
type = "webhook"
url = "http://127.0.0.1:1/nobody"
where = "service = \\"load\\""
"""

# Panels that have nothing to show while all is well: the query must be right, and may find nothing.
QUIET = {"Turned away", "Cut off", "Faults and quarantines", "Deployments the node decided"}


def text_form(server, _):
    """`promtool check metrics`: names, units, help."""
    promtool = program("promtool", "prometheus")
    page = server.http("/metrics")
    done = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, text=True, timeout=60)
    expect(done.returncode == 0 and not done.stderr.strip(), f"promtool check metrics:\n{done.stdout}{done.stderr}")
    for line in page.splitlines():
        if not line.startswith("#"):
            expect(re.match(r"(tidegate|process)_[a-z0-9_]+(\{| )", line), f"a name of our own was expected: {line}")
    helped = set(re.findall(r"^# HELP (\S+) \S", page, re.M))
    typed = dict(re.findall(r"^# TYPE (\S+) (\S+)$", page, re.M))
    expect(helped == set(typed), f"families without help or type: {helped ^ set(typed)}")
    for name, kind in typed.items():
        expect((kind == "counter") == name.endswith("_total"), f"{name} is a {kind}")
        expect(not re.search(r"_(ms|us|ns|millis\w*|nano\w*|minutes|kb|mb|kib|mib|percent)(_|$)", name), f"{name} has no base unit")


STRICT = """
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read
families = {family.name: [family.type, family.unit, len(family.samples)] for family in read(sys.stdin.read())}
print(json.dumps(families))
"""


def open_metrics_form(server, _):
    """A strict reader of OpenMetrics, by those who wrote the format."""
    if not PYTHON.exists() or subprocess.run([PYTHON, "-c", "import prometheus_client"], capture_output=True).returncode:
        raise Skipped("PyPI's prometheus-client is not installed: run run.py --install")
    request = urllib.request.Request(f"{server.page}/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    with OPENER.open(request, timeout=30) as answer:
        expect(answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0"), answer.headers["content-type"])
        page = answer.read().decode()
    expect(page.endswith("# EOF\n"), "the end is said")
    families = json.loads(run([PYTHON, "-c", STRICT], input=page))
    plain = set(re.findall(r"^# TYPE (\S+?)(?:_total)? \S+$", server.http("/metrics"), re.M))
    expect(set(families) == plain, f"both forms have the same families, but for {set(families) ^ plain}")
    for name, (_, unit, samples) in families.items():
        expect(samples > 0, f"{name} has no series")
        for known in ("seconds", "bytes"):
            expect((unit == known) == name.endswith(f"_{known}"), f"{name} says its unit is {unit!r}")


@contextlib.contextmanager
def prometheus(server, folder):
    """A Prometheus that scrapes the server every second and has the alerts loaded; the way to ask it."""
    folder = Path(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % free.getsockname()[1]
    target = server.page.removeprefix("http://")
    (folder / "prometheus.yml").write_text(
        f"global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: ['{ALERTS}']\n"
        f"scrape_configs:\n  - job_name: tidegate\n    static_configs: [{{ targets: ['{target}'] }}]\n")
    run([program("promtool", "prometheus"), "check", "config", folder / "prometheus.yml"])
    with open(folder / "prometheus.log", "wb") as log:
        process = subprocess.Popen(
            [program("prometheus", "prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb",
             f"--web.listen-address={address}", "--log.level=warn"], stdout=log, stderr=log)

    def ask(path, **params):
        url = f"http://{address}/api/v1/{path}?{urllib.parse.urlencode(params)}"
        try:
            with OPENER.open(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            # It reads its own log first.
            if error.code == 503:
                return None
            raise Failed(f"{path} {params}: {error.read().decode()}") from None
        except OSError:
            return None

    try:
        until(30, "Prometheus", lambda: process.poll() is None and ask("query", query="1"))
        yield ask
    except Failed as failure:
        raise Failed(f"{failure}\n{(folder / 'prometheus.log').read_text()[-2000:]}") from None
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def scraped(server, folder):
    """A real Prometheus takes all of it in, its alerts fire, and every query of the board is right."""
    with prometheus(server, folder) as ask:
        def target():
            [target] = (ask("targets") or {}).get("activeTargets") or [None]
            return target if target and target["health"] != "unknown" else None

        found = until(30, "a scrape", target)
        expect(found["health"] == "up" and not found["lastError"], f"the scrape failed: {found['lastError']}")
        # Rates want some scrapes.
        until(60, "twelve scrapes", lambda: float((ask("query", query='count_over_time(up{job="tidegate"}[5m])')["result"] or [{"value": [0, 0]}])[0]["value"][1]) >= 12)
        ours = {name for name, _ in server.metrics()}
        known = set(ask("label/__name__/values"))
        expect(ours <= known, f"Prometheus has not taken in {sorted(ours - known)}")
        board(ask, ours)
        alerts(ask)
    # It was asked for OpenMetrics, which Prometheus prefers; nothing may have been out of order or twice.
    said = (Path(folder) / "prometheus.log").read_text()
    expect("level=error" not in said and "Error on ingesting" not in said, f"Prometheus complains:\n{said}")


def board(ask, ours):
    """Grafana's board is one, and all that it asks is there."""
    page = json.loads(BOARD.read_text())
    panels = page["panels"]
    expect(page["uid"] and page["title"] and page["schemaVersion"] >= 36, "the board has a name and a version")
    expect(len({panel["id"] for panel in panels}) == len(panels), "panels have numbers of their own")
    taken = set()
    for panel in panels:
        at = panel["gridPos"]
        expect(at["x"] + at["w"] <= 24, f"{panel['title']} does not fit")
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        expect(not cells & taken, f"{panel['title']} lies over another")
        taken |= cells
        if panel["type"] != "row":
            expect(panel["description"] and panel["fieldConfig"]["defaults"]["unit"], f"{panel['title']} says what it shows")
            expect(len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]), f"{panel['title']}: two of a letter")
    for variable in page["templating"]["list"]:
        if variable["type"] == "query":
            match = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"])
            values = ask(f"label/{match[2]}/values", **{"match[]": filled(match[1])})
            expect(values, f"the variable {variable['name']} has no value")
    asked = [(panel["title"], target["expr"]) for panel in panels for target in panel.get("targets", [])]
    asked += [(note["name"], note["expr"]) for note in page["annotations"]["list"]]
    silent = []
    for title, query in asked:
        for name in re.findall(r"\b((?:tidegate|process)_[a-z_]+)", query):
            expect(name in ours or name.removesuffix("_bucket") + "_count" in ours or title in QUIET, f"{title}: there is no {name}")
        result = ask("query", query=filled(query))["result"]
        silent += [title] if not result and title not in QUIET else []
    empty = sorted(set(silent))
    expect(not empty, f"nothing to see in {empty}")
    print(f"    {len(panels)} panels, {len(asked)} queries asked, {len(ours)} series names", flush=True)


def filled(query):
    """With Grafana's variables as Grafana would fill them in."""
    return query.replace("$__rate_interval", "10s").replace("$job", ".*").replace("$instance", ".*")


def alerts(ask):
    """The alerts are loaded, healthy, and those that wait for nothing fire for what is wrong here."""
    [group] = ask("rules")["groups"]
    bad = [(rule["name"], rule.get("lastError")) for rule in group["rules"] if rule["health"] != "ok"]
    expect(not bad, f"alerts that cannot be evaluated: {bad}")
    wanted = {"TidegateRuleFaults": "firing", "TidegateDeadLetters": "firing", "TidegateOutputFails": "pending"}

    def states():
        found = {alert["labels"]["alertname"]: alert["state"] for alert in ask("alerts")["alerts"]}
        return all(found.get(name) == state for name, state in wanted.items()) and found

    found = until(30, f"the alerts {wanted}", states)
    expect("TidegateLogRefuses" not in found and "TidegateDown" not in found, f"alerts about what is not wrong: {found}")


def promtools(_, __):
    """The alerts as such, and what they are to say when."""
    promtool = program("promtool", "prometheus")
    run([promtool, "check", "rules", ALERTS])
    run([promtool, "test", "rules", PLAYED])
    book = (DOCS / "observing.md").read_text()
    for anchor in re.findall(r'runbook: "docs/observing.md#(\w+)"', ALERTS.read_text()):
        expect(re.search(rf"^### {anchor}$", book, re.M | re.I), f"docs/observing.md has no section {anchor}")


CASES = {
    "alerts, promtool": promtools,
    "text, promtool": text_form,
    "OpenMetrics, PyPI": open_metrics_form,
    "Prometheus": scraped,
}


def busy(server, stop):
    """Events all the time, some of which a rule cannot bear."""
    connection, n = Connection(server.tcp), 0
    while not stop.wait(0.1):
        n += 1
        connection.send(frame([event(f"h{h}", "load", n * h, state="critical" if h == 1 else "ok") for h in range(20)]))
        connection.answer()
        if n % 10 == 1:
            connection.send(frame([event("h", "turn", n)]))
            connection.answer()
            server.http("/api/v1/events", "POST", b'{"service":"over http","metric":1}')
    connection.close()


def work():
    parser = arguments(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter))
    parser.add_argument("--only", default="", help="cases whose name contains this")
    options = parser.parse_args()
    failed = done = 0
    with tempfile.TemporaryDirectory(prefix="tidegate-watching-") as folder:
        module = Workshop(options.binary, folder).ours("panics")
        settings = WATCHED.replace("audit.ndjson", f"{folder}/audit.ndjson")
        with Server(options.binary, f"{folder}/server", settings=settings) as server:
            server.deploy(module, "panics")
            run([server.binary, "deploy", "moving-average", "--name", "load", "--where", 'service = "load"', "--set", "limit=1",
                 "--to", "pager=audit"], env=os.environ | {"TIDEGATE_SERVER": server.page})
            stop = threading.Event()
            loader = threading.Thread(target=busy, args=(server, stop), daemon=True)
            loader.start()
            try:
                until(60, "faults, failures and deliveries", lambda: server.total("tidegate_rule_faults_total") > 0
                      and server.total("tidegate_output_retries_total") > 0
                      and server.total("tidegate_output_events_delivered_total", output="audit") > 0
                      and server.total("tidegate_checkpoints_total") > 0)
                for name, case in CASES.items():
                    if options.only.lower() not in name.lower():
                        continue
                    began, done = time.monotonic(), done + 1
                    try:
                        with tempfile.TemporaryDirectory(dir=folder) as own:
                            case(server, own)
                        outcome = "passed"
                    except Skipped as reason:
                        outcome = f"FAILED   {reason}" if in_ci() else f"skipped  {reason}"
                    except Failed as failure:
                        outcome = f"FAILED   {failure}"
                    failed += outcome.startswith("FAILED")
                    print(f"{name:<20} {time.monotonic() - began:6.1f} s  {outcome}", flush=True)
            finally:
                stop.set()
                loader.join(10)
    sys.exit(1 if failed or not done else 0)


if __name__ == "__main__":
    main(work)
