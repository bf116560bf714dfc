"""stepctl cache gc: what something reaches stays byte for byte, what nothing reaches goes when it is old enough."""
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time

import faultproxy
import lib
from test_bucket import Bucket, Team

DAY = 86400


def rows(result):
    """The JSON lines of a gc: {namespace: row} and the whole."""
    found = [json.loads(line) for line in result.out.splitlines()]
    return {row["namespace"]: row for row in found if row["row"] == "namespace"}, next(row for row in found if row["row"] == "gc")


class OnFolder:
    """What the tests of a folder share: looking at it and ageing it without asking Stepcache."""

    def two_steps(self):
        """The first stands at the gate with its output made; the second needs that, code and a source."""
        project = self.project(self.home.doc({
            "first": {"run": 'echo made > "${outputs.o}"; read line < "$W/gate"', "outputs": {"o": "o"}},
            "second": {"run": 'sh tool.sh "${inputs.o}" "${inputs.data}" > "${outputs.o}"', "code": ["tool.sh"], "inputs": {"o": "first.o", "data": "sources.data"}, "outputs": {"o": "o"}}},
            sources={"data": "data.txt"}))
        project.write("tool.sh", "cat $1 $2\n" + "#" * 5000)
        project.write("data.txt", "d" * 5000)
        return project

    def files(self, *areas):
        found = {}
        for area in areas or ("",):
            for folder, _, names in os.walk(os.path.join(self.home.store, area)):
                for name in names:
                    path = os.path.join(folder, name)
                    with open(path, "rb") as file:
                        found[os.path.relpath(path, self.home.store)] = file.read()
        return found

    def age(self, days, *areas, but=()):
        then = time.time() - days * DAY
        for name in self.files(*areas):
            if name not in but:
                os.utime(os.path.join(self.home.store, name), (then, then))

    def orphan(self, text, days=8):
        data = text.encode()
        digest = hashlib.sha256(data).hexdigest()
        path = os.path.join(self.home.store, "cas", digest[:2], digest)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
        os.utime(path, (time.time() - days * DAY,) * 2)
        return os.path.relpath(path, self.home.store)

    def gc(self, *args, code=0):
        return rows(self.home.stepctl("cache", "gc", "--json", *args, code=code))


def shared(home, name, namespace):
    """A step whose output lies in a folder, one that two pipelines have in common but for their keys, and one that joins both."""
    return home.doc({"common": {"run": 'head -c 100000 /dev/zero | tr "\\0" x > "${outputs.o}"; : %s' % name, "outputs": {"o": "o.bin"}},
                     "many": {"run": 'for i in 1 2 3; do head -c 5000 /dev/zero | tr "\\0" $i > "${outputs.d}/$i-%s"; echo %s >> "${outputs.d}/$i-%s"; done' % (name, name, name),
                              "outputs": {"d": "d/"}},
                     "sum": {"run": 'cat "${inputs.d}"/* "${inputs.o}" | sha256sum > "${outputs.sum}"', "inputs": {"d": "many.d", "o": "common.o"},
                             "outputs": {"sum": "sum.txt"}}}, name=name, namespace=namespace)


