"""Every fault of the proxy as a plain client sees it, with counts, in front of a real server."""
import email.utils
import hashlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

import faultproxy
import lib
import s3client
import s3server
import side

BODY = bytes(range(256)) * 4096  # 1 MiB


class Proxied(unittest.TestCase):
    """One server for all, a calm proxy and a client for each."""

    @classmethod
    def setUpClass(cls):
        lib.need_s3_server()
        cls.server = s3server.Server()
        cls.addClassCleanup(cls.server.stop)
        cls.server.bucket("data")
        cls.straight = cls.server.client()
        cls.straight.put("/data/key", BODY)

    def setUp(self):
        self.proxy = faultproxy.FaultProxy(self.server.options["port"], seed=1)
        self.addCleanup(self.proxy.stop)
        self.client = self.server.client(endpoint=self.proxy.endpoint)

    def hash_of(self, key):
        return hashlib.sha256(self.straight.get(key).body).hexdigest()


class Calm(Proxied):
    def test_what_passes_is_what_was_sent(self):
        self.assertEqual(self.client.put("/data/a b/é+~", BODY).status, 200)
        self.assertEqual(self.client.get("/data/a b/é+~").body, BODY)
        self.assertEqual(self.client.get("/data/key", range="bytes=5-9").body, BODY[5:10])
        self.assertEqual(self.client.head("/data/key").headers["content-length"], str(len(BODY)))
        self.assertEqual(self.client.delete("/data/a b/é+~").status, 204)
        self.assertEqual(self.client.put("/data/empty").status, 200)
        self.assertEqual([(each["method"], each["status"], each["up"], each["down"], each["connection"]) for each in self.proxy.requests()],
                         [("PUT", 200, len(BODY), 0, 1), ("GET", 200, 0, len(BODY), 1), ("GET", 206, 0, 5, 1), ("HEAD", 200, 0, 0, 1),
                          ("DELETE", 204, 0, 0, 1), ("PUT", 200, 0, 0, 1)])

    def test_requests_are_counted_by_operation_and_area(self):
        def call(method, path, query=(), body=b"", **headers):
            return self.client.call(method, "/data" + path, query, body, {name.replace("_", "-"): value for name, value in headers.items()})
        call("PUT", "/p/v1/main/key/00/00ab", body=b"r", if_none_match="*")
        call("PUT", "/p/v1/main/cas/00/00ab", body=b"o")
        call("GET", "", {"list-type": 2, "prefix": "p/v1/main/void/"})
        upload = call("POST", "/p/v1/main/cas/11/11ab", {"uploads": ""}).field("UploadId")
        part = call("PUT", "/p/v1/main/cas/11/11ab", {"uploadId": upload, "partNumber": 1}, b"part").headers["etag"]
        call("POST", "/p/v1/main/cas/11/11ab", {"uploadId": upload}, ("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"
                                                                      f"{part}</ETag></Part></CompleteMultipartUpload>").encode())
        call("PUT", "/p/v1/main/out/copy", x_amz_copy_source="/data/p/v1/main/cas/11/11ab")
        call("HEAD", "/p/v1/main/cas/11/11ab")
        call("POST", "", {"delete": ""}, b"<Delete><Object><Key>p/v1/main/cas/00/00ab</Key></Object></Delete>")
        call("GET", "/p/elsewhere")
        self.assertEqual([(each["op"], each["area"], each["status"]) for each in self.proxy.requests()], [
            ("PutIfAbsent", "key", 200), ("PutObject", "cas", 200), ("ListObjectsV2", "void", 200), ("CreateMultipartUpload", "cas", 200),
            ("UploadPart", "cas", 200), ("CompleteMultipartUpload", "cas", 200), ("CopyObject", "out", 200), ("HeadObject", "cas", 200),
            ("DeleteObjects", "", 200), ("GetObject", "", 404)])
        self.assertEqual((self.proxy.count(area="cas"), self.proxy.count(method="PUT", path="^/data/p/v1/main/key/")), (5, 1))
        self.proxy.forget()
        self.assertEqual(self.proxy.requests(), [])

    def raw(self, headers, body=b"", says=True):
        """A PUT of /data/raw by hand: its head and its body, once the server has said something if `says`; what it said."""
        headers = {"host": self.client.url.netloc, **headers}
        s3client.sign("PUT", "/data/raw", "", headers, "UNSIGNED-PAYLOAD", self.server.user(), s3server.REGION)
        said = []
        with socket.create_connection((self.client.url.hostname, self.client.url.port), lib.DEADLINE) as sock:
            sock.sendall(("PUT /data/raw HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n").encode())
            if body and says:
                said.append(sock.recv(65536).partition(b"\r\n")[0])
            sock.sendall(body)
            said.append(sock.recv(65536).partition(b"\r\n")[0])
        return said

    def test_client_that_asks_before_it_sends(self):
        asks = {"expect": "100-continue", "content-length": str(len(BODY))}
        self.assertEqual(self.raw(asks, BODY), [b"HTTP/1.1 100 CONTINUE", b"HTTP/1.1 200 OK"])
        self.assertEqual(self.straight.get("/data/raw").body, BODY)
        self.proxy.rules({"fault": "slow-down"})
        self.assertEqual(self.raw(asks), [b"HTTP/1.1 503 SlowDown"])
        self.assertEqual([each["up"] for each in self.proxy.requests()], [len(BODY), 0])

    def test_bodies_in_chunks(self):
        answer = self.client.call("GET", "/data", {"list-type": 2})
        self.assertEqual((answer.headers["transfer-encoding"], answer.body), ("chunked", self.straight.call("GET", "/data", {"list-type": 2}).body))
        self.proxy.rules({"fault": "slow-down"})
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (b"one", b"and another", BODY)) + b"0\r\n\r\n"
        self.assertEqual(self.raw({"transfer-encoding": "chunked"}, body, says=False), [b"HTTP/1.1 503 SlowDown"])
        self.assertEqual(self.proxy.requests(op="PutObject")[0]["up"], len(BODY) + 14)

    def test_answer_that_comes_early_reaches_a_client_that_still_sends(self):
        def refuse():
            with listener, listener.accept()[0] as sock:
                sock.recv(1000)
                sock.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        listener = socket.create_server(("127.0.0.1", 0))
        with faultproxy.FaultProxy(listener.getsockname()[1]) as proxy:
            server = threading.Thread(target=refuse)
            server.start()
            self.assertEqual(s3client.Client(proxy.endpoint).put("/data/large", BODY * 32).status, 403)
            self.assertLess(proxy.requests()[0]["up"], len(BODY) * 32)
            server.join()

    def test_many_at_once_get_their_own_bytes(self):
        bodies = [os.urandom((4 << 20) + number) for number in range(24)]
        for number, body in enumerate(bodies):
            self.straight.put(f"/data/many{number}", body)

        def both(number):
            self.client.put(f"/data/twice{number}", bodies[number])
            return self.client.get(f"/data/many{number}").body == bodies[number]
        self.assertEqual(lib.at_once(24, both), [True] * 24)
        self.assertEqual([self.hash_of(f"/data/twice{number}") for number in range(24)], [hashlib.sha256(body).hexdigest() for body in bodies])

    def test_kept_connection_that_the_server_has_closed_is_no_fault(self):
        self.assertEqual(self.client.get("/data/key").status, 200)
        self.server.restart("rgw")
        self.assertEqual(self.client.get("/data/key").status, 200)

    def test_server_that_dies_breaks_the_connection(self):
        self.assertEqual(self.client.get("/data/key").status, 200)
        self.server.kill("rgw")
        self.addCleanup(self.server.restart, "rgw")
        for _ in range(2):  # on the kept connection, and on a new one
            with self.assertRaises((ConnectionError, http.client.RemoteDisconnected)):
                self.client.get("/data/key")


