"""What goes wrong with a bucket, for real: a gateway that is killed, a full quota, credentials that run out, a wrong clock;
and what somebody with rights to it could put there."""
import hashlib
import os
import shutil
import subprocess
import sys

import faultproxy
import keycheck
import lib
import s3server
import test_bucket

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
LARGE = "head -c 60000000 /dev/zero | openssl enc -aes-128-ctr -K 01 -iv 00"


def zstd_of(data):
    """A frame of one raw block, which is the last."""
    assert len(data) < 1 << 16
    return ZSTD_MAGIC + b"\xa0" + len(data).to_bytes(4, "little") + (len(data) << 3 | 1).to_bytes(3, "little") + data


class Behind(test_bucket.Bucket):
    """Behind a proxy."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        large = subprocess.run(["sh", "-c", LARGE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        cls.digest = hashlib.sha256(large).hexdigest()

    def setUp(self):
        super().setUp()
        self.proxy = faultproxy.FaultProxy(self.server.options["port"])
        self.addCleanup(self.proxy.stop)
        self.store = self.server.store("team", self.prefix, self.proxy.endpoint)

    def large(self):
        return self.project(self.home.doc({"make": {"run": LARGE + ' > "${outputs.large}"', "outputs": {"large": "large.bin"}},
                                           "sum": {"run": 'sha256sum < "${inputs.large}" > "${outputs.sum}"', "inputs": {"large": "make.large"},
                                                   "outputs": {"sum": "sum.txt"}}}))

    def begin(self, team, project, *args):
        return self.home.start("submit", "--watch", "--json", "--coordinator", team.endpoint, "pipeline.yaml", *args, cwd=project.root)

    def assert_whole(self, team):
        """The large object is what its name says, and so is what the second step made of it."""
        key, = (key for key in self.keys("cas/") if key.endswith(self.digest))
        self.assertEqual(hashlib.sha256(self.bytes_of(key)).hexdigest(), self.digest)
        got = self.home.path("sum-of-" + team.name)
        team.get("sum.sum", got)
        with open(got, encoding="utf-8") as file:
            self.assertEqual(file.read().split()[0], self.digest)


class Faults(Behind):
    def killed_in(self, method, team, project, *args):
        """A run, and the gateway is killed while the large object's body is under way; then it comes back."""
        which = {"method": method, "path": self.digest}
        self.proxy.rules({"fault": "slow", "bytes_per_s": 200000, **which})
        self.proxy.forget()
        run = self.begin(team, project, *args)
        self.proxy.wait(1, fault="slow", **which)
        self.server.kill("rgw")
        self.proxy.rules()
        self.server.restart("rgw")
        ended = run.event("run.finished")
        self.assertEqual(ended["state"], "done", run.story())
        broken = self.proxy.requests(fault="slow", **which)
        self.assertTrue(all(each["up"] + each["down"] < 9000000 for each in broken), broken)

    def test_gateway_killed_in_mid_upload_and_in_mid_download_comes_back(self):
        project = self.large()
        first = test_bucket.Team(self, "first", self.store)
        self.killed_in("PUT", first, project)
        self.assert_whole(first)
        self.assert_witness("make", "sum")
        second = test_bucket.Team(self, "second", self.store)
        self.killed_in("GET", second, project, "--force", "sum")
        self.assert_witness("sum")
        self.assert_whole(second)

    def test_full_quota_is_named_and_nothing_is_lost(self):
        self.server.bucket("small", max_bytes=20000000)
        self.store = self.server.store("small", self.prefix)
        project = self.large()
        team = test_bucket.Team(self, "first", self.store)
        refused = team.run(project, code=1)
        self.assertEqual(refused.run["state"], "failed", str(refused))
        self.assertIn("QuotaExceeded", str(refused))
        self.assertIn("small", str(refused))
        self.home.witness()
        self.server.quota("small")
        again = team.run(project)
        self.assertEqual(again.run["state"], "done", str(again))
        self.assert_witness("make", "sum")

    def test_credentials_that_run_out_in_mid_upload_are_renewed(self):
        issued, issue = self.home.path("issued"), self.home.path("issue.py")
        with open(issue, "w", encoding="utf-8") as file:
            file.write("import datetime, json, sys\nsys.path[:0] = %r\nimport s3server\n"
                       "until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=4)\n"
                       "c = s3server.Server.attach(%r).session(4)\nopen(%r, 'a').write('one\\n')\n"
                       "print(json.dumps({'Version': 1, 'AccessKeyId': c.key, 'SecretAccessKey': c.secret, 'SessionToken': c.token,\n"
                       "                  'Expiration': until.strftime('%%Y-%%m-%%dT%%H:%%M:%%SZ')}))\n"
                       % ([os.path.dirname(s3server.__file__)], self.server.folder, issued))
        config = self.home.path("config", "aws")
        with open(config, "w", encoding="utf-8") as file:
            file.write(f"[default]\ncredential_process = {sys.executable} {issue}\n")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            del self.home.env[name]
        self.home.env["AWS_CONFIG_FILE"] = config
        self.proxy.rules({"fault": "slow", "bytes_per_s": 8000000, "method": "PUT", "area": "cas"})
        team = test_bucket.Team(self, "first", self.store)
        with open(issued, encoding="utf-8") as file:
            before = len(file.readlines())
        made = team.run(self.large())
        self.assertEqual(made.run["state"], "done", str(made))
        with open(issued, encoding="utf-8") as file:
            self.assertGreater(len(file.readlines()), before)
        self.assert_whole(team)

    def test_clock_that_is_off_by_twenty_minutes_follows_the_servers(self):
        # The proxy's clock is 20 minutes ahead; who follows it is refused by the server itself, and follows that.
        self.proxy.rules({"fault": "time-skewed", "clock_s": 1200, "times": 1, "area": "cas"})
        team = test_bucket.Team(self, "first", self.store)
        made = team.run(self.large())
        self.assertEqual(made.run["state"], "done", str(made))
        self.assertEqual(self.proxy.count(fault="time-skewed"), 1)
        self.assertTrue(self.proxy.requests(server=403), "the server never saw the other clock")
        self.assert_whole(team)


