#!/usr/bin/env python3
"""`tidegate query --watch` in a terminal that is none: a pty, on which keys are pressed and pictures are read.

    clients/terminal.py --binary target/release/tidegate

Standard library only: a small reader of what a terminal is told keeps the picture."""

import argparse
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

from tidegate import Connection, Server, arguments, event, expect, frame, main, run, until

MOVE = re.compile(rb"\x1b\[([0-9;?]*)([A-Za-z])")


class Terminal:
    """A program in a terminal of this size."""

    def __init__(self, command, rows, columns, env):
        self.rows, self.columns = rows, columns
        self.cells = [[" "] * columns for _ in range(rows)]
        self.at, self.rest, self.codes = [0, 0], b"", []
        master, slave = pty.openpty()
        self.master = master
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True)

    def press(self, keys):
        os.write(self.master, keys.encode())

    def resize(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.cells = [[" "] * columns for _ in range(rows)]
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    def read(self, wait=0.05):
        while select.select([self.master], [], [], wait)[0]:
            try:
                more = os.read(self.master, 1 << 16)
            except OSError:
                return
            self.rest += more
            self.draw()

    def draw(self):
        while self.rest:
            if self.rest[:1] == b"\x1b":
                match = MOVE.match(self.rest)
                if match:
                    self.move(match[1].decode(), match[2].decode())
                    self.rest = self.rest[match.end():]
                    continue
                if len(self.rest) < 16 and self.rest[1:2] in (b"[", b""):
                    return
                # Anything else is one letter behind the escape.
                self.rest = self.rest[2:]
                continue
            length = 1 if self.rest[0] < 0x80 else 2 if self.rest[0] < 0xE0 else 3 if self.rest[0] < 0xF0 else 4
            if len(self.rest) < length:
                return
            letter, self.rest = self.rest[:length].decode(errors="replace"), self.rest[length:]
            row, column = self.at
            if letter == "\r":
                self.at[1] = 0
            elif letter == "\n":
                self.at[0] = min(row + 1, self.rows - 1)
            elif letter >= " " and row < self.rows and column < self.columns:
                self.cells[row][column] = letter
                self.at[1] += 1

    def move(self, numbers, what):
        self.codes.append((numbers, what))
        parts = [int(part) if part.isdigit() else 0 for part in numbers.split(";")]
        if what == "H":
            self.at = [max(parts[0], 1) - 1, max(parts[1] if len(parts) > 1 else 1, 1) - 1]
        elif what == "G":
            self.at[1] = max(parts[0], 1) - 1
        elif what == "J" and parts[0] in (2, 0):
            self.cells = [[" "] * self.columns for _ in range(self.rows)]
        elif what in "CD":
            self.at[1] += (1 if what == "C" else -1) * max(parts[0], 1)

    @property
    def picture(self):
        self.read()
        return "\n".join("".join(row).rstrip() for row in self.cells)

    def shows(self, *parts, seconds=20):
        def there():
            picture = self.picture
            return all(part in picture for part in parts)

        try:
            until(seconds, f"{parts} on the screen", there)
        except Exception as failure:
            raise type(failure)(f"{failure}\n{self.picture}") from None

    def hides(self, part):
        until(20, f"{part!r} to leave the screen", lambda: part not in self.picture)

    def ends(self, code):
        until(20, "the end", lambda: self.read() or self.process.poll() is not None)
        expect(self.process.returncode == code, f"it ended with {self.process.returncode}")
        expect(("?1049", "l") in self.codes, "the screen that was there is given back")
        now = termios.tcgetattr(self.slave)
        expect(now[3] == self.before[3], "the terminal's modes are given back")

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def send(server, events):
    connection = Connection(server.tcp)
    connection.send(frame(events))
    expect(connection.answer() is None, "the events are acked")
    connection.close()


def settle(server):
    """The ports that it has now, for its next start."""
    text = server.config.read_text()
    for listener in ("page", "websocket", "riemann tcp", "riemann udp"):
        host, port = server.address(listener)
        text = text.replace("127.0.0.1:0", f"{host}:{port}", 1)
    server.config.write_text(text)


def watched(server, folder):
    env = os.environ | {"TIDEGATE_SERVER": server.page, "TERM": "xterm-256color"}
    env.pop("NO_COLOR", None)
    send(server, [event(f"web{n}", "http latency", n, state="ok") for n in range(8)] + [event("db1", "disk /", 0.97, state="critical")])
    terminal = Terminal([server.binary, "query", "--watch", "--every", "200ms", 'service != "cpu" and host != nil'], 16, 100, env)
    try:
        terminal.shows("tidegate", "✖ 1 critical", "web0", "http latency", "? keys", "1/")
        expect(any(what == "m" and "31" in numbers.split(";") or "38;5;1" in numbers for numbers, what in terminal.codes), "critical is red")
        lines = terminal.picture.splitlines()
        expect("db1" in lines[3], f"the worst comes first: {lines[3]}")
        # It moves by itself.
        send(server, [event("web7", "http latency", 700, state="critical")])
        terminal.shows("✖ 2 critical", "700")
        # A stream that is fine again is so with the next look.
        send(server, [event("web7", "http latency", 7)])
        terminal.shows("✖ 1 critical")
        # Keys: help, order, detail, pause.
        terminal.press("?")
        terminal.shows("turn the order round")
        terminal.press("?")
        terminal.hides("turn the order round")
        terminal.press("s")
        terminal.shows("host▾")
        terminal.press("\r")
        terminal.shows("trend", "range", "time")
        terminal.press("\r")
        terminal.hides("range")
        terminal.press(" ")
        terminal.shows("paused, space goes on")
        send(server, [event("fresh", "http latency", 1)])
        time.sleep(0.6)
        expect("fresh" not in terminal.picture, "what is paused does not move")
        terminal.press(" ")
        terminal.shows("fresh")
        # Another query; a wrong one is told and the old one stays.
        terminal.press("/\x15metric >\r")
        terminal.shows("expected")
        terminal.press("/\x15host = \"db1\"\r")
        terminal.shows("query host = \"db1\"", "1/1")
        terminal.hides("web0")
        # Smaller than anything.
        terminal.resize(5, 24)
        terminal.shows("disk /")
        terminal.resize(16, 100)
        terminal.shows("? keys")
        # The node goes and comes back.
        settle(server)
        server.kill()
        terminal.shows("asking again")
        server.start()
        terminal.hides("asking again")
        terminal.shows("db1", "1/1")
        terminal.press("q")
        terminal.ends(0)
    finally:
        terminal.close()
    # A signal gives the terminal back as well.
    terminal = Terminal([server.binary, "query", "--watch", "true"], 10, 60, env)
    try:
        terminal.shows("? keys")
        terminal.process.send_signal(signal.SIGTERM)
        terminal.ends(0)
    finally:
        terminal.close()


def piped(server):
    """Without a terminal there are lines; and nothing that a terminal would obey."""
    env = os.environ | {"TIDEGATE_SERVER": server.page}
    send(server, [event("p1", "piped", 1)])
    command = [server.binary, "query", "--watch", "--every", "200ms", 'service = "piped"']
    lines = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    try:
        expect(lines.stdout.readline().endswith("  p1  piped  ok  1\n"), "what is there comes first")
        send(server, [event("p1", "piped", 9, state="critical")])
        expect(lines.stdout.readline().endswith("  p1  piped  ok -> critical  9\n"), "then what changes")
        send(server, [event("p2", "piped", 2)])
        expect(lines.stdout.readline().endswith("  p2  piped  ok  2\n"), "what is new")
        server.kill()
        expect("unreachable" in lines.stderr.readline(), "a node that is gone is told once")
        server.start()
        expect(lines.stderr.readline() == "the node answers again\n", "and that it is back")
        send(server, [event("p3", "piped", 3)])
        until(20, "a line of p3", lambda: " p3 " in lines.stdout.readline())
    finally:
        lines.kill()
        lines.communicate()
    said = run([server.binary, "--json", "query", "--watch", "--times", "1", 'service = "piped" and host = "p3"'], env=env)
    first = json.loads(said)
    expect(first["change"] == "new" and first["event"]["service"] == "piped", f"as JSON: {first}")


def work():
    options = arguments(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)).parse_args()
    with tempfile.TemporaryDirectory(prefix="tidegate-terminal-") as folder, Server(options.binary, folder) as server:
        began = time.monotonic()
        watched(server, folder)
        print(f"{'in a terminal':<20} {time.monotonic() - began:6.1f} s  passed", flush=True)
        began = time.monotonic()
        piped(server)
        print(f"{'over a pipe':<20} {time.monotonic() - began:6.1f} s  passed", flush=True)


if __name__ == "__main__":
    main(work)
