"""Sources in S3: data in a bucket of a real server that others write, pinned and read by agents."""
import hashlib
import json
import shutil
import signal
import subprocess
import threading

import cloudendpoints
import faultproxy
import lib
from test_bucket import Bucket, Team


class Sources(Bucket):
    """Each test has a prefix of its own in a bucket of data, too."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server.bucket("data")
        cls.server.bucket("kept", versioned=True)

    def put(self, key, body=b"", bucket="data"):
        answer = self.server.client().put(f"/{bucket}/{self.prefix}/{key}", body)
        self.assertEqual(answer.status, 200, answer)
        return answer.headers.get("x-amz-version-id")

    def remove(self, key):
        self.server.client().delete(f"/data/{self.prefix}/{key}")

    def address(self, key="", bucket="data"):
        return f"s3://{bucket}/{self.prefix}/{key}"

    def document(self, address, command='cat "${inputs.raw}"'):
        return self.home.doc({"use": {"run": command + ' > "${outputs.o}"', "inputs": {"raw": "sources.raw"}, "outputs": {"o": "o"}}},
                             sources={"raw": address})

    def folder(self, address):
        return self.document(address, 'cd "${inputs.raw}"; (find . | LC_ALL=C sort; find . -type f | LC_ALL=C sort | xargs -r cat)')

    def asked(self, bucket="data"):
        """The requests for this test's data that the gateway has answered since the last time: "METHOD key"."""
        rows = [(method, target) for _, method, target, _ in self.server.requests()]
        new, self.seen = rows[getattr(self, "seen", 0):], len(rows)
        found = []
        for method, target in new:
            path, _, query = target.partition("?")
            if path.startswith(f"/{bucket}/{self.prefix}/"):
                found.append(f"{method} {path.partition(self.prefix + '/')[2]}")
            elif path.rstrip("/") == f"/{bucket}" and self.prefix in query:
                found.append("LIST")
        return found

    def output(self, team):
        to = self.home.path("got")
        subprocess.run(["rm", "-rf", to], check=True)
        team.get("use.o", to)
        with open(to, "rb") as file:
            return file.read()


