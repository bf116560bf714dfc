"""Coordinator and agent by hand, with configuration files; submit, detach, attach again, drain."""
import json
import os
import signal

import lib


class Sessions(lib.Case):
    def test_a_second_session_with_the_same_work_folder_says_whom_it_waits_for(self):
        gate, bell = self.home.pipe("gate"), self.home.pipe("bell")
        project = self.project(self.home.doc({"a": {"run": 'echo here > "$W/bell"; read go < "$W/gate"; echo 1 > "${outputs.o}"', "outputs": {"o": "o"}}}))
        other = self.project(self.home.doc({"b": {"run": 'echo 1 > "${outputs.o}"', "outputs": {"o": "o"}}}), name="other")
        first = project.start()
        bell.wait()
        env = {"XDG_RUNTIME_DIR": self.home.path("run2"), "XDG_STATE_HOME": self.home.path("state2")}
        os.mkdir(env["XDG_RUNTIME_DIR"], 0o700)
        second = self.home.start("run", "--plain", "pipeline.yaml", cwd=other.root, env=env)
        second.says("the agent of another session (process ")
        gate.let()
        self.assertEqual(first.wait().code, 0)
        self.assertEqual(second.wait().code, 0)
        self.assert_witness("a", "b")


class Fleet(lib.ByHand):
    def doc(self):
        return self.home.doc({"a": {"run": 'echo here > "$W/bell"; read go < "$W/gate"; echo 1 > "${outputs.o}"', "outputs": {"o": "o"}},
                              "b": {"run": 'cat "${inputs.i}" > "${outputs.o}"', "inputs": {"i": "a.o"}, "outputs": {"o": "o"}}})

    def test_submit_returns_at_once_and_watch_attaches(self):
        gate, bell = self.home.pipe("gate"), self.home.pipe("bell")
        self.coordinator(), self.agent()
        project = self.project(self.doc())
        said = self.home.stepctl("submit", "--json", "pipeline.yaml", cwd=project.root, code=0)
        bell.wait()
        run = said.events[0]["run"]
        watcher = self.home.start("watch", "--json", run, cwd=project.root)
        watcher.event("step.started", step="a")
        gate.let()
        self.assertEqual(watcher.wait().run["state"], "done")
        self.assertIn("node-1", str(watcher.seen))
        again = self.home.stepctl("submit", "--json", "--watch", "pipeline.yaml", cwd=project.root, code=0)
        self.assertEqual(again.says, {"a": "hit", "b": "hit"})
        said = self.home.stepctl("agents", cwd=project.root, code=0).out
        self.assertRegex(said, r"node-1 +[0-9.]+ of [0-9.]*[1-9][0-9.]* cpus busy")
        self.assertLess(json.loads(self.home.stepctl("agents", "--json", cwd=project.root, code=0).out.splitlines()[0])["heard_ms_ago"], 60000)

    def test_get_and_diff_find_the_store_of_a_coordinator_by_hand(self):
        with open(self.coordinator_file, "a", encoding="utf-8") as file:
            file.write("domain: side\n")
        with open(self.agent_file, "a", encoding="utf-8") as file:
            file.write("domain: side\n")
        self.coordinator(), self.agent()
        project = self.project(self.home.doc({"a": {"run": 'echo 1 > "${outputs.o}"', "outputs": {"o": "o"}}}, params={"depth": 5}))
        for depth in ("5", "6"):
            self.home.stepctl("submit", "--watch", "-p", f"depth={depth}", "pipeline.yaml", cwd=project.root, code=0)
        self.home.stepctl("get", "latest", "a.o", self.home.path("got"), code=0)
        with open(self.home.path("got"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "1\n")
        runs = [json.loads(line)["run"] for line in self.home.stepctl("runs", "--json", code=0).out.splitlines()]
        self.assertIn("depth", self.home.stepctl("diff", *runs, code=0).out)
        self.home.stepctl("key", "latest", "a", code=0)
        # As a folder of another machine would look from here.
        os.rename(self.home.path("cache/stepcache/store/stepcache.json"), self.home.path("away"))
        self.assertIn("not on this machine", self.home.stepctl("get", "latest", "a.o", self.home.path("no"), code=2).err)
        os.rename(self.home.path("away"), self.home.path("cache/stepcache/store/stepcache.json"))

    def test_ctrl_c_detaches_from_a_submitted_run(self):
        gate, bell = self.home.pipe("gate"), self.home.pipe("bell")
        self.coordinator(), self.agent()
        project = self.project(self.doc())
        live = self.home.start("submit", "--watch", "pipeline.yaml", cwd=project.root)
        bell.wait()
        live.signal(signal.SIGINT)
        said = live.wait()
        self.assertIn("watch", said.out + said.err)
        gate.let()
        end = self.home.stepctl("watch", "--json", "latest", cwd=project.root, code=0)
        self.assertEqual(end.run["state"], "done")
        self.assert_witness("a", "b")

    def test_a_submitted_run_waits_for_its_first_agent(self):
        gate = self.home.pipe("gate")
        self.home.pipe("bell")
        self.coordinator()
        project = self.project(self.doc())
        self.home.stepctl("submit", "pipeline.yaml", cwd=project.root, code=0)
        gate.let()
        self.agent()
        self.assertEqual(self.home.stepctl("watch", "--json", "latest", cwd=project.root, code=0).run["state"], "done")

    def test_a_restarted_coordinator_adopts_what_runs(self):
        gate, bell = self.home.pipe("gate"), self.home.pipe("bell")
        coordinator = self.coordinator()
        self.agent()
        project = self.project(self.doc())
        self.home.stepctl("submit", "pipeline.yaml", cwd=project.root, code=0)
        bell.wait()
        coordinator.signal(signal.SIGKILL)
        coordinator.wait()
        self.coordinator()
        gate.let(2)
        result = self.home.stepctl("watch", "--json", "latest", cwd=project.root, code=0)
        self.assertEqual(result.run["state"], "done", str(result))
        self.assert_witness("a", "b")

    def test_a_report_made_while_the_coordinator_was_away_counts(self):
        gate, bell = self.home.pipe("gate"), self.home.pipe("bell")
        coordinator = self.coordinator()
        self.agent()
        project = self.project(self.doc())
        self.home.stepctl("submit", "pipeline.yaml", cwd=project.root, code=0)
        bell.wait()
        coordinator.signal(signal.SIGKILL)
        coordinator.wait()
        gate.let()
        # The step has ended when its shell is gone.
        for pid, line in self.home.processes().items():
            if line.startswith(("/bin/sh", "sh ")):
                try:
                    lib.wait_pidfd(os.pidfd_open(pid), "the end of the step")
                except ProcessLookupError:
                    pass
        self.coordinator()
        result = self.home.stepctl("watch", "--json", "latest", cwd=project.root, code=0)
        self.assertEqual(result.run["state"], "done", str(result))
        self.assert_witness("a", "b")

    def test_a_restarted_agent_under_its_own_name_goes_on(self):
        gate, bell = self.home.pipe("gate"), self.home.pipe("bell")
        self.coordinator()
        agent = self.agent()
        document = self.doc()
        document["defaults"] = {"retry": {"max_attempts": 2, "on": ["agent-lost"], "backoff": "PT0S"}}
        project = self.project(document)
        self.home.stepctl("submit", "pipeline.yaml", cwd=project.root, code=0)
        bell.wait()
        agent.signal(signal.SIGKILL)
        agent.wait()
        self.agent()
        bell.wait()
        gate.let(2)
        result = self.home.stepctl("watch", "--json", "latest", cwd=project.root, code=0)
        self.assertEqual(result.run["state"], "done", str(result))
        self.assert_witness("a", "a", "b")

    def test_term_drains_an_agent(self):
        gate, bell = self.home.pipe("gate"), self.home.pipe("bell")
        self.coordinator()
        agent = self.agent()
        project = self.project(self.doc())
        self.home.stepctl("submit", "pipeline.yaml", cwd=project.root, code=0)
        bell.wait()
        agent.signal(signal.SIGTERM)
        gate.let(2)
        self.assertEqual(agent.wait().code, 0)
        self.assertEqual(self.home.witness(), ["a"], "what ran has ended, nothing new was begun")
        self.agent()
        self.assertEqual(self.home.stepctl("watch", "--json", "latest", cwd=project.root, code=0).run["state"], "done")
        self.assert_witness("b")

    def test_a_second_coordinator_on_the_same_state_leaves_by_name(self):
        self.coordinator()
        self.home.stepctl("runs", code=0)
        second = self.home.start("--config", self.coordinator_file, name="step-coordinator")
        said = second.wait()
        self.assertNotEqual(said.code, 0)
        self.assertIn(self.home.path("c"), said.err)

    def test_mistakes_in_configuration_files_are_placed(self):
        for name, program, text, words in (("c1", "step-coordinator", "stat: /x\n", ("c1:1", "state")), ("c2", "step-coordinator", "state: relative\n", ("c2:1", "absolute")),
                                           ("c3", "step-coordinator", f"state: {self.home.path('c')}\nstore: /s\nclient: tcp://0.0.0.0:1\nagent: {self.agent_endpoint}\n", ("c3:3", "tcp")),
                                           ("a1", "step-agent", "coordinatr: ipc:///x\n", ("a1:1", "coordinator"))):
            with self.subTest(text):
                path = self.config(name, text)
                live = self.home.start("--config", path, name=program)
                said = live.wait()
                self.assertEqual(said.code, 2, str(said))
                for word in words:
                    self.assertIn(word, said.err)

    def test_run_uses_a_coordinator_that_is_named(self):
        gate = self.home.pipe("gate")
        self.home.pipe("bell")
        gate.let()
        self.coordinator(), self.agent()
        project = self.project(self.doc())
        result = project.run()
        self.assertEqual(result.run["state"], "done")
        self.assertEqual(len(self.home.processes("step-coordinator")), 1)


if __name__ == "__main__":
    lib.main()
