#!/usr/bin/env python3
"""Writes, builds, deploys and removes rules while events pour in, and checks that nobody else notices.

    clients/deploys.py --binary target/release/tidegate --times 50 --rate 50000

A steady load goes to one input, collectd reports this machine to another if it is here, and a slow, fixed sequence of turns
goes to a rule with a memory. In the middle a rule that loops and one that panics are deployed on the same turns. At the end:

- every event is accounted for: acked by the sender = accepted by the input = handed to a rule that watches;
- the bad rules were stopped, and the node says which they are and why;
- what the rule with a memory said is, line for line, what it says in a calm run without all this."""

import argparse
import contextlib
import json
import tempfile
import threading
import time
from pathlib import Path

from run import Skipped, collectd
from tidegate import SETTINGS, Connection, Failed, Server, Workshop, arguments, event, expect, frame, in_ci, main, until

# The fixed sequence: turns of each host, and turns of a message.
HOSTS, TURNS, BATCH = 10, 400, 10

NODE = SETTINGS + """
# Every event is counted here: the node's own would come in between two looks.
[instrumentation]
enabled = false
[inputs.load]
type = "riemann"
tcp = "127.0.0.1:0"
[inputs.collectd]
type = "riemann"
tcp = "127.0.0.1:0"
[outputs.said]
type = "file"
path = "{folder}/said.ndjson"
"""


def turns():
    """The messages of the fixed sequence."""
    events = [event(f"t{n % HOSTS}", "turn", n * 7 % 1000) for n in range(HOSTS * TURNS)]
    return [frame(events[at:at + BATCH]) for at in range(0, len(events), BATCH)]


class Turns(threading.Thread):
    """Sends the fixed sequence, a message at each pause, until told to send the rest at once."""

    def __init__(self, server, pause):
        super().__init__(daemon=True)
        self.address, self.pause, self.hurry, self.acked, self.trouble = server.tcp, pause, threading.Event(), 0, None

    def run(self):
        try:
            connection = Connection(self.address)
            for message in turns():
                connection.send(message)
                expect((answer := connection.answer()) is None, f"a turn was refused: {answer}")
                self.acked += BATCH
                self.hurry.wait(self.pause)
        except (OSError, Failed) as trouble:
            self.trouble = trouble


class Load(threading.Thread):
    """Events at a steady rate, encoded beforehand, until told to stop; what was acked."""

    EVENTS, PREPARED, IN_FLIGHT = 100, 64, 16

    def __init__(self, server, rate):
        super().__init__(daemon=True)
        self.address, self.rate, self.enough = server.address("load tcp"), rate, threading.Event()
        self.acked, self.seconds, self.trouble = 0, 0.0, None

    def run(self):
        def message(number):
            first = number * self.EVENTS
            return frame([event(f"load-{n % 200}", f"load {n % 11}", float(n)) for n in range(first, first + self.EVENTS)])
        messages = [message(number) for number in range(self.PREPARED)]
        sent = answered = 0
        began = time.monotonic()
        try:
            connection = Connection(self.address)
            while answered < sent or not self.enough.is_set():
                due = int((time.monotonic() - began) * self.rate / self.EVENTS)
                if not self.enough.is_set() and sent < due and sent - answered < self.IN_FLIGHT:
                    connection.send(messages[sent % self.PREPARED])
                    sent += 1
                elif answered < sent:
                    expect((answer := connection.answer()) is None, f"a message of the load was refused: {answer}")
                    answered += 1
                    self.acked += self.EVENTS
                else:
                    time.sleep(0.001)
        except (OSError, Failed) as trouble:
            self.trouble = trouble
        self.seconds = time.monotonic() - began


def said(folder):
    """What the rule with a memory said, in order."""
    lines = (Path(folder) / "said.ndjson").read_text().splitlines()
    events = [json.loads(line)["event"] for line in lines]
    return [(event["host"], event["service"], event["metric"]) for event in events]


def all_said(folder):
    """The same, once all of it is there."""
    file = Path(folder) / "said.ndjson"
    until(30, f"{HOSTS * TURNS} lines in said.ndjson", lambda: file.exists() and file.read_bytes().count(b"\n") >= HOSTS * TURNS)
    return said(folder)


def calm_run(binary, digest):
    """What the rule with a memory says when nothing else happens."""
    with tempfile.TemporaryDirectory(prefix="tidegate-calm-") as folder:
        with Server(binary, folder, NODE.format(folder=folder), "the calm node") as server:
            server.deploy(digest, "memory", to={"sink": "said"})
            sequence = Turns(server, 0)
            sequence.run()
            expect(sequence.trouble is None, f"the calm run: {sequence.trouble}")
            return all_said(folder)


def stopped_and_named(server, name, kind, words):
    """The node has stopped a rule, and says which and why."""
    def faulted():
        rule = server.rule(name)
        return rule if rule and rule["faults"] > 0 and rule["last_fault"] else None
    fault = until(30, f"{name} to be stopped", faulted)["last_fault"]
    expect(fault["kind"] == kind, f"{name} was stopped for {fault['kind']}, {kind} was expected: {fault}")
    expect(words in fault["message"], f"{name}: {words!r} was expected in {fault['message']!r}")
    print(f"{name}: stopped, {fault['kind']}: {fault['message']}", flush=True)