class File(Sources):
    def test_an_unchanged_object_is_not_read_again_and_one_overwritten_in_place_is_a_miss(self):
        self.put("a.csv", b"one\n")
        team, project = Team(self, "first", self.store), self.project(self.document(self.address("a.csv")))
        self.asked()
        self.assertEqual(team.run(project).says, {"use": "miss never-seen"})
        self.assertEqual(self.output(team), b"one\n")
        self.assertEqual([row for row in self.asked() if row.startswith("GET")], ["GET a.csv"])
        self.assertIn(f"cas/{hashlib.sha256(b'one' + bytes([10])).hexdigest()[:2]}/{hashlib.sha256(b'one' + bytes([10])).hexdigest()}", self.keys("cas/"))

        self.assertEqual(team.run(project).says, {"use": "hit"})
        self.assertEqual(self.asked(), ["HEAD a.csv"])
        team.stop()
        team.start()
        self.assertEqual(team.run(project).says, {"use": "hit"})
        self.assertEqual(self.asked(), ["HEAD a.csv"])

        self.put("a.csv", b"two\n")
        self.asked()
        said = team.run(project)
        self.assertEqual(said.says, {"use": "miss changed"})
        self.assertIn("input.raw", json.dumps(said.verdicts["use"]["fields"]))
        self.assertEqual(self.output(team), b"two\n")
        self.assertEqual(self.asked(), ["HEAD a.csv", "GET a.csv"])

    def test_the_same_bytes_elsewhere_are_a_hit_and_another_team_hits_too(self):
        self.put("a.csv", b"same\n")
        self.put("b.csv", b"same\n")
        first, second = Team(self, "first", self.store), Team(self, "second", self.store)
        first.run(self.project(self.document(self.address("a.csv"))))
        self.assertEqual(second.run(self.project(self.document(self.address("a.csv")), "project-2")).says, {"use": "hit"})
        self.assertEqual(first.run(self.project(self.document(self.address("b.csv")), "project-3")).says, {"use": "hit"})

    def test_a_version_is_the_one_that_is_read(self):
        old = self.put("a.csv", b"old\n", "kept")
        self.put("a.csv", b"new\n", "kept")
        team = Team(self, "first", self.store)
        team.run(self.project(self.document(self.address("a.csv", "kept"))))
        self.assertEqual(self.output(team), b"new\n")
        team.run(self.project(self.document(self.address("a.csv", "kept") + f"?versionId={old}"), "project-old"))
        self.assertEqual(self.output(team), b"old\n")
        said = team.run(self.project(self.document(self.address("a.csv", "kept") + "?versionId=nothing"), "none"), code=1)
        self.assertRegex(str(said.out), "line [0-9]+.*")

    def test_what_was_read_before_is_copied_by_the_server(self):
        body = bytes(range(256)) * 2000
        self.put("big.bin", body)
        team = Team(self, "first", self.store)
        project = self.project(self.document(self.address("big.bin"), 'sha256sum < "${inputs.raw}"'))
        team.run(project)
        for key in list(self.keys("cas/")):
            self.server.client().delete(f"/team/{self.prefix}/v1/main/{key}")
        team.stop()
        team.start()
        self.asked()
        said = team.run(project, "--force", "use")
        self.assertEqual(said.run["state"], "done", str(said))
        self.assertEqual(self.asked(), ["HEAD big.bin"])
        digest = hashlib.sha256(body).hexdigest()
        self.assertEqual(self.bytes_of(f"cas/{digest[:2]}/{digest}"), body)

    def test_an_object_that_changes_while_it_is_read_is_pinned_again(self):
        self.put("a.csv", b"before\n")
        proxy = faultproxy.FaultProxy(self.server.options["port"])
        self.addCleanup(proxy.stop)
        self.home.env["AWS_ENDPOINT_URL"] = proxy.endpoint
        team, project = Team(self, "first", self.store), self.project(self.document(self.address("a.csv")))
        proxy.rules({"fault": "internal", "method": "GET", "path": "a.csv"})
        said = []
        run = threading.Thread(target=lambda: said.append(team.run(project)))
        run.start()
        proxy.wait(count=1, fault="internal")
        self.put("a.csv", b"afterwards\n")
        proxy.rules()
        run.join()
        self.assertEqual(said[0].run["state"], "done", str(said[0]))
        self.assertEqual(self.output(team), b"afterwards\n")
        self.assertGreater(proxy.count(method="GET", status=412), 0)

    def test_how_far_a_long_reading_is_is_told_to_who_waits_for_it(self):
        self.put("a.csv", b"a" * 1000)
        proxy = faultproxy.FaultProxy(self.server.options["port"])
        self.addCleanup(proxy.stop)
        self.home.env["AWS_ENDPOINT_URL"] = proxy.endpoint
        team, project = Team(self, "first", self.store), self.project(self.document(self.address("a.csv")))
        proxy.rules({"fault": "internal", "method": "GET", "path": "a.csv"})
        live = self.home.start("submit", "--watch", "--json", "--coordinator", team.endpoint, "pipeline.yaml", cwd=project.root)
        told = live.event("step.progress", step="use", attempt=0)
        self.assertEqual((told["phase"], told["done_bytes"], told["source"]), ("fetching", 0, self.address("a.csv")))
        self.assertGreaterEqual(told["total_bytes"], 1000)
        proxy.rules()
        live.event("run.finished", state="done")
        live.wait()

    def test_a_byte_that_is_wrong_on_the_way_is_noticed(self):
        self.put("a.csv", b"a" * 1000)
        proxy = faultproxy.FaultProxy(self.server.options["port"])
        self.addCleanup(proxy.stop)
        self.home.env["AWS_ENDPOINT_URL"] = proxy.endpoint
        proxy.rules({"fault": "flip", "method": "GET", "path": "a.csv", "times": 1})
        team = Team(self, "first", self.store)
        team.run(self.project(self.document(self.address("a.csv"))))
        self.assertEqual(proxy.count(fault="flip"), 1)
        self.assertEqual(self.output(team), b"a" * 1000)


