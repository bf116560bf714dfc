#!/usr/bin/env python3
"""An HTTP proxy that does to S3 requests what networks and servers do, by rules that can be changed while it runs.

    faultproxy.py run UPSTREAM_PORT [--port N] [--socket PATH] [--rules JSON] [--seed N] [--log FILE]
    faultproxy.py ask SOCKET CALL [JSON]        for instance: ask p.sock rules '{"rules": [{"fault": "slow-down", "percent": 20}]}'

Heads pass byte for byte, the Host too, so that signatures stay valid. A rule is {"fault": NAME, …} and may say
    percent   of the requests that it is about (100)    method, path, op, area, key   regular expressions: what it is about
    after     so many of them pass first (0)            times   so often at most (as often as they come)
The first rule that strikes counts. Whether it strikes a request hangs on the seed, the request and how often that very
request has come before, and on nothing else: the same seed strikes the same requests however they are interleaved.

Answered here, the server never sees it ("status", "code" and "headers" of the rule change the answer):
    slow-down 503 SlowDown · internal 500 InternalError · conflict 409 ConditionalRequestConflict · expired-token 400 ExpiredToken
    time-skewed 403 RequestTimeTooSkewed, its Date off by "clock_s" · wrong-region 301 to "region", unless signed for that
    unavailable, archived, denied, timeout: 503 ServiceUnavailable, 403 InvalidObjectState, 403 AccessDenied, 400 RequestTimeout
Done by the server, and then
    internal-after   500 all the same                   reset-after   a TCP reset instead of the answer
    truncate, reset-mid, stall-mid   so many bytes "at" of the answer's body (half), then an end, a reset, nothing more
    flip      one bit of byte "at" of the answer's body (drawn) is wrong     slow   bodies at "bytes_per_s", both ways
    stall     "seconds" of silence before the answer (None: until the client goes or the rules change)
Before or in the request: reset-before · reset-upload, after "at" bytes of its body (half) · flip-upload
A fault of a body that the body is too short for does not happen and is not counted. Every request is kept, and counted by
any of: number, connection, method, target, op, area, key, range, status (what the client saw), server (what the server
said), fault, up, down (bytes of bodies), ended. Carried 15 Gbit/s of bodies either way on two busy cores that client and
server shared, for 0.4 s of CPU a GiB or less.
"""
import argparse
import email.utils
import json
import os
import random
import select
import socket
import sys
import tempfile
import threading
import time

import httpwire
import side
from faultbook import ANSWERS, Book, select_requests

LINGER_S = 5  # how long a client that still sends may take to see an answer that came early


