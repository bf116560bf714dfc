"""Teams that share a bucket of a real S3 server, and know nothing else of one another."""
import collections
import hashlib
import json
import os
import re
import shutil
import signal
import unittest

import faultproxy
import lib
import s3server

FILES = 300
HAS_LIBS3 = os.path.exists(os.path.join(os.environ["STEPCACHE_BUILD"], "store/libs3/stepcache-libs3.so"))


class Team:
    """A coordinator and an agent with folders of their own, and the bucket."""

    def __init__(self, case, name, store):
        self.home, self.name, self.root = case.home, name, case.home.path(name)
        os.mkdir(self.root, 0o700)
        self.endpoint, self.agents = (f"ipc://{self.root}/{socket}.sock" for socket in ("client", "agent"))
        self.write("coordinator.conf", f"state: {self.root}/c\nstore: {store}\nclient: {self.endpoint}\nagent: {self.agents}\n")
        self.write("agent.conf", f"work: {self.root}/a\nstore: {store}\ncoordinator: {self.agents}\nname: {name}\n")
        self.start()

    def write(self, name, text):
        with open(os.path.join(self.root, name), "w", encoding="utf-8") as file:
            file.write(text)

    def start(self):
        self.coordinator = self.home.start("--config", f"{self.root}/coordinator.conf", name="step-coordinator")
        self.coordinator.says("ready")
        self.agent = self.home.start("--config", f"{self.root}/agent.conf", name="step-agent")

    def stop(self, with_=signal.SIGTERM):
        for live in (self.agent, self.coordinator):
            live.signal(with_)
            live.wait()

    def forget(self, with_=signal.SIGTERM):
        """Ends, and loses all that it had on this machine."""
        self.stop(with_)
        for folder in ("c", "a"):
            shutil.rmtree(os.path.join(self.root, folder))

    def run(self, project, *args, code=0):
        return self.home.stepctl("submit", "--watch", "--json", "--coordinator", self.endpoint, "pipeline.yaml", *args, cwd=project.root, code=code)

    def get(self, what, to):
        return self.home.stepctl("get", "--coordinator", self.endpoint, "latest", what, to, code=0)


class Bucket(lib.Case):
    """One server for all; each test has a prefix of its own."""

    CLIENT = ""  # what the store's URL says beyond where it is

    @classmethod
    def setUpClass(cls):
        lib.need_s3_server()
        cls.server = s3server.Server()
        cls.addClassCleanup(cls.server.stop)
        cls.server.bucket("team")

    def setUp(self):
        super().setUp()
        self.prefix = self.id().rpartition(".")[2]
        self.home.env.update(self.server.env(bucket="team", prefix=self.prefix))
        self.store = self.server.store("team", self.prefix) + self.CLIENT

    def tearDown(self):
        self.end_in_order()
        super().tearDown()

    def keys(self, area=""):
        """{key below the domain: size}, by the server's own listing."""
        found, after = {}, ""
        while True:
            query = {"list-type": "2", "prefix": f"{self.prefix}/v1/main/{area}", **({"start-after": after} if after else {})}
            answer = self.server.client().call("GET", "/team", query)
            page = re.findall(r"<Key>([^<]*)</Key>.*?<Size>(\d+)</Size>", answer.body.decode())
            found.update((key.split("/v1/main/", 1)[1], int(size)) for key, size in page)
            if "<IsTruncated>true" not in answer.body.decode():
                return found
            after = page[-1][0]

    def bytes_of(self, key):
        return self.server.client().get(f"/team/{self.prefix}/v1/main/{key}").body

    def pipeline(self):
        """A large file, a folder of many small ones, a step that reads both, a published report."""
        return self.home.doc({
            "make": {"run": 'i=0; while [ $i -lt %d ]; do echo "file $i" > "${outputs.many}/$i"; i=$((i+1)); done\n'
                            'head -c 30000000 /dev/zero | openssl enc -aes-128-ctr -K 00 -iv 00 > "${outputs.large}"' % FILES,
                     "outputs": {"many": "many/", "large": "large.bin"}},
            "sum": {"run": 'cat "${inputs.many}"/* "${inputs.large}" | sha256sum > "${outputs.sum}"', "inputs": {"many": "make.many", "large": "make.large"},
                    "outputs": {"sum": "sum.txt"}},
            "report": {"run": 'cp "${inputs.sum}" "${outputs.report}/a b.txt"; echo more > "${outputs.report}/more"',
                       "inputs": {"sum": "sum.sum"}, "outputs": {"report": "report/"}}},
            outputs={"report": "report.report"})

    def requests(self):
        """How many requests of each method the gateway has answered for this test's prefix."""
        return collections.Counter(method for _, method, target, _ in self.server.requests() if self.prefix in target)