class Version(Sources):
    """identity: version: keyed by version ids, and read only where a step runs."""

    def by_version(self, address):
        return {"uri": address, "identity": "version"}

    def test_it_is_read_where_a_step_runs_and_never_for_a_hit(self):
        old = self.put("a.csv", b"one\n", "kept")
        team, project = Team(self, "first", self.store), self.project(self.document(self.by_version(self.address("a.csv", "kept"))))
        self.asked("kept")
        self.assertEqual(self.home.stepctl("plan", "--json", "--coordinator", team.endpoint, "pipeline.yaml", cwd=project.root, code=0).says,
                         {"use": "miss never-seen"})
        self.assertEqual(self.asked("kept"), ["HEAD a.csv"])
        self.assertEqual(team.run(project).says, {"use": "miss never-seen"})
        self.assertEqual(self.output(team), b"one\n")
        self.assertEqual([row for row in self.asked("kept") if row.startswith("GET")], ["GET a.csv"])
        second = Team(self, "second", self.store)
        self.assertEqual(second.run(self.project(self.document(self.by_version(self.address("a.csv", "kept") + f"?versionId={old}")), "other")).says, {"use": "hit"})
        self.assertEqual(self.asked("kept"), ["HEAD a.csv"])

        new = self.put("a.csv", b"two\n", "kept")
        said = team.run(project)
        self.assertEqual(said.says, {"use": "miss changed"})
        fields = [field for field in said.verdicts["use"]["fields"] if field["label"] == "input.raw"]
        self.assertEqual(len(fields), 1, said.verdicts)
        self.assertIn(f"s3://kept/{self.prefix}/a.csv?versionId={old}"[-40:], fields[0]["old"])
        self.assertIn(new, fields[0]["new"])
        self.assertEqual(self.output(team), b"two\n")

    def test_neither_equal_bytes_nor_another_identity_is_a_hit(self):
        first = self.put("a", b"same\n", "kept")
        team = Team(self, "first", self.store)
        self.assertEqual(team.run(self.project(self.document(self.address("a", "kept")), "content")).says, {"use": "miss never-seen"})
        self.assertEqual(team.run(self.project(self.document(self.by_version(self.address("a", "kept"))), "version")).says, {"use": "miss changed"})
        self.put("a", b"same\n", "kept")
        self.assertEqual(team.run(self.project(self.document(self.by_version(self.address("a", "kept"))), "again")).says, {"use": "miss changed"})
        self.assertEqual(team.run(self.project(self.document(self.by_version(self.address("a", "kept") + f"?versionId={first}")), "old")).says, {"use": "hit"})
        self.put("b", b"same\n", "kept")
        self.assertEqual(team.run(self.project(self.document(self.by_version(self.address("b", "kept"))), "b")).says, {"use": "miss changed"})

    def test_what_was_pinned_is_what_is_read(self):
        pinned = self.put("a", b"pinned\n", "kept")
        proxy = faultproxy.FaultProxy(self.server.options["port"])
        self.addCleanup(proxy.stop)
        self.home.env["AWS_ENDPOINT_URL"] = proxy.endpoint
        team, project = Team(self, "first", self.store), self.project(self.document(self.by_version(self.address("a", "kept"))))
        proxy.rules({"fault": "internal", "method": "GET", "path": "/a"})
        said = []
        run = threading.Thread(target=lambda: said.append(team.run(project)))
        run.start()
        proxy.wait(count=1, fault="internal")
        self.put("a", b"later\n", "kept")
        proxy.rules()
        run.join()
        self.assertEqual(said[0].run["state"], "done", str(said[0]))
        self.assertEqual(self.output(team), b"pinned\n")
        self.assertEqual(team.run(self.project(self.document(self.by_version(self.address("a", "kept") + f"?versionId={pinned}")), "old")).says, {"use": "hit"})
        self.assertEqual(team.run(project).says, {"use": "miss changed"})
        self.assertEqual(self.output(team), b"later\n")

    def test_a_prefix_is_the_versions_below_it(self):
        for name in ("x", "sub/y", "gone"):
            self.put("d/" + name, name.encode() + b"\n", "kept")
        for i in range(3):
            self.put("d/x", b"x%d\n" % i, "kept")
        self.server.client().delete(f"/kept/{self.prefix}/d/gone")
        document = self.folder(self.by_version(self.address("d/", "kept")))
        team, project = Team(self, "first", self.store), self.project(document)
        self.asked("kept")
        self.assertEqual(team.run(project).says, {"use": "miss never-seen"})
        self.assertEqual(self.output(team), b".\n./sub\n./sub/y\n./x\nsub/y\nx2\n")
        asked = self.asked("kept")
        self.assertEqual(sorted(row for row in asked if row != "LIST"), ["GET d/sub/y", "GET d/x"])
        self.assertEqual(team.run(project).says, {"use": "hit"})
        self.assertEqual(self.asked("kept"), ["LIST"])
        self.put("d/sub/y", b"sub/y\n", "kept")
        said = team.run(project)
        self.assertEqual(said.says, {"use": "miss changed"})
        self.assertIn("versions", json.dumps(said.verdicts["use"]["fields"]))
        self.server.client().delete(f"/kept/{self.prefix}/d/sub/y")
        self.assertEqual(team.run(project).says, {"use": "miss changed"})
        self.assertEqual(self.output(team), b".\n./x\nx2\n")

    def test_a_list_of_versions_goes_on_where_a_page_ends_within_a_key(self):
        for i in range(1003):
            last = self.put("d/many", b"%d\n" % i, "kept")
        self.put("d/z", b"z\n", "kept")
        team = Team(self, "first", self.store)
        self.assertEqual(team.run(self.project(self.folder(self.by_version(self.address("d/", "kept"))))).says, {"use": "miss never-seen"})
        self.assertEqual(self.output(team), b".\n./many\n./z\n1002\nz\n", last)

    def stopped_before_reading(self, project, path):
        """A run that is to fail: its sources are known, and no body comes until the proxy has no rules."""
        proxy = faultproxy.FaultProxy(self.server.options["port"])
        self.addCleanup(proxy.stop)
        self.home.env["AWS_ENDPOINT_URL"] = proxy.endpoint
        team, said = Team(self, "first", self.store), []
        proxy.rules({"fault": "internal", "method": "GET", "path": path})
        run = threading.Thread(target=lambda: said.append(team.run(project, code=1)))
        run.start()
        proxy.wait(count=1, fault="internal")
        return proxy, run, said

    def test_a_prefix_that_changed_before_it_was_read_fails_the_step(self):
        self.put("d/x", b"1", "kept")
        project = self.project(self.folder(self.by_version(self.address("d/", "kept"))))
        proxy, run, said = self.stopped_before_reading(project, "/x")
        versions = self.server.client().call("GET", "/kept", {"versions": "", "prefix": self.prefix}).body.decode()
        version = versions.partition("<VersionId>")[2].partition("<")[0]
        self.server.client().call("DELETE", f"/kept/{self.prefix}/d/x", {"versionId": version})
        self.put("d/x", b"2", "kept")
        proxy.rules()
        run.join()
        self.assertIn("others than when the run began", said[0].out)
        self.assertRegex(said[0].out, r"source raw \(line \d+\)")

    def test_without_real_versions_it_is_refused_with_what_to_do(self):
        self.put("a", b"1")
        self.put("d/a", b"1")
        team = Team(self, "first", self.store)
        for name, address in (("file", self.address("a")), ("folder", self.address("d/"))):
            said = team.run(self.project(self.folder(self.by_version(address)), name), code=1)
            self.assertIn("it has no version id", said.out)
            self.assertIn("leave `identity: version` out", said.out)
            self.assertRegex(said.out, r"source raw \(line \d+\)")
        self.assertEqual([row for row in self.asked() if row.startswith("GET")], [])

    def versioning(self, bucket, state):
        answer = self.server.client().call("PUT", f"/{bucket}", {"versioning": ""}, body=b"<VersioningConfiguration><Status>%s</Status></VersioningConfiguration>" % state)
        self.assertEqual(answer.status, 200, answer)

    def test_where_versioning_was_suspended_only_what_has_a_version_is_taken(self):
        self.server.bucket("suspended", versioned=True)
        real = self.put("a", b"1", "suspended")
        self.put("d/old", b"1", "suspended")
        self.put("d/x", b"1", "suspended")
        self.versioning("suspended", b"Suspended")
        team = Team(self, "first", self.store)
        projects = [self.project(self.document(self.by_version(self.address("a", "suspended"))), "file"),
                    self.project(self.folder(self.by_version(self.address("d/", "suspended"))), "folder")]
        for project in projects:
            self.assertEqual(team.run(project).run["misses"], 1)
        self.put("a", b"2", "suspended")
        self.put("d/x", b"2", "suspended")
        for project in projects:
            self.assertIn("it has no version id", team.run(project, code=1).out)
        old = self.by_version(self.address("a", "suspended") + f"?versionId={real}")
        self.assertEqual(team.run(self.project(self.document(old), "old")).says, {"use": "hit"})

    def test_a_version_that_is_a_removal_is_said(self):
        self.put("a", b"1", "kept")
        marker = self.server.client().delete(f"/kept/{self.prefix}/a").headers.get("x-amz-version-id")
        self.assertTrue(marker)
        team = Team(self, "first", self.store)
        for name, address in (("content", self.address("a", "kept") + f"?versionId={marker}"), ("version", self.by_version(self.address("a", "kept") + f"?versionId={marker}"))):
            said = team.run(self.project(self.document(address), name), code=1)
            self.assertIn("there is no such version", said.out)

    def test_a_version_that_is_gone_before_it_is_read_is_said(self):
        version = self.put("a", b"1", "kept")
        project = self.project(self.document(self.by_version(self.address("a", "kept"))))
        proxy, run, said = self.stopped_before_reading(project, "/a")
        self.server.client().call("DELETE", f"/kept/{self.prefix}/a", {"versionId": version})
        proxy.rules()
        run.join()
        self.assertRegex(said[0].out, r"source raw \(line \d+\)")
        self.assertIn("start the run again", said[0].out)
        self.assertNotIn("correct `sources`", said[0].out)

    def test_bytes_that_are_gone_from_the_store_are_put_again(self):
        body = b"v" * 300000
        self.put("a", body, "kept")
        team = Team(self, "first", self.store)
        project = self.project(self.document(self.by_version(self.address("a", "kept")), 'sha256sum < "${inputs.raw}"'))
        team.run(project)
        digest = hashlib.sha256(body).hexdigest()
        self.server.client().delete(f"/team/{self.prefix}/v1/main/cas/{digest[:2]}/{digest}")
        team.forget()
        team.start()
        said = team.run(project, "--force", "use")
        self.assertEqual(said.run["state"], "done", str(said))
        self.assertEqual(self.bytes_of(f"cas/{digest[:2]}/{digest}"), body)

    def test_a_coordinator_that_starts_again_goes_on_with_what_was_pinned(self):
        self.put("a", b"one\n", "kept")
        team = Team(self, "first", self.store)
        gate, bell = self.home.pipe("gate"), self.home.pipe("bell")
        document = self.home.doc({"wait": {"run": 'echo here > "$W/bell"; read go < "$W/gate"; echo > "${outputs.o}"', "outputs": {"o": "o"},
                                           "inputs": {"raw": "sources.raw"}},
                                  "use": {"run": 'cat "${inputs.raw}" > "${outputs.o}"', "inputs": {"raw": "sources.raw", "w": "wait.o"}, "outputs": {"o": "o"}}},
                                 sources={"raw": self.by_version(self.address("a", "kept"))})
        project = self.project(document)
        run = self.home.stepctl("submit", "--json", "--coordinator", team.endpoint, "pipeline.yaml", cwd=project.root, code=0).events[0]["run"]
        bell.wait()
        self.put("a", b"two\n", "kept")
        team.coordinator.signal(signal.SIGKILL)
        team.coordinator.wait()
        team.coordinator = self.home.start("--config", f"{team.root}/coordinator.conf", name="step-coordinator")
        team.coordinator.says("ready")
        gate.let()
        self.home.stepctl("watch", "--coordinator", team.endpoint, run, code=0)
        self.assertEqual(self.output(team), b"one\n")