class Connection:
    """A client's connection and the one to the server that goes with it: a thread."""

    def __init__(self, book, number, sock, upstream):
        self.book, self.number, self.upstream = book, number, upstream
        self.client, self.server = httpwire.Wire(sock), None
        self.rule = self.request = self.gate = None

    def run(self):
        try:
            while (head := self.client.head()) and self.exchange(head):
                pass
        except (OSError, httpwire.Ended, ValueError):
            pass
        finally:
            self.client.close()
            if self.server:
                self.server.close()

    def exchange(self, head):
        """One request; returns whether the connection goes on."""
        self.request, self.rule, self.gate = self.book.begin(head, self.number)
        try:
            return self.pass_on(head)
        finally:
            self.book.end(self.request)

    def is_to(self, *faults):
        return self.rule is not None and self.rule.fault in faults

    def strike(self):
        self.book.struck(self.request, self.rule)

    def reset(self):
        self.strike()
        self.client.reset()
        return False

    def pass_on(self, head):
        if self.is_to("reset-before"):
            return self.reset()
        if self.rule and self.rule.fault in ANSWERS and not self.is_to("internal-after"):
            return self.refuse(head)
        if self.server and self.server.stale():
            self.server.close()
            self.server = None
        if not self.server:
            self.server = httpwire.Wire(socket.create_connection(("127.0.0.1", self.upstream)))
        self.server.send(head.raw)
        if head.get("expect").lower() == "100-continue":
            answer = self.answer()
            if answer.status != 100:
                return self.pass_back(head, answer) and False
            self.client.send(answer.raw)
        sent = self.upload(head)
        if sent is None:
            return False
        answer = self.answer()
        while answer.status == 100:
            answer = self.answer()
        if self.is_to("stall"):
            self.strike()
            self.hang(self.rule.given.get("seconds"))
        if self.is_to("reset-after"):
            return self.reset()
        if self.is_to("internal-after"):
            for _ in [] if bodiless(head, answer) else self.server.body(answer):
                pass
            return self.refuse(head, read=False)
        goes_on = self.pass_back(head, answer)
        if not sent:
            self.linger()
        return goes_on and sent and not head.closes

    def answer(self):
        """The server's next head. A client that goes away meanwhile is not waited for."""
        poll = select.poll()
        poll.register(self.server.sock, select.POLLIN)
        poll.register(self.client.sock, select.POLLRDHUP)
        if not self.server.rest and self.server.sock.fileno() not in [fd for fd, _ in poll.poll()]:
            raise httpwire.Ended
        head = self.server.head()
        if head is None:
            raise httpwire.Ended
        self.request["server"] = head.status
        return head

    def refuse(self, head, read=True):
        """Answers in the server's stead."""
        rule, closes = self.rule.given, False
        if read and head.get("expect"):
            closes = True  # the client may send its body or not
        elif read:
            for piece in self.client.body(head):
                self.request["up"] += len(piece)
        status, code, message = ANSWERS[self.rule.fault]
        status, code = rule.get("status", status), rule.get("code", code)
        region, request_id = rule.get("region", "eu-west-1"), f"FAULT{self.request['number']:011d}"
        extra = f"<Region>{region}</Region>" if self.rule.fault == "wrong-region" else ""
        body = (f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message>{extra}'
                f"<RequestId>{request_id}</RequestId><HostId>faultproxy</HostId></Error>").encode()
        headers = {"x-amz-request-id": request_id, "Date": email.utils.formatdate(time.time() + rule.get("clock_s", 0), usegmt=True),
                   "Content-Type": "application/xml", "Content-Length": len(body),
                   **({"x-amz-bucket-region": region} if extra else {}), **({"Connection": "close"} if closes else {}), **rule.get("headers", {})}
        self.request["status"] = status
        self.strike()
        text = f"HTTP/1.1 {status} {code}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
        self.client.send(text.encode() + (b"" if head.first[0] == "HEAD" else body))
        if closes:
            self.linger()
        return not closes and not head.closes

    def linger(self):
        """Lets a client that still sends read the answer before the connection ends."""
        self.client.sock.shutdown(socket.SHUT_WR)
        self.client.sock.settimeout(LINGER_S)
        while self.client.sock.recv(httpwire.BLOCK):
            pass

    # ---- bodies

    def upload(self, head):
        """Passes the request's body on. True: all of it; False: the server did not want the rest; None: all is over."""
        at = self.place(head.length, "reset-upload", "flip-upload")
        for piece in self.pieces(self.client.body(head)):
            first = self.request["up"]
            if at is not None and first <= at < first + len(piece):
                self.strike()
                if self.is_to("reset-upload"):
                    self.server.send_piece(head, piece[:at - first])
                    self.server.reset()
                    self.client.reset()
                    return None
                piece = self.flip(piece, at - first)
            try:
                self.server.send_piece(head, piece)
            except OSError:
                return False
            self.request["up"] += len(piece)
        self.server.send_end(head)
        return True

    def pass_back(self, head, answer):
        """The server's answer to the client; returns whether the connection goes on."""
        self.request["status"] = answer.status
        self.client.send(answer.raw)
        at = self.place(0 if bodiless(head, answer) else answer.length, "truncate", "reset-mid", "stall-mid", "flip")
        for piece in [] if bodiless(head, answer) else self.pieces(self.server.body(answer)):
            first = self.request["down"]
            if at is not None and first <= at < first + len(piece):
                self.strike()
                if not self.is_to("flip"):
                    return self.break_off(answer, piece[:at - first])
                piece = self.flip(piece, at - first)
            self.client.send_piece(answer, piece)
            self.request["down"] += len(piece)
        if not bodiless(head, answer):
            self.client.send_end(answer)
        return not answer.closes

    def break_off(self, answer, piece):
        if piece:
            self.client.send_piece(answer, piece)
            self.request["down"] += len(piece)
        if self.is_to("stall-mid"):
            self.hang(None)
        elif self.is_to("reset-mid"):
            self.client.reset()
        return False

    def pieces(self, body):
        """The body's pieces; small ones, at the rule's speed, where it is to be slow."""
        if not self.is_to("slow"):
            yield from body
            return
        speed = self.rule.given.get("bytes_per_s", 65536)
        size = max(1, speed // 20)
        for piece in body:
            if not self.request["fault"]:
                self.strike()
            for at in range(0, len(piece), size):
                yield piece[at:at + size]
                self.hang(len(piece[at:at + size]) / speed)

    def place(self, length, *faults):
        """The byte that a fault of these happens at; None if none is to happen or the body ends before."""
        if not self.is_to(*faults):
            return None
        at = self.rule.given.get("at")
        if at is None and length:
            draw = random.Random(f"{self.book.seed} {self.request['target']}")
            at = draw.randrange(length) if self.is_to("flip", "flip-upload") else length // 2
        if length is not None and (at is None or at >= length):
            self.book.spared(self.rule)
            return None
        return at or 0

    def flip(self, piece, at):
        piece = bytearray(piece)
        piece[at] ^= 1 << random.Random(at).randrange(8)
        return piece

    def hang(self, seconds):
        """Does nothing until the client goes (raises Ended), the rules change, or the time is over."""
        poll = select.poll()
        poll.register(self.client.sock, select.POLLRDHUP)
        poll.register(self.gate, select.POLLIN)
        found = poll.poll(None if seconds is None else seconds * 1000)
        if self.client.sock.fileno() in [fd for fd, _ in found]:
            raise httpwire.Ended


def bodiless(head, answer):
    return head.first[0] == "HEAD" or answer.status in (204, 304)


def run(args):
    owner = side.Owner(args.owned)
    book = Book(args.seed, open(args.log, "a", buffering=1, encoding="utf-8") if args.log else None)
    book.set_rules(json.loads(args.rules))
    listener = socket.create_server(("127.0.0.1", args.port), backlog=1024)
    calls = {"rules": book.set_rules, "requests": lambda **match: select_requests(list(book.requests), **match), "forget": book.forget,
             "wait": lambda count=1, seconds=60, **match: book.wait(owner, count, seconds, **match)}

    def accept():
        number = 0
        while True:
            sock, _ = listener.accept()
            number += 1
            threading.Thread(target=Connection(book, number, sock, args.upstream).run, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    control = side.listen(args.socket)
    try:
        side.serve(control, calls, owner, {"port": listener.getsockname()[1]})
    except side.Orphaned:
        pass
    finally:
        os.unlink(args.socket)


class FaultProxy:
    """A proxy in front of a port of this machine, that ends with this process."""

    def __init__(self, upstream, rules=(), seed=0, log=None):
        self.folder = tempfile.mkdtemp(prefix="proxy.")
        self.side = side.Side([os.path.abspath(__file__), "run", str(upstream), "--socket", os.path.join(self.folder, "sock"), "--seed", str(seed),
                               "--rules", json.dumps(list(rules)), *(["--log", log] if log else [])], os.path.join(self.folder, "sock"))
        self.endpoint = f"http://127.0.0.1:{self.side.told['port']}"

    def rules(self, *rules):
        """Replaces the rules; none: calm, and what hangs goes on."""
        self.side.ask("rules", rules=rules)

    def requests(self, **match):
        """Those since the beginning or `forget` whose fields are so (path: a regular expression)."""
        return self.side.ask("requests", **match)

    def count(self, **match):
        return len(self.requests(**match))

    def wait(self, count=1, **match):
        """Waits until so many requests are so: under way, struck (fault="stall"), or ended=True."""
        return self.side.ask("wait", count=count, **match)

    def forget(self):
        self.side.ask("forget")

    def stop(self):
        self.side.end()
        os.rmdir(self.folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="do", required=True)
    runs = commands.add_parser("run")
    runs.add_argument("upstream", type=int)
    for name, kind, default in (("port", int, 0), ("socket", str, "faultproxy.sock"), ("rules", str, "[]"), ("seed", int, 0), ("log", str, None)):
        runs.add_argument("--" + name, type=kind, default=default)
    runs.add_argument(side.OWNED, action="store_true")
    asks = commands.add_parser("ask")
    asks.add_argument("socket")
    asks.add_argument("call")
    asks.add_argument("arguments", nargs="?", default="{}")
    args = parser.parse_args()
    if args.do == "run":
        run(args)
    else:
        print(json.dumps(side.ask(args.socket, args.call, **json.loads(args.arguments)), indent=1))


if __name__ == "__main__":
    try:
        main()
    except (side.Failed, OSError) as wrong:
        sys.exit(f"faultproxy: {wrong}")