class Struck(Proxied):
    """Each fault: what the client saw, and how the proxy counted it. The next request is calm."""

    def strike(self, fault, what, **rule):
        """`what`, under a rule that strikes once: its outcome, and the request as the proxy noted it."""
        self.proxy.rules({"fault": fault, "times": 1, **rule})
        self.proxy.forget()
        try:
            seen = what()
        except (OSError, http.client.HTTPException) as wrong:
            seen = wrong
        noted = self.proxy.wait(ended=True)
        self.assertEqual(len(noted), 1)
        self.assertEqual(self.client.get("/data/key").body, BODY, "the rule strikes once")
        self.assertEqual(self.proxy.count(fault=fault), 1, noted)
        return seen, noted[0]

    def get(self):
        return self.client.get("/data/key")

    def put(self):
        return self.client.put("/data/put", BODY)

    def test_answers_in_the_servers_stead(self):
        rows = {"slow-down": (503, "SlowDown"), "unavailable": (503, "ServiceUnavailable"), "internal": (500, "InternalError"),
                "conflict": (409, "ConditionalRequestConflict"), "expired-token": (400, "ExpiredToken"), "time-skewed": (403, "RequestTimeTooSkewed"),
                "wrong-region": (301, "PermanentRedirect"), "archived": (403, "InvalidObjectState"), "denied": (403, "AccessDenied"),
                "timeout": (400, "RequestTimeout")}
        self.straight.delete("/data/put")
        for fault, row in rows.items():
            with self.subTest(fault):
                for what in (self.get, self.put):
                    seen, noted = self.strike(fault, what)
                    self.assertEqual((seen.status, seen.code), row)
                    self.assertEqual((noted["status"], noted["server"]), (row[0], 0))
                self.assertEqual(self.strike(fault, lambda: self.client.head("/data/key"))[0][::2], (row[0], b""))
        self.assertEqual(self.straight.get("/data/put").status, 404, "the server never saw it")

    def test_answer_is_as_the_rule_says(self):
        seen, _ = self.strike("expired-token", self.get, status=403, headers={"Retry-After": "7"})
        self.assertEqual((seen.status, seen.code, seen.headers["retry-after"]), (403, "ExpiredToken", "7"))
        self.assertEqual(seen.field("RequestId"), seen.headers["x-amz-request-id"])
        self.assertNotEqual(self.strike("internal", self.get)[0].field("RequestId"), seen.field("RequestId"))

    def test_500_though_it_was_done(self):
        self.straight.delete("/data/put")
        seen, noted = self.strike("internal-after", self.put)
        self.assertEqual((seen.status, noted["status"], noted["server"]), (500, 500, 200))
        self.assertEqual(self.straight.get("/data/put").body, BODY)
        self.assertEqual(self.client.put("/data/put", BODY, if_none_match="*").status, 412, "its own object")

    def test_reset_before_during_and_after_a_put(self):
        for fault, done in (("reset-before", 404), ("reset-upload", 404), ("reset-after", 200)):
            with self.subTest(fault):
                self.straight.delete("/data/put")
                seen, noted = self.strike(fault, self.put)
                self.assertIn(type(seen), (ConnectionResetError, BrokenPipeError), "not an end in good order")
                self.assertEqual((noted["status"], self.straight.get("/data/put").status), (0, done))

    def test_reset_in_the_middle_of_an_answer(self):
        seen, noted = self.strike("reset-mid", self.get)
        self.assertIs(type(seen), ConnectionResetError)
        self.assertEqual(noted["down"], len(BODY) // 2)

    def test_truncated_answer(self):
        seen, noted = self.strike("truncate", self.get, at=1000)
        self.assertIsInstance(seen, http.client.IncompleteRead)
        self.assertEqual((seen.partial, noted["down"]), (BODY[:1000], 1000))

    def test_one_bit_is_wrong_in_the_answer(self):
        seen, _ = self.strike("flip", self.get)
        wrong = [(ours, theirs) for ours, theirs in zip(BODY, seen.body) if ours != theirs]
        self.assertEqual((len(seen.body), len(wrong), bin(wrong[0][0] ^ wrong[0][1]).count("1")), (len(BODY), 1, 1))
        seen, _ = self.strike("flip", self.get, at=7)
        self.assertEqual([at for at in range(len(BODY)) if seen.body[at] != BODY[at]], [7])

    def test_one_bit_is_wrong_in_the_request_and_the_server_notices(self):
        seen, _ = self.strike("flip-upload", self.put)
        self.assertEqual((seen.status, seen.code), (400, "XAmzContentSHA256Mismatch"))

    def test_faults_of_a_body_spare_answers_without_one(self):
        self.proxy.rules({"fault": "truncate"}, {"fault": "flip-upload", "op": "HeadObject"})
        self.assertEqual(self.client.head("/data/key").status, 200)
        self.assertEqual(self.client.put("/data/small", b"x").status, 200)
        self.assertEqual(self.proxy.count(fault=""), 2)

    def later(self, what):
        """`what` in a thread; returns a function that waits for its outcome."""
        outcome = []
        thread = threading.Thread(target=lambda: outcome.extend(lib.at_once(1, lambda _: what())))
        thread.start()

        def join():
            thread.join(lib.DEADLINE)
            self.assertTrue(outcome, "it hangs")
            return outcome[0]
        return join

    def under_way(self, fault):
        """The one request, struck and not ended, which it would be within a second if nothing held it up."""
        self.proxy.wait(fault=fault)
        with self.assertRaisesRegex(side.Failed, "0 requests, not 1"):
            self.proxy.wait(ended=True, seconds=1)
        return self.proxy.requests()[0]

    def test_stall_ends_when_the_rules_change(self):
        self.proxy.rules({"fault": "stall"})
        join = self.later(self.get)
        self.assertEqual(self.under_way("stall")["down"], 0)
        self.proxy.rules()
        self.assertEqual(join().body, BODY)

    def test_stall_in_the_middle_of_an_answer(self):
        self.proxy.rules({"fault": "stall-mid", "at": 5000})
        join = self.later(self.get)
        self.assertEqual(self.under_way("stall-mid")["down"], 5000)
        self.proxy.rules()
        self.assertEqual(join().partial, BODY[:5000])

    def test_client_that_gives_a_stall_up_is_let_go(self):
        self.proxy.rules({"fault": "stall"})
        self.client.timeout = 0.2
        with self.assertRaises(TimeoutError):
            self.get()
        self.assertEqual(self.proxy.wait(ended=True)[0]["fault"], "stall")

    def test_slow_bodies_both_ways(self):
        for what, way in ((self.get, "down"), (self.put, "up")):
            self.proxy.forget()
            self.proxy.rules({"fault": "slow", "bytes_per_s": 1000})  # for a quarter of an hour
            join = self.later(what)
            self.assertIn(self.under_way("slow")[way], range(1, 100000))
            self.proxy.rules()
            self.assertEqual(join().status, 200)
            self.assertEqual(self.proxy.wait(ended=True)[0][way], len(BODY))

    def test_region_is_followed(self):
        self.proxy.rules({"fault": "wrong-region", "region": "eu-west-3"})
        answer = self.get()
        self.assertEqual((answer.status, answer.headers["x-amz-bucket-region"], answer.field("Region")), (301, "eu-west-3", "eu-west-3"))
        there = s3client.Client(self.proxy.endpoint, self.server.user(), region="eu-west-3")
        self.assertEqual(there.get("/data/key").status, 200)

    def test_new_credentials_are_let_through(self):
        self.proxy.rules({"fault": "expired-token", "key": self.server.user().key})
        self.assertEqual(self.get().code, "ExpiredToken")
        other = s3client.Client(self.proxy.endpoint, self.server.session())
        self.assertEqual(other.get("/data/key").status, 200)

    def test_clock_of_a_refusal_is_off_as_told(self):
        answers = [self.strike("time-skewed", self.get, clock_s=seconds)[0] for seconds in (0, 86400)]
        first, second = (email.utils.parsedate_to_datetime(answer.headers["date"]) for answer in answers)
        self.assertEqual((second - first).days, 1)


class Rules(Proxied):
    def struck(self, rules, order, seed=7):
        """Which of 200 requests are struck, made in that order by several threads."""
        with faultproxy.FaultProxy(self.server.options["port"], rules, seed) as proxy:
            client = self.server.client(endpoint=proxy.endpoint)
            parts = [order[first::4] for first in range(4)]
            lib.at_once(4, lambda number: [client.head(f"/data/r{each}") for each in parts[number]])
            return {each["target"] for each in proxy.requests() if each["fault"]}, proxy.count()

    def test_same_seed_strikes_the_same_requests_in_any_order(self):
        rules = [{"fault": "slow-down", "percent": 20}]
        first, count = self.struck(rules, list(range(200)))
        self.assertEqual((self.struck(rules, list(range(199, -1, -1))), count), ((first, 200), 200))
        self.assertIn(len(first), range(20, 61))
        self.assertNotEqual(self.struck(rules, list(range(200)), seed=8)[0], first)

    def test_request_made_again_is_drawn_again(self):
        self.proxy.rules({"fault": "internal", "percent": 50})
        statuses = [self.client.head("/data/again").status for _ in range(40)]
        self.assertEqual(set(statuses), {404, 500})

    def test_rule_is_about_what_it_says(self):
        self.proxy.rules({"fault": "internal", "method": "PUT", "path": "^/data/x"}, {"fault": "slow-down", "op": "Head.*", "after": 1, "times": 2},
                         {"fault": "denied", "area": "cas|tree"})
        self.assertEqual([self.client.put("/data/x1", b"1").status, self.client.put("/data/y1", b"1").status, self.client.get("/data/x1").status],
                         [500, 200, 404])
        self.assertEqual([self.client.head("/data/key").status for _ in range(4)], [200, 503, 503, 200])
        self.assertEqual([self.client.get(f"/data/v1/main/{area}/x").status for area in ("tree", "pack")], [403, 404])

    def test_rule_that_is_none_is_refused_and_the_others_stay(self):
        self.proxy.rules({"fault": "internal"})
        for wrong in ({"fault": "no such"}, {"fault": "internal", "percentage": 1}, {}):
            with self.assertRaisesRegex(Exception, "no such rule"):
                self.proxy.rules(wrong)
        self.assertEqual(self.client.get("/data/key").status, 500)

    def test_every_way_at_once_and_a_client_that_tries_again_gets_through(self):
        faults = ["slow-down", "internal", "internal-after", "reset-before", "reset-upload", "reset-mid", "reset-after", "truncate", "flip",
                  "flip-upload", "conflict", "time-skewed"]
        self.proxy.rules(*({"fault": fault, "percent": 8} for fault in faults))

        def insist(what, good):
            for _ in range(60):
                try:
                    answer = what()
                    if good(answer):
                        return True
                except (OSError, http.client.HTTPException):
                    pass
            return False
        for number in range(40):
            self.assertTrue(insist(lambda number=number: self.client.put(f"/data/all{number}", b"%d" % number * 100), lambda answer: answer.status == 200))
            self.assertTrue(insist(lambda number=number: self.client.get(f"/data/all{number}"), lambda answer: answer.body == b"%d" % number * 100))
        self.assertEqual({each["fault"] for each in self.proxy.requests()}, {"", *faults})


class ByHand(Proxied):
    def test_command_line_runs_asks_and_logs(self):
        root = tempfile.mkdtemp(prefix="proxy.")
        self.addCleanup(lib.remove, root)
        command, path = [sys.executable, faultproxy.__file__], os.path.join(root, "sock")
        process = subprocess.Popen([*command, "run", str(self.server.options["port"]), "--socket", path, "--log", os.path.join(root, "log")],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        port = json.loads(process.stdout.readline())["port"]
        client = self.server.client(endpoint=f"http://127.0.0.1:{port}")

        def ask(*args):
            return json.loads(subprocess.run([*command, "ask", path, *args], stdout=subprocess.PIPE, check=True, timeout=lib.DEADLINE).stdout)
        ask("rules", '{"rules": [{"fault": "internal", "times": 1}]}')
        self.assertEqual([client.get("/data/key").status for _ in range(2)], [500, 200])
        self.assertEqual([each["status"] for each in ask("requests")], [500, 200])
        ask("wait", '{"ended": true, "count": 2}')
        with open(os.path.join(root, "log"), encoding="utf-8") as log:
            self.assertRegex(log.read(), '^method="GET" target="/data/key" op="GetObject" .*fault="internal"')
        ask("stop")
        self.assertEqual(process.wait(lib.DEADLINE), 0)
        self.assertFalse(os.path.exists(path))

    def test_proxy_ends_with_who_started_it(self):
        starter = subprocess.Popen([sys.executable, "-c", "import faultproxy, sys\nproxy = faultproxy.FaultProxy(1)\n"
                                    "print(proxy.folder, flush=True)\nsys.stdin.read()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(starter.stdout.close)
        self.addCleanup(starter.stdin.close)
        folder = starter.stdout.readline().decode().strip()
        self.addCleanup(lib.remove, folder)
        self.assertEqual(len(lib.processes(folder)), 1)
        starter.kill()
        starter.wait()
        self.assertEqual(lib.wait_gone(folder), {})


if __name__ == "__main__":
    lib.main()