class Shared(Bucket):
    def test_two_teams_hit_one_another_and_a_third_life_hits_both(self):
        project = self.project(self.pipeline())
        first = Team(self, "first", self.store)
        made = first.run(project)
        self.assertEqual(set(made.says.values()), {"miss never-seen"}, str(made))
        self.assert_witness("make", "sum", "report")

        second = Team(self, "second", self.store)
        before = sum(self.requests().values())
        self.assertEqual(set(second.run(project).says.values()), {"hit"})
        self.assert_witness()
        self.assertLessEqual(sum(self.requests().values()) - before, 23)
        second.get("sum.sum", self.home.path("sum"))

        first.forget()
        first.start()
        self.assertEqual(set(first.run(project).says.values()), {"hit"})
        self.assert_witness()

        cas = self.keys("cas/")
        self.assertTrue(cas)
        for key in cas:
            self.assertEqual(hashlib.sha256(self.bytes_of(key)).hexdigest(), key.rpartition("/")[2])
        self.assertLessEqual(len(self.keys("pack/")), 3)
        published = {key.rpartition("/report/")[2]: key for key in self.keys("out/") if not key.endswith(".json")}
        with open(self.home.path("sum"), "rb") as file:
            self.assertEqual(self.bytes_of(published["a%20b.txt"]), file.read())
        said = self.home.stepctl("uri", "--coordinator", first.endpoint, "report", code=0).out.strip()
        self.assertEqual(f"{said}/a%20b.txt", f"s3://team/{self.prefix}/v1/main/{published['a%20b.txt']}")

    def test_requests_are_counted_once_whatever_starts_again(self):
        project = self.project(self.pipeline())
        team = Team(self, "first", self.store)
        team.run(project)
        for _ in range(2):  # the agent lives on, and goes on counting
            team.coordinator.signal(signal.SIGTERM)
            team.coordinator.wait()
            team.coordinator = self.home.start("--config", f"{team.root}/coordinator.conf", name="step-coordinator")
            team.coordinator.says("ready")
            team.run(project, "--refresh")
        team.stop()
        with open(f"{team.root}/c/requests.json", encoding="utf-8") as file:
            told = json.load(file)
        answered = sum(self.requests().values())
        self.assertLessEqual(told["put"] + told["get"] + told["delete"], answered)
        self.assertGreater(told["put"] + told["get"] + told["delete"], 0.9 * answered)

    def test_a_withdrawn_result_is_a_miss_for_the_other_team(self):
        project = self.project(self.pipeline())
        first, second = Team(self, "first", self.store), Team(self, "second", self.store)
        first.run(project)
        second.run(project)
        self.home.witness()
        first.run(project, "--refresh")
        self.assert_witness("make", "sum", "report")
        again = second.run(project)
        self.assertEqual(set(again.says.values()), {"hit"})
        self.assert_witness()
        fresh = json.loads(self.bytes_of("out/default/e2e/latest.json"))
        self.assertTrue(fresh)

    def test_a_step_keeps_the_budget_of_requests(self):
        """Each is looked for, its output put, and its record: by whichever of the two, small outputs lie in the record."""
        steps = 50
        team = Team(self, "first", self.store)
        for size in (3, 9000):
            before = self.requests()
            document = self.home.doc({f"s{size}-{i}": {"run": f'printf "%0{size}d" {i} > "${{outputs.o}}"', "outputs": {"o": "o"}} for i in range(steps)})
            team.run(self.project(document, f"of-{size}"))
            spent = self.requests() - before
            self.assertLessEqual(spent["PUT"], 2 * steps + 10, spent)
            self.assertLessEqual(spent["GET"] + spent["HEAD"], steps + 15, spent)
        spent = self.requests()
        self.assertLessEqual(spent["DELETE"] + spent["POST"], 2, spent)  # of what lay there to go on with each run


