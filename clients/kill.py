#!/usr/bin/env python3
"""Kills a server at random moments under load, and checks that nothing it acked is lost.

    clients/kill.py --binary target/release/tidegate --cycles 200 --seed 1

A process of its own sends unique events and keeps the ledger of what was acked. The server is killed with `kill -9` after
50 to 1500 ms, started again on the same data, and must be ready without anybody's help; then every acked event must be in
its index. A rule with a memory is deployed once, before the first kill: it must remember all of its events, in order."""

import argparse
import multiprocessing
import random
import tempfile
import time

from tidegate import Connection, Failed, Server, Workshop, arguments, digest, event, expect, frame, main, until

# Events of one host, so that the acked ones can be asked for in pieces.
GROUP = 2_000
# Events of a message, and messages that wait for their ack.
BATCH, IN_FLIGHT = 50, 8


def load(orders, rate):
    """Sends unique events to whatever server it is told of. Told `None`, it answers with the ledger: what was acked."""
    next_id, acked = 0, []
    while (address := orders.recv()) is not None:
        waiting, began, sent = [], time.monotonic(), 0
        try:
            connection = Connection(address)
            while not orders.poll():
                ahead = sent / rate - (time.monotonic() - began)
                if ahead > 0:
                    time.sleep(min(ahead, 0.01))
                if ahead <= 0 and len(waiting) < IN_FLIGHT:
                    ids = range(next_id, next_id + BATCH)
                    next_id, sent = next_id + BATCH, sent + BATCH
                    waiting.append(ids)
                    connection.send(frame([event(f"g{n // GROUP}", f"e{n}", n) for n in ids]))
                elif waiting:
                    expect(connection.answer() is None, "the server refused events")
                    acked.append(waiting.pop(0))
        except OSError:
            pass  # The server was killed: what is waiting was not acked.
        orders.send([n for ids in acked for n in ids])


def missing(server, acked):
    """The acked events that the index does not have."""
    groups = {}
    for n in acked:
        groups.setdefault(n // GROUP, set()).add(n)
    lost = []
    for group, ids in sorted(groups.items()):
        found = {int(event["metric"]) for event in server.query(f'host = "g{group}"')}
        lost += sorted(ids - found)
    return lost


def turn(server, number):
    """One more event for the rule with a memory, acked; then its digest must be that of all turns so far."""
    connection = Connection(server.tcp)
    connection.send(frame([event("turns", "turn", number)]))
    expect(connection.answer() is None, "the server refused an event")
    connection.close()
    right = digest(range(1, number + 1))

    def remembered():
        found = server.query('host = "turns" and service = "turn digest"')
        return found and found[0]["metric"] == right
    try:
        until(10, f"the digest of {number} turns, {right}", remembered)
    except Failed as failure:
        found = server.query('host = "turns"')
        raise Failed(f"{failure}; the index has {found}, the rule is {server.rule('turns')}") from None


def cycle(server, orders, lived):
    """Loads the server, kills it, starts it again. Returns what was acked by now, and the seconds until it was ready."""
    orders.send(server.tcp)
    time.sleep(lived)
    server.kill()
    try:
        acked = orders.recv()
    except EOFError:
        raise Failed("the process that makes the load has ended: see above") from None
    return acked, server.start()


def work():
    parser = arguments(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter))
    parser.add_argument("--cycles", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=int, default=5_000, help="events a second")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    orders, ledger = multiprocessing.Pipe()
    sender = multiprocessing.Process(target=load, args=(ledger, options.rate), daemon=True)
    sender.start()
    ready, acked, checked = [], [], 0
    with tempfile.TemporaryDirectory(prefix="tidegate-kill-") as folder, Server(options.binary, folder) as server:
        server.deploy(Workshop(options.binary, folder).ours("digest"), "turns")
        turn(server, 1)
        for number in range(1, options.cycles + 1):
            lived = chance.uniform(0.05, 1.5)
            acked, seconds = cycle(server, orders, lived)
            ready.append(seconds)
            turn(server, number + 1)
            # What is new is looked for at once; everything again at the end.
            lost = missing(server, acked[checked:])
            expect(not lost, f"cycle {number}, killed after {lived:.3f} s: {len(lost)} acked events are lost, such as {lost[:5]}")
            print(f"cycle {number}: killed after {lived * 1000:.0f} ms, {len(acked) - checked} events acked, 0 lost, "
                  f"ready again in {seconds * 1000:.0f} ms", flush=True)
            checked = len(acked)
        lost = missing(server, acked)
        expect(not lost, f"at the end {len(lost)} acked events are lost, such as {lost[:5]}")
        rule = server.rule("turns")
        expect(rule and rule["faults"] == 0, f"the rule is {rule}")
    orders.send(None)
    sender.join(10)
    expect(len(acked) > 0, "no event was acked: nothing was tested")
    ready.sort()
    print(f"{options.cycles} cycles, {len(acked)} events acked, 0 lost; the rule remembers its {options.cycles + 1} events; "
          f"ready again in {ready[len(ready) // 2] * 1000:.0f} ms (median), {ready[-1] * 1000:.0f} ms (longest)")


if __name__ == "__main__":
    main(work)