class Allowed(Sources):
    def test_a_run_that_names_what_it_may_not_is_refused_before_anything_is_read(self):
        self.put("a/x", b"1")
        self.put("b/x", b"2")
        team = Team(self, "first", self.store)
        team.stop()
        with open(f"{team.root}/coordinator.conf", "a", encoding="utf-8") as file:
            file.write(f"allow.default: {self.address('a')}, {self.home.path('files')}\n")
        team.start()
        self.asked()
        self.assertEqual(team.run(self.project(self.document(self.address("a/x")))).run["state"], "done")
        self.asked()
        for number, address in enumerate((self.address("b/x"), "file:///etc/hostname")):
            said = team.run(self.project(self.document(address), f"project-{number}"), code=2)
            for word in ("source raw (line ", address.removeprefix("file://"), "namespace default", self.address("a"), self.home.path("files")):
                self.assertIn(word, said.out + said.err)
        self.assertEqual(self.asked(), [])


class Folder(Sources):
    def test_a_prefix_is_a_folder_and_only_what_changed_is_read(self):
        self.put("d/", b"")
        self.put("d/x.txt", b"x\n")
        self.put("d/sub/y.txt", b"y\n")
        self.put("d/empty/", b"")
        self.put("d/sub/big", b"z" * 200000 + b"\n")
        self.put("d2/other", b"no\n")
        team, project = Team(self, "first", self.store), self.project(self.folder(self.address("d/")))
        self.asked()
        team.run(project)
        names = b"".join(row + b"\n" for row in (b".", b"./empty", b"./sub", b"./sub/big", b"./sub/y.txt", b"./x.txt"))
        self.assertEqual(self.output(team), names + b"z" * 200000 + b"\ny\nx\n")
        self.assertEqual(sorted(self.asked()), ["GET d/sub/big", "GET d/sub/y.txt", "GET d/x.txt", "LIST"])
        self.assertEqual(team.run(project).says, {"use": "hit"})
        self.assertEqual(self.asked(), ["LIST"])
        self.put("d/x.txt", b"another\n")
        self.asked()
        self.assertEqual(team.run(project).says, {"use": "miss changed"})
        self.assertIn(b"another\n", self.output(team))
        self.assertEqual([row for row in self.asked() if "x.txt" in row], ["GET d/x.txt"])
        self.remove("d/empty/")
        self.assertEqual(team.run(project).says, {"use": "miss changed"})

    def test_a_prefix_is_the_same_folder_as_one_on_disk(self):
        project = self.project(self.folder("./data/"))
        for name, body in (("x.txt", b"x\n"), ("sub/y", b"y\n"), ("a-b", b"1"), ("a/c", b"2"), ("a0", b"3")):
            project.write("data/" + name, body.decode())
            self.put("d/" + name, body)
        team = Team(self, "first", self.store)
        team.run(project)
        self.assertEqual(team.run(self.project(self.folder(self.address("d/")), "project-s3")).says, {"use": "hit"})

    def test_large_objects_that_are_hashed_at_once_are_the_same_folder_as_on_disk(self):
        project = self.project(self.folder("./data/"))
        for i in range(9):
            body = hashlib.sha256(b"%d" % i).hexdigest() * (40000 if i % 4 else 1)
            project.write(f"data/{i % 3}/{i}", body)
            self.put(f"d/{i % 3}/{i}", body.encode())
        team = Team(self, "first", self.store)
        team.run(project)
        self.assertEqual(team.run(self.project(self.folder(self.address("d/")), "project-s3")).says, {"use": "hit"})

    def test_many_objects_come_whole_into_a_folder_store_too(self):
        for i in range(40):
            self.put(f"d/{i % 7}/{i}", f"file {i}\n".encode() * (i * 900))
        team = Team(self, "first", self.home.path("folder-store"))
        said = team.run(self.project(self.folder(self.address("d/"))))
        self.assertEqual(said.run["state"], "done", str(said))
        self.store = self.home.path("folder-store")
        got = self.output(team)
        for i in range(1, 40):
            self.assertIn(f"file {i}\n".encode() * (i * 900), got)