class Published(Bucket):
    def folder(self):
        """Small files, some that lie alone, one that can be run, one in a folder."""
        return self.home.doc({
            "make": {"run": 'd="${outputs.d}"; i=0; while [ $i -lt %d ]; do echo "file $i" > "$d/$i"; i=$((i+1)); done\n'
                            'mkdir "$d/sub"; for i in 0 1 2; do head -c 300000 /dev/zero | openssl enc -aes-128-ctr -K 00 -iv 0$i > "$d/sub/large $i"; done\n'
                            'echo "#!/bin/sh" > "$d/tool"; chmod +x "$d/tool"' % FILES, "outputs": {"d": "d/"}}}, outputs={"all": "make.d"})

    def published(self, team):
        """{path: digest} of what lies in the bucket, and the same as `get` and the manifest tell it."""
        keys = {key.split("/d/", 1)[1].split("/", 1)[1]: key for key in self.keys("out/") if not key.endswith("latest.json")}
        manifest = json.loads(self.bytes_of(keys.pop("manifest.json")))
        lies = {path[len("d/"):].replace("%20", " "): hashlib.sha256(self.bytes_of(key)).hexdigest() for path, key in keys.items()}
        to = self.home.path(f"got-{team.name}")
        team.get("make.d", to)
        got = {}
        for folder, _, files in os.walk(to):
            for name in files:
                with open(os.path.join(folder, name), "rb") as file:
                    got[os.path.relpath(file.name, to)] = hashlib.sha256(file.read()).hexdigest()
        return lies, got, {row["path"]: row["digest"] for row in manifest["files"]}

    def out_requests(self):
        return [(method, target) for _, method, target, _ in self.server.requests() if f"{self.prefix}/v1/main/out/" in target]

    def test_a_folder_is_published_byte_for_byte_and_its_manifest_last(self):
        project = self.project(self.folder())
        team = Team(self, "first", self.store)
        team.run(project)
        asked = self.out_requests()
        lies, got, manifest = self.published(team)
        self.assertEqual(len(lies), FILES + 4)
        self.assertEqual(lies, got)
        self.assertEqual(lies, manifest)
        written = [target for method, target in asked if method == "PUT"]
        self.assertEqual(len(written), FILES + 4 + 2)
        self.assertIn("manifest.json", written[-2])
        self.assertLessEqual(len(asked) - len(written), 2, "what is new is not asked for file by file")
        # The same again writes nothing, and what is lost or cut is written again.
        before = len(self.out_requests())
        second = Team(self, "second", self.store)
        second.run(project)
        again = [target for method, target in self.out_requests()[before:] if method == "PUT"]
        self.assertEqual([target.rpartition("/")[2] for target in again], ["latest.json"])
        some = sorted(key for key in self.keys("out/") if re.search("/d/(7|sub/large%201|tool)$", key))
        self.assertEqual(len(some), 3)
        for key in some[:2]:
            self.server.client().delete(f"/team/{self.prefix}/v1/main/{key.replace('%', '%25')}")
        self.server.client().put(f"/team/{self.prefix}/v1/main/{some[2].replace('%', '%25')}", b"cut")
        second.run(project)
        self.assertEqual(self.published(second)[0], got)

    def test_a_folder_is_published_through_a_broken_network(self):
        project = self.project(self.folder())
        proxy = faultproxy.FaultProxy(self.server.options["port"], seed=int(os.environ.get("STEPCACHE_SEED", "11")))
        self.addCleanup(proxy.stop)
        proxy.rules(*({"fault": fault, "percent": 2} for fault in Faulty.FAULTS))
        team = Team(self, "faulty", self.server.store("team", self.prefix, proxy.endpoint))
        made = team.run(project)
        self.assertEqual(made.run["state"], "done", str(made))
        self.assertGreater(sum(proxy.count(fault=fault) for fault in Faulty.FAULTS), 10)
        proxy.rules()
        lies, got, manifest = self.published(team)
        self.assertEqual(len(lies), FILES + 4)
        self.assertEqual(lies, got)
        self.assertEqual(lies, manifest)