class EachWay(Behind):
    """A fifth of all requests fails, in one way at a time: what is made is what a calm team made, byte for byte."""

    FAULTS = ("slow-down", "unavailable", "internal", "internal-after", "timeout", "conflict", "reset-before", "reset-after", "reset-upload",
              "reset-mid", "truncate", "flip")

    def made(self, areas=("cas/", "tree/", "out/")):
        """Packs and records tell when and by whom; what they lead to must be the same."""
        return {key: hashlib.sha256(self.bytes_of(key)).hexdigest() for key in self.keys() if key.startswith(areas) and not key.endswith("latest.json")}

    def test_a_fifth_of_all_requests_fails(self):
        project = self.project(self.pipeline())
        calm = test_bucket.Team(self, "calm", self.store)
        calm.run(project)
        want, prefix = self.made(), self.prefix
        for fault in self.FAULTS:
            with self.subTest(fault):
                self.prefix = f"{prefix}-{fault}"
                self.proxy.rules({"fault": fault, "percent": 20})
                self.proxy.forget()
                team = test_bucket.Team(self, fault, self.server.store("team", self.prefix, self.proxy.endpoint))
                made = team.run(project)
                self.assertEqual(made.run["state"], "done", str(made))
                self.assertGreater(self.proxy.count(fault=fault), 0, "the fault has happened")
                got = self.made()
                self.assertEqual({key: got.get(key) for key in want}, want)
                again = test_bucket.Team(self, fault + "-again", self.server.store("team", self.prefix, self.proxy.endpoint))
                self.assertEqual(again.run(project).run["hits"], 3)
                again.stop()
                team.stop()


class Server(Behind):
    """What a server in trouble does by itself."""

    def test_real_slow_downs_slow_down_and_lose_nothing(self):
        self.server.restart("rgw", rgw_max_concurrent_requests=2)
        self.addCleanup(self.server.restart, "rgw", rgw_max_concurrent_requests=1024)
        steps = {f"s{i}": {"run": f'head -c 3000000 /dev/zero | openssl enc -aes-128-ctr -K {i:02} -iv 00 > "${{outputs.o}}"', "outputs": {"o": "o"}}
                 for i in range(24)}
        project = self.project(self.home.doc(steps))
        store = self.server.store("team", self.prefix)
        teams = [test_bucket.Team(self, name, store) for name in ("first", "second", "third")]
        runs = [self.begin(team, project) for team in teams]
        for run in runs:
            self.assertEqual(run.event("run.finished")["state"], "done", run.story())
        refused = [row for row in self.server.requests() if row[3] == 503 and self.prefix in row[2]]
        self.assertTrue(refused, "the gateway said SlowDown")
        for key in self.keys("cas/"):
            self.assertEqual(hashlib.sha256(self.bytes_of(key)).hexdigest(), key.rpartition("/")[2])

    def test_a_stalled_disk_is_waited_for(self):
        project = self.large()
        team = test_bucket.Team(self, "first", self.store)
        self.proxy.forget()
        self.server.pause("osd")
        self.addCleanup(self.server.resume, "osd")
        run = self.begin(team, project)
        self.proxy.wait(1, ended=False, path=self.prefix)
        self.server.resume("osd")
        self.assertEqual(run.event("run.finished")["state"], "done", run.story())
        self.assert_whole(team)


