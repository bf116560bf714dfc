"""A coordinator that has lost its disk goes on with what was its own: all of it lies in the store."""
import glob
import os
import shutil
import signal
import sqlite3

import lib


class Cattle(lib.ByHand):
    settings = "name: herd\n"

    def doc(self):
        return self.home.doc({"a": {"run": 'echo 1 > "${outputs.o}"', "outputs": {"o": "o"}},
                              "b": {"run": 'echo here > "$W/bell"; read go < "$W/gate"; cat "${inputs.i}" > "${outputs.o}"', "inputs": {"i": "a.o"}, "outputs": {"o": "o"}},
                              "c": {"run": 'cat "${inputs.i}" > "${outputs.o}"', "inputs": {"i": "b.o"}, "outputs": {"o": "o"}}}, outputs={"end": "c.o"})

    def open_runs(self, name="herd"):
        return sorted(glob.glob(self.home.path("cache/stepcache/store/v1/main/open", name, "*")))

    def assert_none_is_left_open(self):
        """The writing thread removes it after the run's end was told."""
        clock = lib.Clock()
        while self.open_runs():
            clock.left("the removal of what the run left open")

    def submitted(self):
        """A run whose step b stands at the gate, with its coordinator and its agent."""
        self.gate, self.bell = self.home.pipe("gate"), self.home.pipe("bell")
        self.alive = [self.coordinator(), self.agent()]
        self.root = self.project(self.doc()).root
        run = self.home.stepctl("submit", "--json", "pipeline.yaml", cwd=self.root, code=0).events[0]["run"]
        self.bell.wait()
        self.assert_witness("a", "b")
        clock = lib.Clock()
        while not glob.glob(self.home.path("cache/stepcache/store/v1/main/key/*/*")):
            clock.left("the record of a")
        self.assertEqual([os.path.basename(path) for path in self.open_runs()], [run])
        return run

    def lose(self, with_=signal.SIGKILL, folders=("c", "a")):
        """The machine is gone, with all that lay on it."""
        for live in self.alive:
            if live.process.poll() is None:
                live.signal(with_)
                live.wait()
        for folder in folders:
            shutil.rmtree(self.home.path(folder))
            os.mkdir(self.home.path(folder), 0o700)

    def says(self, live):
        return b"".join(live.err).decode()

    def numbers(self):
        """Of the journal's facts, and so of attempts."""
        journal = sqlite3.connect(f"file:{self.home.path('c/journal.db')}?mode=ro", uri=True)
        self.addCleanup(journal.close)
        return {row[0] for row in journal.execute("SELECT seq FROM facts")}

    def watch(self, run, code=0):
        return self.home.stepctl("watch", "--json", run, cwd=self.root, code=code)

    def test_a_run_goes_on_under_its_id_on_an_empty_disk(self):
        run = self.submitted()
        self.lose()
        coordinator = self.coordinator()
        self.assertIn(f"run={run} taken up from the store", self.says(coordinator))
        self.assertIn(run, self.home.stepctl("status", cwd=self.root, code=0).out)
        self.agent()
        self.bell.wait()
        self.gate.let()
        end = self.watch(run)
        self.assertEqual(end.run["state"], "done", str(end))
        self.assertEqual(end.says["a"], "hit")
        self.assert_witness("b", "c")
        self.assert_none_is_left_open()

    def test_an_attempt_of_the_lost_life_is_not_taken_for_a_new_one(self):
        run = self.submitted()
        agent, before = self.alive.pop(), self.numbers()
        self.lose(folders=["c"])  # the agent lives on, with b at the gate
        self.coordinator()
        self.bell.wait("b once more")
        self.assertEqual(before & self.numbers(), set())
        self.gate.let(2)
        self.assertEqual(self.watch(run).run["state"], "done")
        self.assertEqual(self.home.witness(), ["b", "c"])
        self.assertIsNone(agent.process.poll())

    def test_a_cancelled_run_is_taken_up_to_be_ended(self):
        run = self.submitted()
        coordinator, agent = self.alive
        agent.signal(signal.SIGSTOP)  # so that the run does not close
        self.home.stepctl("cancel", run, cwd=self.root, code=0)
        coordinator.signal(signal.SIGTERM)  # what was to be written is
        coordinator.wait()
        self.lose()
        self.assertIn("to be ended", self.says(self.coordinator()))
        self.agent()
        self.assertEqual(self.watch(run, code=4).run["state"], "cancelled")
        self.assert_witness()
        self.assert_none_is_left_open()

    def test_a_run_that_was_taken_up_can_be_cancelled(self):
        run = self.submitted()
        self.lose()
        self.coordinator(), self.agent()
        self.bell.wait()
        self.home.stepctl("cancel", run, cwd=self.root, code=0)
        self.assertEqual(self.watch(run, code=4).run["state"], "cancelled")
        self.assert_witness("b")

    def test_what_closed_is_removed_and_what_is_damaged_left_alone(self):
        run = self.submitted()
        path = self.open_runs()[0]
        with open(path, "rb") as file:
            kept = file.read()
        self.gate.let()
        self.assertEqual(self.watch(run).run["state"], "done")
        self.lose(signal.SIGTERM)
        self.assertEqual(self.open_runs(), [])
        broken = path[:-1] + "_"
        for name, data in ((path, kept), (broken, kept), (path + "x", kept[:-1] + b"\0")):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(name, "wb") as file:
                file.write(data)
        coordinator = self.coordinator()
        said = self.says(coordinator)
        self.assertIn(f"run={run} has ended", said)
        self.assertIn("found under another name", said)
        self.assertIn("not what its checksum says", said)
        self.assertNotIn("taken up from", said)
        self.assertEqual(self.open_runs(), sorted([broken, path + "x"]))

    def test_another_coordinator_of_the_store_leaves_it_alone(self):
        run = self.submitted()
        self.lose()
        self.config("coordinator.conf", open(self.coordinator_file, encoding="utf-8").read().replace("name: herd", "name: other"))
        self.assertNotIn(run, self.says(self.coordinator()))
        self.assertEqual(len(self.open_runs()), 1)

    def test_without_a_name_it_is_the_folder_on_the_host(self):
        self.config("coordinator.conf", open(self.coordinator_file, encoding="utf-8").read().replace("name: herd", ""))
        self.alive = [self.coordinator()]
        root = self.project(self.doc()).root
        run = self.home.stepctl("submit", "--json", "pipeline.yaml", cwd=root, code=0).events[0]["run"]
        self.assertRegex(os.path.basename(os.path.dirname(self.open_runs("*")[0])), "^.+-[0-9a-f]{8}$")
        self.lose()
        self.assertIn(f"run={run} taken up", self.says(self.coordinator()))


if __name__ == "__main__":
    lib.main()