class Cattle(Bucket):
    def test_a_killed_team_on_an_empty_disk_goes_on_with_its_run(self):
        gate, bell = self.home.pipe("gate"), self.home.pipe("bell")
        project = self.project(self.home.doc({
            "a": {"run": 'echo 1 > "${outputs.o}"', "outputs": {"o": "o"}},
            "b": {"run": 'echo here > "$W/bell"; read go < "$W/gate"; cat "${inputs.i}" > "${outputs.o}"', "inputs": {"i": "a.o"}, "outputs": {"o": "o"}}}))
        team = Team(self, "first", self.store)
        at = ("--coordinator", team.endpoint)
        run = self.home.stepctl("submit", "--json", *at, "pipeline.yaml", cwd=project.root, code=0).events[0]["run"]
        bell.wait()
        self.assert_witness("a", "b")
        clock = lib.Clock()
        while not self.keys("key/"):
            clock.left("the record of a")
        self.assertEqual([key.rpartition("/")[2] for key in self.keys("open/")], [run])
        team.forget(signal.SIGKILL)
        other = Team(self, "second", self.store)  # another coordinator on this host is another one
        self.assertEqual(len(self.keys("open/")), 1)
        other.stop()
        team.start()
        bell.wait()
        gate.let()
        end = self.home.stepctl("watch", "--json", *at, run, code=0)
        self.assertEqual(end.run["state"], "done", str(end))
        self.assertEqual(end.says["a"], "hit")
        self.assert_witness("b")
        team.stop()
        self.assertEqual(self.keys("open/"), {})


class Doctor(Bucket):
    def doctor(self, store, user="main"):
        self.home.env.update(self.server.env(user, bucket="team"))
        said = self.home.stepctl("doctor", "--json", "--store", store)
        return {row["check"]: row for row in map(json.loads, said.out.splitlines())}

    def test_doctor_tries_what_a_server_must_do(self):
        said = self.doctor(self.store)
        self.assertEqual({said[check]["state"] for check in ("store", "conditions", "checksums", "clock", "list", "remove")}, {"ok"}, said)
        self.assertNotIn("versions", said)
        self.assertNotIn(f"{self.prefix}/v1/doctor", self.server.client().call("GET", "/team", {"list-type": "2", "prefix": self.prefix}).body.decode())
        self.server.bucket("kept", versioned=True)
        self.assertEqual(self.doctor(self.server.store("kept"))["versions"]["state"], "warn")

    @unittest.skipUnless(HAS_LIBS3, "built without libs3")
    def test_doctor_says_that_libs3_is_for_one_coordinator(self):
        said = self.doctor(self.store + "&client=libs3")
        self.assertEqual({said[check]["state"] for check in ("store", "checksums", "clock", "list", "remove")}, {"ok"}, said)
        self.assertEqual(said["conditions"]["state"], "warn")
        self.assertIn("one coordinator", said["conditions"]["advice"])

    def test_doctor_names_the_right_that_is_missing(self):
        self.doctor(self.store)
        denied = self.doctor(self.store, "reader")["store"]
        self.assertEqual(denied["state"], "fail")
        self.assertIn("PutObject", denied["advice"] + denied["message"])
        self.assertEqual(self.doctor(self.store, "nolist")["list"]["state"], "warn")
        self.assertEqual(self.doctor(self.server.store("nowhere"))["store"]["state"], "fail")