class Hostile(test_bucket.Bucket):
    def put(self, key, data):
        self.server.client().put(f"/team/{self.prefix}/v1/main/{key}", data, x_amz_meta_sha256=hashlib.sha256(data).hexdigest())

    def forget_segments(self):
        for key in self.keys("seg/"):
            self.server.client().delete(f"/team/{self.prefix}/v1/main/{key}")

    def records(self):
        """{step: (key, bytes)} of the records that lie under their own keys."""
        found = {}
        for key in self.keys("key/"):
            data = self.bytes_of(key)
            step = data.partition(b"\xa4step")[2]
            found[step[1:1 + (step[0] & 0x1F)].decode()] = (key, data)
        return found

    def test_a_record_under_another_key_is_refused_and_replaced(self):
        project = self.project(self.home.doc({name: {"run": f'echo {name} > "${{outputs.o}}"', "outputs": {"o": "o"}} for name in ("good", "bad")}))
        test_bucket.Team(self, "first", self.store).run(project)
        self.home.witness()
        found = self.records()
        self.put(found["bad"][0], found["good"][1])
        self.forget_segments()
        second = test_bucket.Team(self, "second", self.store)
        healed = second.run(project)
        self.assert_says(healed, good="hit", bad="miss record-corrupt")
        self.assert_witness("bad")
        second.get("bad.o", self.home.path("o"))
        with open(self.home.path("o"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "bad\n")
        self.forget_segments()
        third = test_bucket.Team(self, "third", self.store)
        self.assertEqual(set(third.run(project).says.values()), {"hit"})
        self.assert_witness()

    def test_a_tree_that_points_outside_is_refused_and_made_again(self):
        """Its digest is right, and a record with a right checksum names it."""
        project = self.project(self.home.doc({
            "make": {"run": 'echo hello > "${outputs.d}/f"; ln -s f "${outputs.d}/l"', "outputs": {"d": "d/"}},
            "use": {"run": 'cat "${inputs.d}/l" > "${outputs.o}"', "inputs": {"d": "make.d"}, "outputs": {"o": "o"}}}))
        test_bucket.Team(self, "first", self.store).run(project)
        file = [b"f", "f", hashlib.sha256(b"hello\n").digest(), 6]
        root = hashlib.sha256(keycheck.pack(["dir/1", [file, [b"l", "l", b"f", 0]]])).digest()
        key, record = self.records()["make"]
        self.assertIn(root, record)
        good = [file, [b"l", "l", b"f", 0]]
        for i, entries in enumerate((good, [file, [b"l", "l", b"../../../../../../../../etc/passwd", 0]], [file, [b"l", "l", b"/etc/passwd", 0]],
                                     [[b"../f", *file[1:]], good[1]])):
            node = keycheck.pack(["dir/1", entries])
            evil = hashlib.sha256(node).digest()
            body = record[:-32].replace(root, evil)
            self.put(f"tree/{evil.hex()[:2]}/{evil.hex()}", zstd_of(keycheck.pack(["stepcache.tree/1", [node]])))
            self.put(key, body + hashlib.sha256(body).digest())
            self.forget_segments()
            self.home.witness()
            team = test_bucket.Team(self, f"after-{i}", self.store)
            healed = team.run(project, "--force", "use")
            self.assertEqual(healed.run["state"], "done", str(healed))
            self.assert_witness("use", *(["make"] if entries != good else []))
            team.get("use.o", self.home.path(f"o{i}"))
            with open(self.home.path(f"o{i}"), encoding="utf-8") as text:
                self.assertEqual(text.read(), "hello\n")
            team.stop()


class Outside(test_bucket.Bucket):
    def test_other_clients_read_what_was_published(self):
        clients = {"aws": ["s3", "cp", "--quiet", "--recursive", "--endpoint-url", self.server.endpoint, "s3://"], "rclone": ["copy", "s3:"]}
        clients = {name: args for name, args in clients.items() if shutil.which(name, path=lib.PATH)}
        if not clients:
            self.skipTest("needs aws or rclone")
        project = self.project(self.pipeline())
        team = test_bucket.Team(self, "first", self.store)
        team.run(project)
        names = {key.rpartition("/")[2]: key for key in self.keys("out/") if "/report/report/" in key and not key.endswith(".json")}
        self.assertEqual(set(names), {"a%20b.txt", "more"})
        place = f"team/{self.prefix}/v1/main/" + names["more"].rpartition("/")[0]
        env = {"PATH": lib.PATH, "HOME": self.home.path("home"), **self.server.env(bucket="team"), "RCLONE_CONFIG_S3_TYPE": "s3",
               "RCLONE_CONFIG_S3_PROVIDER": "Ceph", "RCLONE_CONFIG_S3_ENV_AUTH": "true", "RCLONE_CONFIG_S3_ENDPOINT": self.server.endpoint}
        for to, args in clients.items():
            subprocess.run([to, *args[:-1], args[-1] + place, self.home.path(to)], env=env, check=True, timeout=lib.DEADLINE, stderr=subprocess.DEVNULL)
            for name, key in names.items():
                with open(self.home.path(to, name), "rb") as file:
                    self.assertEqual(file.read(), self.bytes_of(key), (to, name))


if __name__ == "__main__":
    lib.main()
