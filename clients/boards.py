#!/usr/bin/env python3
"""Riemann's boards against a real server: what riemann-dash does in a browser, and clients of WebSocket and SSE that nobody
here wrote.

    clients/boards.py --binary target/release/tidegate [--browser /usr/bin/chromium] [--only NAME]

Each board is a case. `run.py --install` fetches the client of PyPI; the browser is driven by the dashboard's own
playwright-core (`npm ci` in runtime/dashboard)."""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path

from run import PYTHON, Skipped, program
from tidegate import SETTINGS, Failed, Server, arguments, expect, in_ci, run, until

HERE = Path(__file__).resolve().parent
DASHBOARD = HERE.parent / "runtime/dashboard"

# Every port is a free one. The page of a board comes from another port of this machine: it needs no leave to read.
BOARDS = SETTINGS + """
[sse]
enabled = true
address = "127.0.0.1:0"
headers = { "x-board" = "yes" }
[instrumentation]
enabled = false
"""


def address(server, listener):
    host, port = server.address(listener)
    return f"{host}:{port}"


def send(server, events):
    """Sends events as scripts do: `PUT /events` on Riemann's port, a JSON object in each line."""
    body = "".join(json.dumps(event) + "\n" for event in events)
    answer = run([program("curl", "curl"), "--silent", "--show-error", "--fail", "--max-time", "10", "--request", "PUT",
                  "--data-binary", body, f"http://{address(server, 'websocket')}/events"])
    expect(answer == "{}\n" * len(events), f"PUT /events answered {answer!r}")


def curl(server):
    """Scripts with curl: events in by PUT, the index out by SSE."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S.250Z", time.gmtime())
    send(server, [{"host": "web1", "service": "http", "metric": 1.5, "state": "ok", "ttl": 60, "zone": "eu"},
                  {"host": "web2", "service": "http", "metric": 2, "state": "critical", "time": now}])
    event = server.query('host = "web1"')[0]
    for name, value in {"metric": 1.5, "state": "ok", "ttl": 60.0, "zone": "eu"}.items():
        expect(event[name] == value, f"{name} is {event[name]!r}")
    expect(server.query('host = "web2"')[0]["time"] == now, "a time keeps its fraction")
    bad = run([program("curl", "curl"), "--silent", "--max-time", "10", "--data-binary", '{"service":1}\nnonsense\n{"service":"c"}\n',
               f"http://{address(server, 'websocket')}/events/"]).splitlines()
    expect(len(bad) == 3 and bad[2] == "{}" and all('"error"' in line for line in bad[:2]), f"bad lines: {bad}")
    query = urllib.parse.quote('service = "http"')
    stream = subprocess.Popen(
        [program("curl", "curl"), "--silent", "--no-buffer", "--include", "--max-time", "20",
         f"http://{address(server, 'sse')}/index?query={query}"], stdout=subprocess.PIPE, text=True)
    try:
        head = {}
        for line in iter(stream.stdout.readline, "\n"):
            name, _, value = line.strip().partition(": ")
            head[name.lower()] = value
        expect(head.get("http/1.1 200 ok") == "", f"the head is {head}")
        for name, value in {"content-type": "text/event-stream", "cache-control": "no-cache", "connection": "keepalive",
                            "x-board": "yes"}.items():
            expect(head.get(name) == value, f"{name} is {head.get(name)!r}")

        def frame():
            data, end = stream.stdout.readline(), stream.stdout.readline()
            expect(data.startswith("data: ") and end == "\n", f"a frame of one line was expected, found {data + end!r}")
            return json.loads(data.removeprefix("data: "))

        expect({frame()["host"], frame()["host"]} == {"web1"}.union({"web2"}), "the index comes first")
        send(server, [{"host": "web3", "service": "http", "state": "expired"}, {"host": "x", "service": "other"}])
        event = frame()
        expect((event["host"], event["state"]) == ("web3", "expired"), f"then what is new, found {event}")
    finally:
        stream.kill()
        stream.wait()


SUBSCRIBER = """
import asyncio, json, sys, urllib.parse, websockets
async def main(server):
    ask = lambda path, query: f"ws://{server}{path}query={urllib.parse.quote(query)}"
    found = {}
    # A snapshot, and then the server closes.
    async with websockets.connect(ask("/index?", 'service = "a"')) as socket:
        found["snapshot"] = [json.loads(text) async for text in socket]
    # A subscription, with events sent over another socket; each has its answer.
    async with websockets.connect(ask("/index?subscribe=true&", 'service = "b"')) as board:
        async with websockets.connect(f"ws://{server}/events") as sender:
            answers = []
            for n in range(50):
                await sender.send(json.dumps({"host": "py", "service": "b", "metric": n, "ttl": 60}))
            for n in range(50):
                answers.append(await sender.recv())
            await sender.send(json.dumps({"host": "py", "service": "b", "metric": 1, "time": 12, "state": "expired"}))
            answers.append(await sender.recv())
        found["answers"] = sorted(set(answers))
        found["events"] = [json.loads(await asyncio.wait_for(board.recv(), 10)) for _ in range(51)]
    # A query that makes no sense closes.
    async with websockets.connect(ask("/index?subscribe=true&", 'metric >')) as socket:
        try:
            await socket.recv()
        except websockets.ConnectionClosed as closed:
            found["closed"] = closed.rcvd.code
    async with websockets.connect(ask("/pubsub/index?", 'service = "c"')) as channel:
        async with websockets.connect(f"ws://{server}/events") as sender:
            await sender.send(json.dumps({"host": "py", "service": "c"}))
        found["channel"] = json.loads(await asyncio.wait_for(channel.recv(), 10))["service"]
    print(json.dumps(found))