class Broken(Bucket):
    def remove(self, pattern):
        found = [key for key in self.keys() if re.match(pattern, key)]
        self.assertTrue(found, pattern)
        for key in found:
            self.server.client().delete(f"/team/{self.prefix}/v1/main/{key}")

    def test_what_a_lifecycle_rule_took_is_made_again_as_far_up_as_needed(self):
        project = self.project(self.pipeline())
        first = Team(self, "first", self.store)
        first.run(project)
        for area in ("pack/", "cas/", "tree/"):
            self.home.witness()
            self.remove(area)
            second = Team(self, "after-" + area[:-1], self.store)
            healed = second.run(project, "--force", "sum")
            self.assertEqual(healed.run["state"], "done", str(healed))
            self.assertIn("make", self.home.witness())
            second.stop()
        self.assertEqual(set(first.run(project).says.values()), {"hit"})

    def test_a_wrong_byte_is_refused_and_made_again(self):
        project = self.project(self.pipeline())
        first = Team(self, "first", self.store)
        first.run(project)
        for area in ("pack/", "cas/"):
            key = max(self.keys(area).items(), key=lambda item: item[1])[0]
            body = bytearray(self.bytes_of(key))
            body[len(body) // 2] ^= 1
            self.server.client().put(f"/team/{self.prefix}/v1/main/{key}", bytes(body))
            second = Team(self, "after-" + area[:-1], self.store)
            self.home.witness()
            healed = second.run(project, "--force", "sum")
            self.assertEqual(healed.run["state"], "done", str(healed))
            self.assertIn("make", self.home.witness())
            if area == "cas/":
                self.assertEqual(hashlib.sha256(self.bytes_of(key)).hexdigest(), key.rpartition("/")[2])
            second.stop()


class Whole(Bucket):
    """Commands that look at the whole bucket."""

    def rows(self, team, *args, code=0):
        out = self.home.stepctl("cache", *args, "--json", "--coordinator", team.endpoint, code=code).out
        return [json.loads(line) for line in out.splitlines()]

    def put(self, key, data):
        self.server.client().put(f"/team/{self.prefix}/v1/main/{key}", data)

    def test_stats_count_what_is_there_and_what_was_asked(self):
        project = self.project(self.pipeline())
        team = Team(self, "first", self.store)
        team.run(project)
        team.run(project)
        stats, = self.rows(team, "stats")
        sizes = [size for area in ("cas/", "tree/", "pack/") for size in self.keys(area).values()]
        self.assertEqual((stats["objects"], stats["bytes"], stats["records"]), (len(sizes), sum(sizes), 3))
        self.assertEqual((stats["hits"], stats["misses"], stats["hit_rate"]), (3, 3, 0.5))
        self.assertGreater(stats["requests_price"], 0)
        self.assertAlmostEqual(stats["storage_price_a_month"], sum(sizes) / (1 << 30) * 0.023, 6)
        team.stop()
        with open(os.path.join(team.root, "c", "requests.json"), encoding="utf-8") as file:
            counted = json.load(file)
        # The listings of this test are the test's own client's, and name no prefix in their path.
        asked = collections.Counter()
        for _, method, target, _ in self.server.requests():
            if f"/{self.prefix}/" in target or (f"prefix={self.prefix}" in target and "start-after" not in target and "max-keys" in target):
                lists = method == "GET" and "list-type" in target
                asked["put" if method in ("PUT", "POST") or lists else "delete" if method == "DELETE" else "get"] += 1
        self.assertEqual({name: counted[name] for name in ("put", "get", "delete")}, dict(asked))

    def test_verify_reads_every_byte_and_names_what_is_wrong(self):
        project = self.project(self.pipeline())
        team = Team(self, "first", self.store)
        team.run(project)
        clean, = self.rows(team, "verify")
        self.assertEqual((clean["state"], clean["corrupt"], clean["missing"], clean["records"]), ("ok", 0, 0, 3))
        self.assertGreater(clean["bytes"], 30000000)
        wrong = [max(self.keys(area).items(), key=lambda item: item[1])[0] for area in ("cas/", "pack/", "tree/")]
        for key in wrong:
            body = bytearray(self.bytes_of(key))
            body[len(body) // 2] ^= 1
            self.put(key, bytes(body))
        *found, end, error = self.rows(team, "verify", code=3)
        self.assertEqual(error["code"], "corrupt")
        self.assertEqual(sorted(row["object"].split("/v1/main/")[-1].removeprefix("v1/main/") for row in found if row["state"] == "corrupt"), sorted(wrong), str(found))
        self.assertEqual(end["corrupt"], 3)
        self.home.witness()
        again = Team(self, "second", self.store)
        made = again.run(project)
        self.assertEqual(made.run["state"], "done")
        self.assertIn("make", self.home.witness())
        clean = self.rows(again, "verify")[-1]
        self.assertEqual((clean["corrupt"], clean["missing"]), (0, 0))


class Own(Bucket):
    """A user's own coordinator on a bucket: nothing but `stepctl run`."""

    def test_a_bucket_by_option_and_by_variable_is_shared_with_an_empty_disk(self):
        project = self.project(self.pipeline())
        address, _, parameters = self.store.partition("?")
        endpoint = re.search(r"endpoint=([^&]*)", parameters).group(1)
        made = project.run("--store", address, "--endpoint-url", endpoint)
        self.assertEqual(made.run["misses"], 3, str(made))
        self.assertTrue(self.keys("out/"), "published in the bucket")
        again = project.run("--store", address, "--endpoint-url", endpoint)
        self.assertEqual(again.run["hits"], 3, str(again))
        self.assertEqual(self.home.wait_gone(), {}, "the agent is still tidying")
        for folder in ("cache", "state"):
            shutil.rmtree(self.home.path(folder))
        by_variable = project.run(env={"STEPCACHE_STORE": f"{address}?endpoint={endpoint}"})
        self.assertEqual(by_variable.run["hits"], 3, str(by_variable))
        self.assertEqual(len(self.home.witness()), 3)
        alone = project.run()
        self.assertEqual(alone.run["misses"], 3, "the usual store knows nothing of it")

    def test_outputs_are_read_from_the_bucket(self):
        project = self.project(self.pipeline())
        env = {"STEPCACHE_STORE": self.store}
        project.run(env=env)
        self.home.stepctl("get", "latest", "sum.sum", self.home.path("sum"), env=env, code=0)
        with open(self.home.path("sum"), encoding="ascii") as file:
            self.assertRegex(file.read(), "^[0-9a-f]{64} ")
        verified = json.loads(self.home.stepctl("cache", "verify", "--json", env=env, code=0).out.splitlines()[0])
        self.assertEqual(verified["state"], "ok", str(verified))


class Faulty(Bucket):
    FAULTS = ["slow-down", "internal", "conflict", "reset-before", "reset-after", "truncate", "reset-mid", "internal-after", "reset-upload", "flip"]

    def test_every_fault_at_once_changes_no_byte(self):
        project = self.project(self.pipeline())
        calm = Team(self, "calm", self.store)
        calm.run(project)
        want = {key: hashlib.sha256(self.bytes_of(key)).hexdigest() for key in self.keys() if key.startswith(("cas/", "tree/", "out/"))}
        proxy = faultproxy.FaultProxy(self.server.options["port"], seed=int(os.environ.get("STEPCACHE_SEED", "7")))
        self.addCleanup(proxy.stop)
        proxy.rules(*({"fault": fault, "percent": 2} for fault in self.FAULTS))
        self.prefix += "-again"
        team = Team(self, "faulty", self.server.store("team", self.prefix, proxy.endpoint) + self.CLIENT)
        made = team.run(project)
        self.assertEqual(made.run["state"], "done", str(made))
        got = {key: hashlib.sha256(self.bytes_of(key)).hexdigest() for key in self.keys() if key.startswith(("cas/", "tree/", "out/"))}
        for key, digest in want.items():
            if not key.endswith("latest.json"):
                self.assertEqual(got.get(key), digest, key)
        self.assertGreater(sum(proxy.count(fault=fault) for fault in self.FAULTS), 0)


@unittest.skipUnless(HAS_LIBS3, "built without libs3")
class FaultyByLibs3(Faulty):
    CLIENT = "&client=libs3"


if __name__ == "__main__":
    lib.main()
