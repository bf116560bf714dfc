"""The bench itself: a real S3 server that comes and goes with its test, and an independent client's view of it."""
import http.client
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import unittest

import cephnode
import lib
import s3client
import s3server
import side

LIB = os.path.dirname(os.path.abspath(s3server.__file__))
NOBODY = 65534


class Answers(unittest.TestCase):
    """One calm server for all of them."""

    @classmethod
    def setUpClass(cls):
        lib.need_s3_server()
        cls.server = s3server.Server(tls=True)
        cls.addClassCleanup(cls.server.stop)
        cls.server.bucket("data")
        cls.client = cls.server.client()

    def test_signed_put_and_get(self):
        self.assertEqual(self.client.put("/data/a b+c/~é", b"bytes").status, 200)
        answer = self.client.get("/data/a b+c/~é")
        self.assertEqual((answer.status, answer.body), (200, b"bytes"))
        self.assertEqual(self.client.get("/data/none").code, "NoSuchKey")

    def test_wrong_secret_and_no_signature_are_refused(self):
        wrong = s3client.Client(self.server.endpoint, s3client.Credentials(self.server.user().key, "wrong"))
        self.assertEqual(wrong.put("/data/wrong", b"x").code, "SignatureDoesNotMatch")
        self.assertEqual(self.server.client(None).get("/data/wrong").code, "AccessDenied")

    def test_body_that_is_not_what_was_signed_is_refused(self):
        headers = {"host": self.client.url.netloc}
        s3client.sign("PUT", "/data/other", "", headers, s3client.EMPTY, self.server.user(), s3server.REGION)
        connection = http.client.HTTPConnection(self.client.url.netloc)
        self.addCleanup(connection.close)
        connection.request("PUT", "/data/other", b"not empty", headers)
        self.assertIn(b"<Code>XAmzContentSHA256Mismatch</Code>", connection.getresponse().read())

    def test_if_none_match_has_one_winner_of_20(self):
        for turn in range(3):
            racers = lib.at_once(20, lambda number, turn=turn: self.client.put(f"/data/race{turn}", b"%d" % number, if_none_match="*").status)
            self.assertEqual(sorted(racers), [200] + [412] * 19)
            self.assertEqual(int(self.client.get(f"/data/race{turn}").body), racers.index(200))

    def test_rights_of_the_users(self):
        self.client.put("/data/there", b"x")
        rows = {}
        for user in ("main", "reader", "nolist", "stranger"):
            client = self.server.client(user)
            rows[user] = [client.get("/data/there").status, client.get("/data/none").status,
                          client.call("GET", "/data", {"list-type": 2}).status, client.put(f"/data/by-{user}", b"y").status]
        self.assertEqual(rows, {"main": [200, 404, 200, 200], "reader": [200, 404, 200, 403], "nolist": [200, 403, 403, 200],
                                "stranger": [403, 403, 403, 403]})
        self.assertEqual(self.client.get("/data/by-nolist").body, b"y")

    def test_public_bucket_is_read_unsigned(self):
        self.server.bucket("public", public=True)
        self.client.put("/public/key", b"x")
        anybody = self.server.client(None)
        self.assertEqual([anybody.get("/public/key").status, anybody.put("/public/key", b"y").status], [200, 403])

    def test_versioned_bucket_keeps_versions(self):
        self.server.bucket("versions", versioned=True)
        first, second = (self.client.put("/versions/key", body).headers["x-amz-version-id"] for body in (b"1", b"2"))
        self.assertNotEqual(first, second)
        self.assertEqual(self.client.call("GET", "/versions/key", {"versionId": first}).body, b"1")

    def test_full_quota_is_refused_and_a_larger_one_takes_it(self):
        self.server.bucket("small", max_bytes=4096)
        self.assertEqual(self.client.put("/small/key", b"x" * 2000).status, 200)
        self.assertEqual(self.client.put("/small/key", b"x" * 5000).code, "QuotaExceeded")
        self.server.quota("small")
        self.assertEqual(self.client.put("/small/key", b"x" * 5000).status, 200)

    def test_session_token_is_good_until_it_runs_out(self):
        self.client.put("/data/key", b"x")
        session = s3client.Client(self.server.endpoint, self.server.session(seconds=2))
        self.assertEqual(session.get("/data/key").status, 200)
        without = s3client.Client(self.server.endpoint, session.credentials._replace(token=None))
        self.assertEqual(without.get("/data/key").status, 403)
        clock = lib.Clock()
        while session.get("/data/key").status != 403:
            clock.left("the session's end")

    def test_tls_is_verified_by_the_ca_only(self):
        self.client.put("/data/tls", b"x")
        self.assertEqual(self.server.client(tls=True).get("/data/tls").body, b"x")
        with self.assertRaises(ssl.SSLCertVerificationError):
            s3client.Client(self.server.tls_endpoint, self.server.user()).get("/data/tls")

    def test_virtual_host_style(self):
        self.client.put("/data/virtual", b"x")
        answer = self.client.call("GET", "/virtual", headers={"host": f"data.localhost:{self.client.url.port}"})
        self.assertEqual((answer.status, answer.body), (200, b"x"))

    def test_gateway_tells_what_it_was_asked(self):
        before = len(self.server.requests())
        self.client.put("/data/counted", b"x")
        self.client.get("/data/counted?")
        new = self.server.requests()[before:-1]
        self.assertEqual(new, [("main", "PUT", "/data/counted", 200), ("main", "GET", "/data/counted%3F", 404)])

    def test_outside_clients_read_and_write(self):
        lib.need_program("aws")
        lib.need_program("rclone")
        self.client.put("/data/outside/in", b"from here")
        env = {"PATH": lib.PATH, "HOME": self.server.folder, **self.server.env()}
        rclone = {**env, "AWS_CA_BUNDLE": "", "RCLONE_CONFIG_S3_TYPE": "s3", "RCLONE_CONFIG_S3_PROVIDER": "Ceph", "RCLONE_CONFIG_S3_ENV_AUTH": "true",
                  "RCLONE_CONFIG_S3_ENDPOINT": self.server.tls_endpoint}

        def run(*command, env=env, **options):
            return subprocess.run(command, env=env, stdout=subprocess.PIPE, check=True, timeout=lib.DEADLINE, **options).stdout
        aws = ("aws", "s3", "cp", "--quiet", "--endpoint-url", self.server.tls_endpoint)
        self.assertEqual(run(*aws, "s3://data/outside/in", "-"), b"from here")
        self.assertEqual(run("rclone", "--ca-cert", self.server.ca, "cat", "s3:data/outside/in", env=rclone), b"from here")
        run(*aws, "-", "s3://data/outside/out", input=b"from aws")
        self.assertEqual(self.client.get("/data/outside/out").body, b"from aws")