class Folder(OnFolder, lib.Case):
    def test_what_is_reached_stays_and_the_next_run_hits_all(self):
        project = self.project(shared(self.home, "one", "a"))
        project.run()
        orphan, young = self.orphan("nobody reaches this"), self.orphan("nor this, but it is young", days=6)
        self.age(8, but=(orphan, young))
        before = self.files()
        _, row = self.gc()
        self.assertEqual((row["objects"], row["bytes"], row["deleted"], row["young_objects"]), (1, 19, False, 1), row)
        self.assertEqual(self.files(), before, "a dry run changes nothing")
        _, row = self.gc("--delete")
        self.assertEqual((row["objects"], row["bytes"], row["deleted"]), (1, 19, True), row)
        del before[orphan]
        self.assertEqual(self.files(), before)
        self.home.witness()
        again = project.run()
        self.assertEqual(set(again.says.values()), {"hit"}, str(again))
        self.assert_witness()

    def test_what_a_dropped_result_alone_reaches_goes_when_its_withdrawal_is_old(self):
        one, two = (self.project(shared(self.home, name, space), name) for name, space in (("one", "a"), ("two", "b")))
        keys = {name: {step: event["key"] for step, event in project.run().verdicts.items()} for name, project in (("one", one), ("two", two))}
        self.age(8)
        before = self.files("cas", "tree")
        dropped, row = self.gc("--namespace", "b", "--delete")
        self.assertEqual((list(dropped), dropped["b"]["dropped"], row["dropped"], row["objects"]), (["b"], 3, 3, 0), row)
        self.assertGreater(row["later_objects"], 3)
        self.assertEqual(self.files("cas", "tree"), before, "runs that hit it may need it yet")
        _, row = self.gc("--delete")
        self.assertEqual((row["objects"], row["records"]), (0, 0), row)
        self.age(8, "void")
        _, row = self.gc()
        self.assertEqual(row["records"], 3, row)
        said, row = self.gc("--delete")
        self.assertEqual((said, row["records"], row["segments"], row["voids"]), ({}, 3, 1, 3), row)
        left = self.files("cas", "tree")
        common = hashlib.sha256(b"x" * 100000).hexdigest()
        gone = {name for name in before if name not in left}
        self.assertEqual(row["objects"], len(gone))
        self.assertGreater(len(gone), 3)
        self.assertIn(f"cas/{common[:2]}/{common}", left, "another result reaches it")
        self.assertEqual({name.rpartition("/")[2] for name in self.files("key")}, set(keys["one"].values()))
        self.assertEqual(self.files("void"), {})
        self.home.witness()
        self.assertEqual(set(one.run().says.values()), {"hit"})
        self.assert_witness()
        self.assertEqual(set(two.run().says.values()), {"miss never-seen"})

    def test_a_withdrawal_stays_while_a_segment_or_a_record_needs_it(self):
        project = self.project(shared(self.home, "one", "a"))
        project.run()
        self.gc("--namespace", "a", "--delete")
        self.age(8, "void", "key", "cas", "tree")
        _, row = self.gc("--delete")  # the segment that holds the three is young
        self.assertEqual((row["records"], row["segments"], row["voids"]), (3, 0, 0), row)
        self.assertEqual(len(self.files("void")), 3)
        self.assertEqual(set(project.run().says.values()), {"miss never-seen", "miss voided"} & set(project.last.says.values()), str(project.last))
        self.home.witness()
        self.assertEqual(set(project.run().says.values()), {"hit"})
        self.age(8, "void", "seg")
        shutil.rmtree(os.path.join(self.home.store, "seg"))
        _, row = self.gc("--delete")
        self.assertEqual(row["voids"], 0, "the results that took their place are told by them")

    def test_pins_and_the_newest_of_each_step_stay(self):
        project = self.project()
        keys = []
        for text in ("one", "two", "three"):
            project.doc(self.home.doc({"make": {"run": f'echo {text} > "${{outputs.o}}"', "outputs": {"o": "o"}}}))
            keys.append(project.run().verdicts["make"]["key"])
        self.home.stepctl("cache", "pin", keys[0], code=0)
        dropped, row = self.gc("--keep-last", "1")
        self.assertEqual((dropped["default"]["dropped"], row["dropped"]), (1, 1))
        self.home.stepctl("cache", "unpin", keys[0], code=0)
        self.assertEqual(self.gc("--keep-last", "1")[1]["dropped"], 2)
        self.assertEqual(self.gc("--older-than", "P1D")[1]["dropped"], 0)
        self.assertEqual(self.gc("--older-than", "PT0.001S", "--keep-last", "2")[1]["dropped"], 1)
        self.assertEqual(self.gc("--max-bytes", "10B")[1]["dropped"], 1)
        self.gc("--keep-last", "1", "--delete")
        project.doc(self.home.doc({"make": {"run": 'echo two > "${outputs.o}"', "outputs": {"o": "o"}}}))
        self.assertEqual(project.run().says, {"make": "miss voided"})

    def test_what_is_asked_for_wrongly_is_refused_by_name(self):
        for args, story in ((("--older-than", "1 month"), "--older-than 1 month: a duration"), (("--keep-last", "0"), "--keep-last 0: a number"),
                            (("--max-bytes", "much"), "--max-bytes much: a size"), (("--dry-run", "--delete"), "exclude one another"), (("key",), "names no results")):
            said = self.home.stepctl("cache", "gc", *args, code=2)
            self.assertIn(story, said.err)
        self.assertIn("are of cache gc", self.home.stepctl("cache", "ls", "--delete", code=2).err)

    def test_a_run_that_is_open_loses_nothing(self):
        gate = self.home.pipe("gate")
        project = self.two_steps()
        live = project.start()
        live.event("step.started", step="first")
        self.age(30)
        before = self.files("cas", "tree")
        self.assertTrue(before)
        _, row = self.gc("--delete")
        self.assertEqual((row["open_runs"], row["objects"]), (1, 0), row)
        self.assertEqual(self.files("cas", "tree"), before)
        gate.let()
        live.wait()
        self.assertEqual(live.event("run.finished")["state"], "done")
        self.assertEqual(set(project.run().says.values()), {"hit"})

    def test_an_open_run_keeps_what_no_record_names(self):
        gate = self.home.pipe("gate")
        project = self.project(self.home.doc({
            "first": {"run": 'mkdir -p "${outputs.d}"; head -c 5000 /dev/zero | tr "\\0" a > "${outputs.d}/a"; echo made > "${outputs.o}"', "cache": {"enabled": False}, "outputs": {"o": "o", "d": "d/"}},
            "second": {"run": 'read line < "$W/gate"; echo > "${outputs.o}"', "inputs": {"o": "first.o"}, "outputs": {"o": "o"}},
            "third": {"run": 'cat "${inputs.o}" "${inputs.d}"/a "${inputs.s}" > "${outputs.o}"', "inputs": {"o": "first.o", "d": "first.d", "s": "second.o"}, "outputs": {"o": "o"}}}))
        live = project.start()
        live.event("step.started", step="second")
        self.age(30)
        before = self.files("cas", "tree")
        self.assertGreater(len(before), 2)
        _, row = self.gc("--delete")
        self.assertEqual((row["open_runs"], row["objects"]), (1, 0), row)
        self.assertEqual(self.files("cas", "tree"), before)
        self.home.witness()
        gate.let()
        live.wait()
        self.assertEqual(live.event("run.finished")["state"], "done")
        self.assert_witness("third")

    def test_a_writer_whose_output_lies_there_unreached_and_old_has_it(self):
        gate = self.home.pipe("gate")
        output = self.orphan("y" * 3000, days=30)
        project = self.project(self.home.doc({"make": {
            "run": 'head -c 3000 /dev/zero | tr "\\0" y > "${outputs.o}"', "outputs": {"o": "o"}},
            "wait": {"run": 'read line < "$W/gate"; cat "${inputs.o}" > "${outputs.o}"', "inputs": {"o": "make.o"}, "outputs": {"o": "o"}}}))
        live = project.start()
        live.event("step.started", step="wait")
        self.gc("--delete")
        self.assertIn(output, self.files("cas"))
        gate.let()
        live.wait()
        self.assertEqual(live.event("run.finished")["state"], "done")