class Lost(Sources):
    def test_what_is_gone_from_the_store_is_put_again_in_mid_run(self):
        self.put("d/small", b"small\n")
        self.put("d/large", b"l" * 300000)
        self.put("file", b"file\n")
        team = Team(self, "first", self.store)
        hello = self.home.doc({"hello": {"run": "true"}})
        team.run(self.project(hello, "hello"))  # the first to say hello is who is asked about sources
        team.write("second.conf", f"work: {team.root}/b\nstore: {self.store}\ncoordinator: {team.agents}\nname: second\nlabels.zone: b\n")
        second = self.home.start("--config", f"{team.root}/second.conf", name="step-agent")
        document = self.home.doc({"use": {"run": 'cat "${inputs.d}"/* "${inputs.file}" > "${outputs.o}"', "inputs": {"d": "sources.d", "file": "sources.file"},
                                          "outputs": {"o": "o"}, "resources": {"labels": {"zone": "b"}}}},
                                 sources={"d": self.address("d/"), "file": self.address("file")})
        project = self.project(document)
        team.run(project)
        digests = [hashlib.sha256(body).hexdigest() for body in (b"file\n", b"l" * 300000)]
        gone = [key for key in self.keys() if key.startswith(("pack/", "tree/")) or key.rpartition("/")[2] in digests]
        self.assertEqual(len(gone), 4)
        for key in gone:
            self.server.client().delete(f"/team/{self.prefix}/v1/main/{key}")
        second.signal(signal.SIGTERM)
        second.wait()
        shutil.rmtree(f"{team.root}/b")
        self.home.start("--config", f"{team.root}/second.conf", name="step-agent")
        said = team.run(project, "--force", "use")
        self.assertEqual(said.run["state"], "done", str(said))
        self.assertIn("lost result", said.out)
        self.assertEqual(self.output(team), b"l" * 300000 + b"small\nfile\n")