class Faults(unittest.TestCase):
    """What really goes wrong, with a server of its own that keeps its bytes on the disk."""

    def setUp(self):
        lib.need_s3_server()
        self.server = s3server.Server(store="bluestore")
        self.addCleanup(self.server.stop)
        self.server.bucket("data")
        self.client = self.server.client()

    def test_killed_gateway_breaks_a_download_off_and_comes_again(self):
        body = os.urandom(32 << 20)
        self.client.put("/data/big", body)
        answer = self.client.send("GET", "/data/big")
        read = answer.read(1 << 20)
        self.server.kill("rgw")
        with self.assertRaises((http.client.IncompleteRead, ConnectionResetError)):
            read += answer.read()
        self.client.close()
        with self.assertRaises(ConnectionRefusedError):
            self.client.get("/data/big")
        self.server.restart("rgw")
        self.assertEqual(self.client.get("/data/big").body, body)

    def test_killed_osd_keeps_what_was_put(self):
        self.client.put("/data/key", b"x")
        self.server.kill("osd")
        self.assertEqual(sorted(self.server.pids()), ["mon", "rgw"])
        self.server.restart("osd")
        self.assertEqual(self.client.get("/data/key").body, b"x")

    def test_paused_gateway_is_ended_in_good_order(self):
        self.server.pause("rgw")
        self.server.restart("rgw")
        self.assertEqual(self.client.put("/data/key", b"x").status, 200)
        with open(os.path.join(self.server.folder, "log", "client.rgw.a.log"), encoding="utf-8") as log:
            self.assertIn("final shutdown", log.read())

    def test_paused_osd_stalls_and_goes_on(self):
        self.server.pause("osd")
        impatient = self.server.client()
        impatient.timeout = 1
        with self.assertRaises(TimeoutError):
            impatient.put("/data/given-up", b"y")  # the gateway may do it yet, and after what is asked later
        self.server.resume("osd")
        self.assertEqual(self.client.put("/data/key", b"z").status, 200)
        self.assertEqual(self.client.get("/data/key").body, b"z")

    def test_few_concurrent_requests_make_real_slow_downs(self):
        self.server.restart("rgw", rgw_max_concurrent_requests=2)
        clock, body = lib.Clock(), os.urandom(4 << 20)
        seen = {}
        while 503 not in seen:
            clock.left("a 503")
            seen.update({answer.status: answer for answer in lib.at_once(32, lambda number: self.client.put(f"/data/{number}", body))})
        self.assertEqual(seen[503].code, "SlowDown")
        self.assertIn(200, seen)