def rounds(server, workshop, options, loops, panics):
    """Writes, builds, deploys and removes, so many times; in the middle the bad rules come, and stay for a while."""
    took = []
    for number in range(1, options.times + 1):
        name = f"churn-{number}"
        began = time.monotonic()
        workshop.new(name)
        module = workshop.build(name)
        built = time.monotonic() - began
        if number == (options.times + 1) // 2:
            server.deploy(loops, "loops")
            server.deploy(panics, "panics")
        began = time.monotonic()
        server.command("deploy", module, "--name", name, "--set", "limit=1000000")
        took.append(time.monotonic() - began)
        if number == (options.times + 1) // 2:
            stopped_and_named(server, "loops", "deadline", "")
            stopped_and_named(server, "panics", "trap", "on purpose")
            server.command("rules", "remove", "loops")
            server.command("rules", "remove", "panics")
        expect(server.rule(name), f"{name} was deployed and is not there")
        server.command("rules", "remove", name)
        expect(not server.rule(name), f"{name} was removed and is still there")
        print(f"{name}: built in {built:.1f} s, deployed in {took[-1] * 1000:.0f} ms, removed", flush=True)
    return sorted(took)


def accounted(server, load, sequence):
    """Acked, accepted and processed are the same, to the event."""
    def accepted(name):
        refused = server.total("tidegate_input_events_rejected_total", input=name)
        shed = server.total("tidegate_input_events_shed_total", input=name)
        expect(refused == shed == 0, f"input {name} rejected {refused} and shed {shed} events")
        return server.total("tidegate_input_events_accepted_total", input=name)
    expect(load.acked > 0, "no event of the load was acked: nothing was tested")
    for name, acked in (("load/tcp", load.acked), ("riemann/tcp", sequence.acked)):
        found = accepted(name)
        expect(found == acked, f"{name}: {acked} events were acked, {found:.0f} accepted")
    for name, wanted in (("watch", load.acked), ("memory", sequence.acked)):
        until(10, f"rule {name} to have been handed {wanted} events, not {server.rule(name)}",
              lambda: server.rule(name)["events"] == wanted)
        expect(server.rule(name)["faults"] == 0, f"rule {name} failed: {server.rule(name)}")
    metrics = (server.total("tidegate_events_total"), server.total("tidegate_shard_events_total"))
    expect(metrics[0] == metrics[1], f"{metrics[0]:.0f} events entered the log, {metrics[1]:.0f} were stepped by shards")


def work():
    parser = arguments(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter))
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--rate", type=int, default=50_000, help="events a second")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tidegate-deploys-") as folder, contextlib.ExitStack() as stack:
        workshop = Workshop(options.binary, folder)
        digest, watch, loops, panics = (workshop.ours(name) for name in ("digest", "watch", "loops", "panics"))
        calm = calm_run(options.binary, digest)
        expect(len(calm) == HOSTS * TURNS, f"the calm run said {len(calm)} lines, {HOSTS * TURNS} were expected")
        node = Path(folder) / "node"
        server = stack.enter_context(Server(options.binary, node, NODE.format(folder=node), "the busy node"))
        server.deploy(digest, "memory", to={"sink": "said"})
        server.deploy(watch, "watch", query='host =~ "load-%"')
        try:
            collector = Path(folder) / "collectd"
            collector.mkdir()
            stack.enter_context(collectd(server, "TCP", collector, "collectd tcp"))
        except Skipped as reason:
            expect(not in_ci(), str(reason))
            print(f"without collectd: {reason}", flush=True)
        load, sequence = Load(server, options.rate), Turns(server, 0.05)
        load.start()
        sequence.start()
        took = rounds(server, workshop, options, loops, panics)
        sequence.hurry.set()
        sequence.join(120)
        load.enough.set()
        load.join(120)
        expect(not sequence.is_alive() and not load.is_alive(), "the senders have not ended")
        expect(sequence.trouble is None, f"turns: {sequence.trouble}")
        expect(load.trouble is None, f"load: {load.trouble}")
        busy = all_said(node)
        accounted(server, load, sequence)
        for number, (one, other) in enumerate(zip(calm, busy)):
            expect(one == other, f"line {number + 1}: in the calm run the rule said {one}, in the busy one {other}")
        expect(len(calm) == len(busy), f"the rule said {len(calm)} lines in the calm run and {len(busy)} in the busy one")
        rate = load.acked / load.seconds
        expect(rate >= options.rate * 0.95, f"the load was {rate:.0f} events/s, {options.rate} were wanted")
        print(f"{options.times} rules written, built, deployed and removed at {rate:.0f} events/s; deployed in "
              f"{took[len(took) // 2] * 1000:.0f} ms (median), {took[-1] * 1000:.0f} ms (longest); {load.acked} events acked = "
              f"accepted = processed; {len(busy)} lines of the rule with a memory as in the calm run")


if __name__ == "__main__":
    main(work)