class Shared(OnFolder, lib.Case):
    """Users' own coordinators with a store in common."""

    def test_an_open_run_of_another_user_loses_nothing(self):
        gate, store = self.home.pipe("gate"), self.home.path("shared")
        project = self.two_steps()
        live = project.start("--store", store)
        live.event("step.started", step="first")
        then = time.time() - 30 * DAY
        for folder, _, names in os.walk(os.path.join(store, "v1")):
            for name in names:
                os.utime(os.path.join(folder, name), (then, then))
        other = {name: self.home.path("other", name) for name in ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME")}
        for path in other.values():
            os.makedirs(path, mode=0o700)
        _, row = rows(self.home.stepctl("cache", "gc", "--json", "--delete", "--store", store, env=other, code=0))
        self.assertEqual((row["open_runs"], row["objects"]), (1, 0), row)
        gate.let()
        live.wait()
        self.assertEqual(live.event("run.finished")["state"], "done")
        _, row = rows(self.home.stepctl("cache", "gc", "--json", "--store", store, env=other, code=0))
        self.assertEqual(row["open_runs"], 0)


class Folders(OnFolder, lib.ByHand):
    def ready(self):
        live = self.coordinator()
        self.agent()
        return live

    def test_a_collector_that_was_killed_is_taken_up(self):
        live = self.ready()
        project = self.project(shared(self.home, "one", "a"))
        self.home.stepctl("submit", "--watch", "pipeline.yaml", cwd=project.root, code=0)
        self.age(8)
        kept = self.files("cas", "tree", "key")
        count = 20000
        for i in range(count):
            self.orphan(f"nobody reaches {i}")
        client = self.home.start("cache", "gc", "--delete")
        clock = lib.Clock()
        while len(self.home.objects()) > count * 3 / 4:
            clock.left("objects to go")
        live.signal(signal.SIGKILL)
        live.wait()
        client.end()
        left = len(self.home.objects())
        self.assertGreater(left, 100, "it was killed in the middle")
        with open(os.path.join(self.home.store, "gc/sweep"), encoding="utf-8") as file:
            self.assertEqual(json.load(file)["v"], "stepcache.gc/1")
        self.coordinator()
        _, row = self.gc("--delete")
        self.assertEqual(row["objects"], left - sum(name.startswith("cas/") for name in kept))
        self.assertEqual(self.files("cas", "tree", "key"), kept)
        self.assertEqual(self.files("gc"), {})
        self.home.witness()
        again = self.home.stepctl("submit", "--watch", "--json", "pipeline.yaml", cwd=project.root, code=0)
        self.assertEqual(set(again.says.values()), {"hit"})

    def test_two_collectors_are_kept_apart_and_a_dead_one_is_taken_over(self):
        self.ready()
        self.home.stepctl("cache", "gc", "--delete", code=0)
        orphan = self.orphan("nobody reaches this")
        path = os.path.join(self.home.store, "gc/sweep")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"v": "stepcache.gc/1", "owner": "herd-2", "id": "0123", "shard": 7}, file)
        os.utime(path, (time.time() - 540,) * 2)
        said = self.home.stepctl("cache", "gc", "--delete", code=None)
        self.assertNotEqual(said.code, 0)
        self.assertIn("coordinator herd-2 collects this store", said.err)
        self.assertIn(orphan, self.files("cas"))
        self.gc()  # to look is free
        os.utime(path, (time.time() - 660,) * 2)
        _, row = self.gc("--delete")
        self.assertEqual(row["objects"], 1)
        self.assertEqual(self.files("cas", "gc"), {})


    def test_a_full_disk_is_no_hindrance(self):
        store = self.home.path("cache/stepcache/store")
        os.mkdir(store)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", store], check=False, capture_output=True).returncode:
            self.skipTest("no file system of its own can be mounted")
        self.addCleanup(subprocess.run, ["umount", "-l", store], check=True)
        self.ready()
        self.home.stepctl("cache", "gc", "--delete", code=0)
        orphan = self.orphan("o" * 1000000)
        with self.assertRaises(OSError), open(os.path.join(store, "filler"), "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        _, row = self.gc("--delete")
        self.assertEqual((row["objects"], row["bytes"]), (1, 1000000), row)
        self.assertNotIn(orphan, self.files("cas"))


class Horizons(OnFolder, lib.ByHand):
    settings = "horizon: PT1H\n"

    def test_a_store_has_one_horizon(self):
        self.coordinator()
        self.orphan("nobody reaches this", days=0.1)
        self.assertEqual(self.gc()[1]["horizon_ms"], 3600000)
        self.assertEqual(self.gc("--delete")[1]["objects"], 1)
        self.end_in_order()
        with open(self.coordinator_file, encoding="utf-8") as file:
            text = file.read()
        self.config("coordinator.conf", text.replace("PT1H", "PT2H"))
        live = self.home.start("--config", self.coordinator_file, name="step-coordinator")
        self.assertEqual(live.wait().code, 2)
        self.assertIn("its collection horizon is 3600 s and cannot be changed, and the configuration says 7200 s", b"".join(live.err).decode())


class Short(Bucket):
    def horizon(self, seconds):
        """Nobody has the store open: S3 keeps the times, so what is short is the horizon."""
        text = json.dumps({"format": "stepcache.store/1", "horizon_ms": int(seconds * 1000)})
        self.server.client().put(f"/team/{self.prefix}/stepcache.json", text.encode())

    def all_bytes(self, *areas):
        return {key: hashlib.sha256(self.bytes_of(key)).hexdigest() for area in areas for key in self.keys(area)
                if not key.endswith("latest.json")}

    def gc(self, team, *args):
        return rows(self.home.stepctl("cache", "gc", "--json", *args, "--coordinator", team.endpoint, code=0))

    def until(self, team, what, *args):
        """Asks until so much would go, or went."""
        clock = lib.Clock()
        while True:
            _, row = self.gc(team, *args)
            if what(row):
                return row
            clock.left(f"what was expected of gc, instead of {row}")

    def documents(self, name):
        document = self.pipeline()
        document["steps"]["make"]["run"] += f'\necho {name} > "${{outputs.many}}/name"'
        return self.project({**document, "name": name, "namespace": name}, name)


class InBucket(Short):
    def test_what_is_reached_stays_and_what_was_dropped_goes(self):
        team = Team(self, "first", self.store)
        one, two = self.documents("one"), self.documents("two")
        team.run(one)
        team.run(two)
        self.server.client().put(f"/team/{self.prefix}/v1/main/cas/ab/{'ab' * 32}", b"nobody reaches this")
        team.stop()
        self.horizon(1)
        before = self.all_bytes("cas/", "tree/", "pack/", "key/", "out/")
        self.assertTrue(self.keys("pack/"))
        team.start()
        row = self.until(team, lambda row: row["objects"])
        self.assertEqual((row["objects"], row["bytes"]), (1, 19), row)
        self.assertEqual(self.all_bytes("cas/", "tree/", "pack/", "key/", "out/"), before)
        _, row = self.gc(team, "--delete")
        self.assertEqual(row["objects"], 1, row)
        del before[f"cas/ab/{'ab' * 32}"]
        self.assertEqual(self.all_bytes("cas/", "tree/", "pack/", "key/", "out/"), before)
        self.home.witness()
        for project in (one, two):
            self.assertEqual(set(team.run(project).says.values()), {"hit"})
        self.assert_witness()

        dropped, row = self.gc(team, "--namespace", "two", "--delete")
        self.assertEqual((list(dropped), row["dropped"]), (["two"], 3))
        self.until(team, lambda row: row["records"] == 3, "--delete")
        left = self.all_bytes("cas/", "tree/", "pack/", "key/", "out/")
        gone = {name for name in before if name not in left}
        self.assertEqual({name: before[name] for name in left}, left, "nothing that stays has changed")
        self.assertEqual(len([name for name in gone if name.startswith("key/")]), 3)
        self.assertTrue({"tree", "pack", "key"} <= {name.partition("/")[0] for name in gone}, gone)
        self.assertFalse([name for name in gone if name.startswith("out/")], "copies are no objects")
        team.stop()
        self.horizon(7 * DAY)
        team.start()
        self.home.witness()
        self.assertEqual(set(team.run(one).says.values()), {"hit"})
        self.assert_witness()
        team.get("sum.sum", self.home.path("sum"))
        self.assertEqual({said.partition(" ")[0] for said in team.run(two).says.values()}, {"miss"})
        self.assert_witness("make", "sum", "report")
        self.assertEqual(self.gc(team)[1]["objects"], 0)

    def test_a_run_in_the_middle_loses_nothing(self):
        gate = self.home.pipe("gate")
        project = self.project(self.home.doc({
            "first": {"run": 'echo made > "${outputs.o}"; read line < "$W/gate"', "outputs": {"o": "o"}},
            "second": {"run": 'sh tool.sh "${inputs.o}" > "${outputs.o}"', "code": ["tool.sh"], "inputs": {"o": "first.o"}, "outputs": {"o": "o"}}}))
        project.write("tool.sh", "cat $1\n" + "#" * 200000)
        self.horizon(20)
        team = Team(self, "first", self.store)
        self.server.client().put(f"/team/{self.prefix}/v1/main/cas/ab/{'ab' * 32}", b"nobody reaches this")
        live = self.home.start("submit", "--watch", "--json", "--coordinator", team.endpoint, "pipeline.yaml", cwd=project.root)
        live.event("step.started", step="first")
        row = self.until(team, lambda row: row["objects"] and not row["young_objects"], "--delete")
        self.assertEqual((row["objects"], row["open_runs"]), (1, 1), row)
        gate.let()
        live.wait()
        self.assertEqual(live.event("run.finished")["state"], "done")


class Races(Short):
    def test_what_is_put_again_and_removed_in_one_moment_is_withdrawn(self):
        """S3 has no removal that looks: an object that is put between the look and the removal is lost, and its record says so."""
        proxy = faultproxy.FaultProxy(self.server.options["port"])
        self.addCleanup(proxy.stop)
        data = b"y" * 3000
        digest = hashlib.sha256(data).hexdigest()
        name = f"cas/{digest[:2]}/{digest}"
        self.horizon(8)
        self.server.client().put(f"/team/{self.prefix}/v1/main/{name}", data)
        first = Team(self, "first", self.server.store("team", self.prefix, proxy.endpoint))
        second = Team(self, "second", self.store)
        self.until(first, lambda row: row["objects"] == 1)
        proxy.rules({"fault": "slow-down", "method": "DELETE", "path": digest})
        proxy.forget()
        collector = self.home.start("cache", "gc", "--json", "--delete", "--coordinator", first.endpoint)
        proxy.wait(count=1, fault="slow-down")
        project = self.project(self.home.doc({"make": {"run": 'head -c 3000 /dev/zero | tr "\\0" y > "${outputs.o}"', "outputs": {"o": "o"}}}))
        self.assertEqual(second.run(project).says, {"make": "miss never-seen"})
        self.assertIn(name, self.keys("cas/"))
        proxy.rules()
        _, row = rows(collector.wait())
        self.assertEqual((row["objects"], row["lost"]), (1, 1), row)
        self.assertNotIn(name, self.keys("cas/"))
        self.assertEqual(second.run(project).says["make"].partition(" ")[0], "miss")
        self.assertEqual(self.bytes_of(name), data)
        self.assertEqual(second.run(project).says, {"make": "hit"})


if __name__ == "__main__":
    lib.main()