asyncio.run(main(sys.argv[1]))
"""


def pypi_websockets(server):
    """A WebSocket client of PyPI: snapshot, subscription, events with answers, a channel."""
    if not PYTHON.exists() or subprocess.run([PYTHON, "-c", "import websockets"], capture_output=True).returncode:
        raise Skipped("PyPI's websockets is not installed: run run.py --install")
    send(server, [{"host": f"h{n}", "service": "a", "metric": n, "ttl": 60} for n in range(20)])
    found = json.loads(run([PYTHON, "-c", SUBSCRIBER, address(server, "websocket")], 60))
    expect(sorted(event["metric"] for event in found["snapshot"]) == list(range(20)), f"snapshot: {found['snapshot']}")
    expect(found["answers"] == ["{}"], f"answers: {found['answers']}")
    metrics = [event["metric"] for event in found["events"]]
    expect(metrics == list(range(50)) + [1], f"events: {metrics}")
    expect(found["events"][-1]["state"] == "expired", "an expired event is passed on")
    expect(list(found["events"][0])[:8] == ["host", "service", "state", "description", "metric", "tags", "time", "ttl"],
           f"the fields stand as Riemann writes them, found {list(found['events'][0])}")
    expect(found["closed"] == 1008 and found["channel"] == "c", f"{found['closed']}, {found['channel']}")


def dash_in_chromium(server, browser):
    """riemann-dash's behaviour in a real browser, over WebSocket and SSE, through a restart of the server."""
    node = program("node", "nodejs")
    browser = browser or shutil.which("chromium")
    if not browser:
        raise Skipped("chromium is not installed (Debian package chromium)")
    if not (DASHBOARD / "node_modules/playwright-core").is_dir():
        raise Skipped("playwright-core is not installed: run `npm ci` in runtime/dashboard")
    # What the board is pointed at stays the same over the restart.
    settings = BOARDS
    for listener in ("websocket", "sse"):
        settings = settings.replace(f'[{listener}]\naddress = "127.0.0.1:0"', f'[{listener}]\naddress = "{address(server, listener)}"')
    settings = settings.replace('enabled = true\naddress = "127.0.0.1:0"', f'enabled = true\naddress = "{address(server, "sse")}"')
    server.config.write_text(settings)

    stop = threading.Event()

    def load():
        n = 0
        while not stop.wait(0.1):
            n += 1
            # While the server is away nothing can be sent.
            with contextlib.suppress(Failed):
                send(server, [{"host": f"web{h}", "service": "http latency", "metric": n * h, "ttl": 5, "tags": ["prod"],
                               "state": ["ok", "warning", "critical"][h % 3], "description": "how long", "zone": "eu"}
                              for h in range(4)] + [{"host": "clock", "service": "tick", "metric": n, "ttl": 5}])

    send(server, [{"host": "gone", "service": "http latency", "metric": 1, "ttl": 4, "state": "ok"}])
    loader = threading.Thread(target=load, daemon=True)
    loader.start()
    driver = subprocess.Popen(
        [node, "e2e/boards.mjs", "--ws", address(server, "websocket"), "--sse", address(server, "sse"), "--browser", browser],
        cwd=DASHBOARD, stdout=subprocess.PIPE, text=True)
    try:
        for line in driver.stdout:
            print(f"    {line.rstrip()}", flush=True)
            if line.startswith("restart"):
                server.stop()
                time.sleep(2)
                server.start()
        code = driver.wait(90)
    finally:
        stop.set()
        driver.kill()
        loader.join(5)
    expect(code == 0, f"the board in the browser ended with {code}")


CASES = {
    "curl": lambda server, _: curl(server),
    "PyPI websockets": lambda server, _: pypi_websockets(server),
    "riemann-dash in chromium": dash_in_chromium,
}


def main():
    parser = arguments(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter))
    parser.add_argument("--browser", help="chromium")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    options = parser.parse_args()
    failed = done = 0
    for name, case in CASES.items():
        if options.only.lower() not in name.lower():
            continue
        began, done = time.monotonic(), done + 1
        try:
            with tempfile.TemporaryDirectory(prefix="tidegate-boards-") as folder, \
                    Server(options.binary, folder, settings=BOARDS) as server:
                case(server, options.browser)
            outcome = "passed"
        except Skipped as reason:
            outcome = f"FAILED   {reason}" if in_ci() else f"skipped  {reason}"
        except Failed as failure:
            outcome = f"FAILED   {failure}"
        failed += outcome.startswith("FAILED")
        print(f"{name:<26} {time.monotonic() - began:6.1f} s  {outcome}", flush=True)
    sys.exit(1 if failed or not done else 0)


if __name__ == "__main__":
    main()