class Roles(Sources):
    """Credentials of a role that a profile takes on."""

    def team(self, **profile):
        keys = self.server.user()
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            self.home.env.pop(name, None)
        with open(self.home.path("aws-config"), "w", encoding="utf-8") as file:
            file.write("[profile team]\nsource_profile = base\n" + "".join(f"{name} = {value}\n" for name, value in profile.items()))
            file.write(f"[profile base]\naws_access_key_id = {keys.key}\naws_secret_access_key = {keys.secret}\n")
        self.home.env.update({"AWS_CONFIG_FILE": self.home.path("aws-config"), "AWS_PROFILE": "team"})
        return Team(self, "first", self.store)

    def test_the_real_sts_gives_what_reads_and_writes(self):
        self.put("a", b"by a role\n")
        team = self.team(role_arn=self.server.role(), duration_seconds=900)
        self.assertEqual(team.run(self.project(self.document(self.address("a")))).says, {"use": "miss never-seen"})
        self.assertEqual(self.output(team), b"by a role\n")

    def test_a_stand_in_checks_the_signature(self):
        cloud = cloudendpoints.CloudEndpoints(issue=lambda what: self.server.session())
        self.addCleanup(cloud.stop)
        self.put("a", b"by a role\n")
        keys = self.server.user()
        cloud.known[keys.key] = keys.secret
        self.home.env["AWS_ENDPOINT_URL_STS"] = cloud.url
        team = self.team(role_arn="arn:aws:iam::123456789012:role/agent", role_session_name="agent-1")
        self.assertEqual(team.run(self.project(self.document(self.address("a")))).says, {"use": "miss never-seen"})
        self.assertEqual(set(cloud.what()), {"AssumeRole"})
        self.assertTrue(cloud.issued)