class Lives(unittest.TestCase):
    """It goes when its test goes, however that is."""

    def setUp(self):
        lib.need_s3_server()
        self.root = tempfile.mkdtemp(prefix="s3life.")
        self.addCleanup(self.tidy)
        self.env = {"PATH": lib.PATH, "PYTHONPATH": LIB, "TMPDIR": self.root, "PYTHONDONTWRITEBYTECODE": "1"}

    def tidy(self):
        """What a failed test has left."""
        for pid in lib.processes(self.root):
            os.kill(pid, signal.SIGKILL)
        lib.wait_gone(self.root)
        shutil.rmtree(self.root, ignore_errors=True)

    def begin(self, user=None, then="sys.stdin.read()", folder=None):
        """A process with a server; returns it, the server's folder, and its keeper."""
        script = f"import s3server, sys\nserver = s3server.Server({folder!r})\nprint(server.folder, server.side.process.pid, flush=True)\n{then}"
        starter = subprocess.Popen([sys.executable if user is None else "/usr/bin/python3", "-c", script], env=self.env, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, user=user, start_new_session=True)
        self.addCleanup(starter.stdout.close)
        self.addCleanup(starter.stdin.close)
        self.addCleanup(starter.wait)
        self.addCleanup(starter.kill)
        folder, keeper = starter.stdout.readline().decode().split()
        self.assertEqual(len(set(lib.processes(folder)) - {starter.pid}), 4, "a keeper and three daemons")
        return starter, folder, int(keeper)

    def test_stop_leaves_nothing(self):
        with s3server.Server() as server:
            folder = server.folder
            self.assertEqual(len(lib.processes(folder)), 4)
        self.assertEqual(lib.processes(folder), {})
        self.assertFalse(os.path.exists(folder))

    def test_stop_leaves_nothing_when_a_daemon_is_stopped(self):
        with s3server.Server() as server:
            server.pause("osd")
        self.assertEqual(lib.processes(server.folder), {})

    def test_killed_starter_leaves_nothing(self):
        starter, folder, _ = self.begin()
        starter.kill()
        self.assertEqual(lib.wait_gone(folder), {})
        self.assertFalse(os.path.exists(folder))

    def test_killed_starter_leaves_what_it_kept_in_a_folder_of_its_own(self):
        starter, folder, _ = self.begin(folder=os.path.join(self.root, "mine"))
        starter.kill()
        self.assertEqual(lib.wait_gone(folder), {})
        with s3server.Server(folder) as server:
            self.assertEqual(server.client().get("/").status, 200)

    def test_starter_that_just_ends_leaves_nothing(self):
        starter, folder, _ = self.begin(then="sys.stdin.readline()")
        starter.stdin.write(b"end\n")
        starter.stdin.flush()
        self.assertEqual(lib.wait_gone(folder), {})
        self.assertFalse(os.path.exists(folder))

    def test_killed_keeper_leaves_no_process(self):
        starter, folder, keeper = self.begin()
        os.kill(keeper, signal.SIGKILL)
        starter.kill()  # who would reap the keeper
        self.assertEqual(lib.wait_gone(folder), {})

    def test_starter_killed_before_the_server_is_up_leaves_nothing(self):
        starter = subprocess.Popen([sys.executable, "-c", "import s3server; s3server.Server()"], env=self.env, start_new_session=True,
                                   stderr=subprocess.DEVNULL)
        clock = lib.Clock()
        while not any("ceph" in line for line in lib.processes(self.root).values()):
            clock.left("the first daemon")
        starter.kill()
        starter.wait()
        self.assertEqual(lib.wait_gone(self.root), {})
        self.assertEqual(os.listdir(self.root), [])

    def test_program_that_runs_when_the_owner_goes_is_gone_before_the_folder_is_removed(self):
        class Gone:
            def wait(self, fds=(), seconds=None):
                raise side.Orphaned
        node = cephnode.Node(self.root, Gone())
        os.mkdir(node.path("log"))
        with open(node.path("program"), "w", encoding="utf-8") as script:
            script.write("#!/bin/sh\nread line < pipe\n")  # waits in this very process
        os.chmod(node.path("program"), 0o755)
        os.mkfifo(node.path("pipe"))
        with self.assertRaises(side.Orphaned):
            node.run(node.path("program"))
        self.assertEqual(lib.processes(self.root), {})

    def test_ordinary_user_may_have_one(self):
        lib.need_root()
        os.chmod(self.root, 0o777)
        if subprocess.run(["/usr/bin/python3", "-c", "import s3server"], env=self.env, user=NOBODY, capture_output=True, check=False).returncode != 0:
            copy = os.path.join(self.root, "lib")  # the checkout is in a folder that others may not enter
            shutil.copytree(LIB, copy)
            os.chmod(copy, 0o755)
            self.env["PYTHONPATH"] = copy
        starter, folder, _ = self.begin(user=NOBODY)
        self.assertEqual(os.stat(folder).st_uid, NOBODY)
        starter.kill()
        self.assertEqual(lib.wait_gone(folder), {})

    def test_command_line_starts_tells_and_stops(self):
        folder = os.path.join(self.root, "by hand")

        def command(*args):
            return subprocess.run([sys.executable, os.path.join(LIB, "s3server.py"), *args], env=self.env, stdout=subprocess.PIPE, check=True,
                                  timeout=3 * lib.DEADLINE, text=True).stdout
        lines = command("start", folder, "--store", "memstore", "--bucket", "mine")
        shell = subprocess.run(["sh", "-c", lines + 'echo "$STEPCACHE_S3|$AWS_ACCESS_KEY_ID|$AWS_SECRET_ACCESS_KEY|$AWS_ENDPOINT_URL"'],
                               stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
        store, key, secret, endpoint = shell.split("|")
        self.assertEqual(store, f"s3://mine/?endpoint={endpoint}&region=us-east-1&style=path")
        client = s3client.Client(endpoint, s3client.Credentials(key, secret))
        self.assertEqual(client.put("/mine/key", b"kept").status, 200)
        command("kill", folder, "rgw")
        command("restart", folder, "rgw")
        command("stop", folder)
        self.assertEqual(lib.processes(folder), {})
        self.assertEqual(command("start", folder, "--bucket", "mine"), lines)
        client.close()
        self.assertEqual(client.get("/mine/key").body, b"kept")
        command("stop", folder, "--wipe")
        self.assertEqual((lib.processes(folder), os.path.exists(folder)), ({}, False))


if __name__ == "__main__":
    lib.main()
