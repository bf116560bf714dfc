"""What the fault proxy knows: its rules, whom they strike, and every request that came by. faultproxy.py describes them."""
import collections
import itertools
import json
import random
import re
import socket
import threading
import time

import httpwire
import side

ANSWERS = {  # fault: status, S3's code, message
    "slow-down": (503, "SlowDown", "Please reduce your request rate."),
    "unavailable": (503, "ServiceUnavailable", "Please reduce your request rate."),
    "internal": (500, "InternalError", "We encountered an internal error. Please try again."),
    "internal-after": (500, "InternalError", "We encountered an internal error. Please try again."),
    "conflict": (409, "ConditionalRequestConflict", "A conflicting operation occurred during this request."),
    "expired-token": (400, "ExpiredToken", "The provided token has expired."),
    "time-skewed": (403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large."),
    "wrong-region": (301, "PermanentRedirect", "The bucket you are attempting to access must be addressed using the specified endpoint."),
    "archived": (403, "InvalidObjectState", "The operation is not valid for the object's storage class"),
    "denied": (403, "AccessDenied", "Access Denied"),
    "timeout": (400, "RequestTimeout", "Your socket connection to the server was not read from or written to within the timeout period."),
}
OF_REQUEST = {"reset-before", "reset-upload", "flip-upload"}
OF_ANSWER = {"reset-after", "truncate", "reset-mid", "stall-mid", "flip", "slow", "stall"}
MATCHED = ("method", "path", "op", "area", "key")
PARAMETERS = {"fault", "percent", "after", "times", "at", "seconds", "bytes_per_s", "status", "code", "headers", "clock_s", "region"}


class Rule:
    def __init__(self, number, parameters):
        wrong = set(parameters) - PARAMETERS - set(MATCHED)
        if wrong or parameters.get("fault") not in {*ANSWERS, *OF_REQUEST, *OF_ANSWER}:
            raise side.Failed(f"no such rule: {parameters}")
        self.number, self.fault, self.given = number, parameters["fault"], parameters
        self.patterns = {name: re.compile(parameters[name]) for name in MATCHED if name in parameters}
        self.seen = self.struck = 0

    def about(self, request):
        fields = {**request, "path": request["target"]}
        whole = {"method", "op", "area", "key"}
        return (all((p.fullmatch if name in whole else p.search)(fields[name]) for name, p in self.patterns.items())
                and not (self.fault == "wrong-region" and request["region"] == self.given.get("region")))


class Book:
    """The rules, the requests, and who must be told; locked, since every connection has a thread."""

    def __init__(self, seed, log):
        self.seed, self.log, self.lock = seed, log, threading.Lock()
        self.numbers = itertools.count(1)
        self.requests, self.rules, self.times, self.gates = [], [], collections.Counter(), socket.socketpair()
        self.bell = socket.socketpair()
        self.bell[0].setblocking(False)
        self.bell[1].setblocking(False)

    def set_rules(self, rules):
        """New rules, their counts from the beginning; what stalls by the old ones goes on."""
        rules = [Rule(number, each) for number, each in enumerate(rules)]
        with self.lock:
            self.rules, self.times = rules, collections.Counter()
            gates, self.gates = self.gates, socket.socketpair()
        gates[1].close()  # gates[0] is readable now for all who wait at it; they hold it

    def begin(self, head, connection):
        """Notes a request and draws its fault: (request, rule or None, gate)."""
        request = {**httpwire.describe(head), "number": next(self.numbers), "connection": connection, "status": 0, "server": 0, "fault": "", "up": 0, "down": 0, "ended": False}
        with self.lock:
            self.requests.append(request)
            which = httpwire.identity(head)
            self.times[which] += 1
            found = None
            for rule in self.rules:
                if rule.about(request):
                    rule.seen += 1
                    draw = random.Random(f"{self.seed} {rule.number} {which} {self.times[which]}").random() * 100
                    if (rule.seen > rule.given.get("after", 0) and draw < rule.given.get("percent", 100)
                            and rule.struck < rule.given.get("times", 1 << 60)):
                        rule.struck += 1
                        found = rule
                        break
            gate = self.gates[0]
        self.ring()
        return request, found, gate

    def struck(self, request, rule):
        request["fault"] = rule.fault
        self.ring()

    def spared(self, rule):
        """The rule was drawn, but there was nothing to do it to."""
        with self.lock:
            rule.struck -= 1

    def end(self, request):
        request["ended"] = True
        if self.log:
            self.log.write(" ".join(f"{name}={json.dumps(value)}" for name, value in request.items()) + "\n")
        self.ring()

    def ring(self):
        try:
            self.bell[1].send(b"!")
        except BlockingIOError:
            pass

    def wait(self, owner, count, seconds, **match):
        """Until so many requests are so; returns them."""
        deadline = time.monotonic() + seconds
        while True:
            found = select_requests(list(self.requests), **match)
            if len(found) >= count:
                return found
            if time.monotonic() > deadline:
                raise side.Failed(f"{len(found)} requests, not {count}, with {match}")
            if owner.wait([self.bell[0].fileno()], 1):
                self.bell[0].recv(4096)

    def forget(self):
        with self.lock:
            self.requests.clear()


def select_requests(requests, path=None, **match):
    """Those whose fields are so; `path` is a regular expression."""
    return [each for each in requests if all(each[name] == value for name, value in match.items())
            and (path is None or re.search(path, each["target"]))]