class Mistakes(Sources):
    def test_each_is_named_with_its_source_and_line(self):
        self.put("d/a", b"1")
        self.put("clash/a", b"1")
        self.put("clash/a/b", b"2")
        self.put("odd/a//b", b"1")
        self.put("dots/../b", b"1")
        self.put("marker/f/", b"bytes")
        team = Team(self, "first", self.store)
        for name, address, what in (
                ("absent", self.address("nothing"), "there is no such object"),
                ("slash", self.address("d"), "trailing slash"),
                ("below", self.address("nothing/"), "nothing lies below"),
                ("bucket", "s3://no-such-bucket/key", "NoSuchBucket"),
                ("buckets", "s3://no-such-bucket/", "NoSuchBucket"),
                ("clash", self.address("clash/"), "both an object and a prefix"),
                ("odd", self.address("odd/"), "no file can have this name"),
                ("dots", self.address("dots/"), "no file can have this name"),
                ("marker", self.address("marker/"), "holds bytes")):
            said = team.run(self.project(self.folder(address), name), code=1)
            self.assertIn(what, said.out, name)
            self.assertRegex(said.out, r"source raw \(line \d+\)", name)
            self.assertIn(f"s3://{address.split('/')[2]}/", said.out + "/", name)

    def test_a_denied_object_is_said(self):
        self.put("a", b"1")
        proxy = faultproxy.FaultProxy(self.server.options["port"])
        self.addCleanup(proxy.stop)
        self.home.env["AWS_ENDPOINT_URL"] = proxy.endpoint
        proxy.rules({"fault": "denied", "path": f"data/{self.prefix}/a"})
        said = Team(self, "first", self.store).run(self.project(self.document(self.address("a"))), code=1)
        self.assertIn("AccessDenied", said.out)
        self.assertIn("source raw", said.out)

    def test_an_archived_object_is_said(self):
        self.put("a", b"1")
        proxy = faultproxy.FaultProxy(self.server.options["port"])
        self.addCleanup(proxy.stop)
        self.home.env["AWS_ENDPOINT_URL"] = proxy.endpoint
        proxy.rules({"fault": "archived", "method": "GET", "path": f"data/{self.prefix}/a"})
        said = Team(self, "first", self.store).run(self.project(self.document(self.address("a"))), code=1)
        self.assertIn("archived", said.out)


if __name__ == "__main__":
    lib.main()
