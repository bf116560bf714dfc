"""kill -9 of every program in mid-run, then on; interrupts; nothing left behind."""
import os
import signal
import subprocess

import lib


class Crash(lib.Case):
    """Two steps: `first` ends at once, `second` waits at a gate. What was committed must not run again."""

    def begin(self, *args, **second):
        self.gate, self.bell = self.home.pipe("gate"), self.home.pipe("bell")
        steps = {"first": {"run": 'echo 1 > "${outputs.o}"', "outputs": {"o": "o"}},
                 "second": {"run": 'cat "${inputs.i}"; echo here > "$W/bell"; read go < "$W/gate"; cat "${inputs.i}" > "${outputs.o}"',
                            "inputs": {"i": "first.o"}, "outputs": {"o": "o"}, **second},
                 "third": {"run": 'cat "${inputs.i}" > "${outputs.o}"', "inputs": {"i": "second.o"}, "outputs": {"o": "o"}}}
        project = self.project(self.home.doc(steps, defaults={"retry": {"max_attempts": 3, "on": ["agent-lost"], "backoff": "PT0.1S"}}))
        live = project.start(*args)
        self.bell.wait("second at the gate")
        return project, live

    def finish(self, project):
        """A new run that must find what was committed: as a hit, or in the killed life's run where that goes on beside it."""
        self.gate.let(3)
        result = project.run()
        self.assertIn(result.verdicts["first"]["verdict"], ("hit", "join"), str(result))
        with open(self.home.witness_path, encoding="utf-8") as rows:
            self.assertEqual(rows.read().split().count("first"), 1, "first was committed: it must not run again")
        self.assertEqual(result.run["state"], "done")
        self.assertEqual(project.get("third.o", result), b"1\n")
        return result

    def test_killed_agent_is_replaced_and_the_run_goes_on(self):
        project, live = self.begin()
        self.home.kill("step-agent")
        self.bell.wait("second again")
        self.gate.let()
        result = live.wait()
        self.assertEqual(result.code, 0, str(result))
        self.assertEqual(result.of("step.retry")[0]["outcome"], "agent-lost", str(result))
        self.assert_witness("first", "second", "second", "third")
        self.assertEqual(project.get("third.o", result), b"1\n")

    def test_killed_agent_leaves_no_step_behind(self):
        project, live = self.begin(retry={"max_attempts": 1})
        steps = [pid for pid, line in self.home.processes().items() if "read go" in line or "/bin/sh" in line]
        self.assertTrue(steps)
        self.home.kill("step-agent")
        result = live.wait()
        self.assertEqual(result.code, 1, str(result))
        self.assertEqual(result.finished["second"]["outcome"], "agent-lost", str(result))
        self.assertEqual(self.home.wait_gone(), {})
        self.finish(project)

    def test_killed_runner_ends_its_steps_and_the_run_goes_on(self):
        project, live = self.begin()
        self.home.kill("stepcache-runner", self.home.child_of("stepcache-runner", "step-agent"))
        self.bell.wait("second again")
        self.gate.let()
        result = live.wait()
        self.assertEqual(result.code, 0, str(result))
        self.assertEqual(project.get("third.o", result), b"1\n")

    def test_killed_coordinator_loses_nothing_and_repeats_nothing_committed(self):
        project, live = self.begin()
        self.home.kill("step-coordinator")
        self.gate.let(3)
        result = live.wait()
        self.assertIn(result.code, (0, 3), str(result))
        if result.code != 0:
            result = self.finish(project)
        self.assertEqual(self.home.witness().count("first"), 1, "first was committed: it must not run again")
        self.assertEqual(project.get("third.o", result), b"1\n")

    def test_killed_coordinator_and_agent_together(self):
        project, live = self.begin()
        self.home.kill("step-coordinator")
        for pid in self.home.processes("step-agent"):
            os.kill(pid, signal.SIGKILL)
        self.gate.let(3)
        result = live.wait()
        self.assertIn(result.code, (0, 3), str(result))
        self.finish(project)

    def test_killed_stepctl_leaves_nothing_and_the_next_run_goes_on(self):
        project, live = self.begin()
        live.signal(signal.SIGKILL)
        live.wait()
        self.assertEqual(self.home.wait_gone(), {})
        self.finish(project)
        self.assertEqual(self.home.witness(), ["first", "second", "second", "third"])

    def test_ctrl_c_once_cancels_in_order(self):
        project, live = self.begin()
        live.signal(signal.SIGINT)
        result = live.wait()
        self.assertIn(result.code, (4, 130), str(result))
        self.assertEqual(result.finished["second"]["state"], "cancelled", str(result))
        self.assertEqual(result.run["state"], "cancelled")
        self.assertEqual(self.home.wait_gone(), {})
        self.finish(project)

    def test_ctrl_c_once_lets_a_step_clean_up(self):
        self.gate, self.bell = self.home.pipe("gate"), self.home.pipe("bell")
        project = self.project(self.home.doc({"a": {"run": 'trap \'echo cleaned >> "$W/log"; exit 9\' TERM; echo here > "$W/bell"; read go < "$W/gate" & wait'}}))
        live = self.home.start("run", "pipeline.yaml", cwd=project.root)  # not --json: it speaks to people
        self.bell.wait()
        live.signal(signal.SIGINT)
        live.says("its steps are told to end, and killed after 5 s; waiting for them")
        result = live.wait()
        self.assertEqual(self.home.processes(), {})
        self.assertEqual(self.home.witness(), ["a", "cleaned"])
        self.assertEqual(result.code, 130, str(result))

    def test_ctrl_c_once_waits_for_a_step_that_ignores_term(self):
        self.bell = self.home.pipe("bell")
        self.home.pipe("never")
        project = self.project(self.home.doc({"a": {"run": 'trap "echo told >> \\"$W/log\\"" TERM; echo here > "$W/bell"; while :; do read go < "$W/never" || :; done'}}))
        live = project.start()
        self.bell.wait()
        live.signal(signal.SIGINT)
        result = live.wait()
        self.assertEqual(self.home.processes(), {})
        self.assertEqual(self.home.witness(), ["a", "told"])
        self.assertEqual((result.code, result.run["state"]), (130, "cancelled"), str(result))

    def test_ctrl_c_ends_only_what_the_other_run_does_not_need(self):
        self.gate, self.bell = self.home.pipe("gate"), self.home.pipe("bell")
        one = self.project(self.home.doc({"a": {"run": 'echo here > "$W/bell"; read go < "$W/gate"; echo 1 > "${outputs.o}"', "outputs": {"o": "o"}}}))
        other = lib.Project(self.home, "other", self.home.doc({"b": {"run": 'echo here > "$W/bell"; sleep infinity', "resources": {"cpus": 0.1}}}))
        first = one.start()
        self.bell.wait()
        second = other.start()
        self.bell.wait()
        second.signal(signal.SIGINT)
        self.assertEqual(second.wait().code, 130)
        self.assertFalse([pid for pid in self.home.processes("sleep")])
        self.gate.let()
        self.assertEqual(first.wait().code, 0)
        self.assertEqual(self.home.witness(), ["a", "b"])

    def test_ctrl_c_twice_kills_a_step_that_ignores_term(self):
        self.gate, self.bell = self.home.pipe("gate"), self.home.pipe("bell")
        project = self.project(self.home.doc({"a": {"run": 'trap "" TERM; echo here > "$W/bell"; while :; do read go < "$W/gate"; done'}}))
        live = self.home.start("run", "pipeline.yaml", cwd=project.root)
        self.bell.wait()
        live.signal(signal.SIGINT)
        live.says("Ctrl-C again kills at once")
        live.signal(signal.SIGINT)
        result = live.wait()
        self.assertEqual(self.home.processes(), {})
        self.assertEqual(result.code, 130, str(result))

    def test_term_and_hangup_cancel_as_an_interrupt_does(self):
        for number in (signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number):
                self.home.close()
                self.home = lib.Home()
                self.addCleanup(self.home.close)
                project, live = self.begin()
                live.signal(number)
                result = live.wait()
                self.assertNotEqual(result.code, 0, str(result))
                self.assertEqual(self.home.wait_gone(), {})
                self.finish(project)

    def test_closed_output_ends_the_run_and_leaves_nothing(self):
        gate, bell = self.home.pipe("gate"), self.home.pipe("bell")
        project = self.project(self.home.doc({"a": {"run": 'echo here > "$W/bell"; read go < "$W/gate"', "matrix": {"x": [1, 2, 3]}}}))
        ours, theirs = os.pipe()
        process = subprocess.Popen([lib.program("stepctl"), "run", "--json", "pipeline.yaml"], cwd=project.root, env=self.home.env, stdin=subprocess.DEVNULL,
                                   stdout=theirs, stderr=subprocess.DEVNULL)
        self.addCleanup(process.kill)
        os.close(theirs)
        bell.wait()
        os.close(ours)
        gate.let(3)
        process.wait(lib.DEADLINE)
        self.assertEqual(self.home.wait_gone(), {})

    def test_leftovers_of_a_killed_life_are_swept(self):
        project, live = self.begin()
        for number in (signal.SIGSTOP, signal.SIGKILL):  # at one blow: none of them may start another of those that went before
            for name in ("stepctl", "step-coordinator", "step-agent"):
                for pid in self.home.processes(name):
                    os.kill(pid, number)
        live.wait()
        self.assertEqual(self.home.wait_gone(), {}, "the runner ends its steps when its agent dies")
        self.finish(project)
        self.assertEqual(self.home.wait_gone(), {})
        work = self.home.path("cache/stepcache/agent/steps")
        if os.path.isdir(work):
            self.assertEqual(os.listdir(work), [], "work folders of an earlier life")


class Together(lib.Case):
    def test_killed_agent_that_nobody_reaps_is_replaced(self):
        """Its stepctl has left, and the first process of the container takes no notice of orphans' ends."""
        self.addCleanup(lib.adopt_orphans())
        gates, bells = [self.home.pipe(f"gate{n}") for n in (1, 2)], [self.home.pipe(f"bell{n}") for n in (1, 2)]
        doc = {n: self.home.doc({"a": {"run": f'echo here > "$W/bell{n}"; read go < "$W/gate{n}"', "says": f"run {n}"}},
                                defaults={"retry": {"max_attempts": 3, "on": ["agent-lost"], "backoff": "PT0.1S"}}) for n in (1, 2)}
        one = self.project(doc[1], "one").start()
        bells[0].wait("the first client's step")
        two = self.project(doc[2], "two").start()
        bells[1].wait("the second client's step")
        gates[0].let()
        self.assertEqual(one.wait().code, 0)
        with open(self.home.path("cache/stepcache/agent/agent.lock"), encoding="utf-8") as lock:
            killed = int(lock.read())
        for pid in sorted(self.home.processes("step-agent"), key=lambda pid: pid == killed):  # one may wait for its lock
            self.home.kill("step-agent", pid)
        self.assertEqual(lib.Process(killed).state, "Z")
        bells[1].wait("the second client's step again")
        gates[1].let()
        result = two.wait()
        self.assertEqual(result.code, 0, str(result))
        self.assertEqual(lib.Process(killed).state, "Z")

    def test_two_runs_at_once_run_each_step_once(self):
        gate, bell = self.home.pipe("gate"), self.home.pipe("bell")
        project = self.project(self.home.doc({
            "a": {"run": 'echo here > "$W/bell"; read go < "$W/gate"; echo 1 > "${outputs.o}"', "outputs": {"o": "o"}},
            "b": {"run": 'cat "${inputs.i}" > "${outputs.o}"', "inputs": {"i": "a.o"}, "outputs": {"o": "o"}}}))
        one = project.start()
        bell.wait()
        two = project.start()
        self.assertEqual(two.event("step.verdict", step="a")["verdict"], "join")
        gate.let()
        first, second = one.wait(), two.wait()
        self.assertEqual((first.code, second.code), (0, 0), f"{first}\n{second}")
        self.assert_witness("a", "b")
        self.assertEqual(second.run["joined"] >= 1, True, str(second))

    def test_a_cancelled_run_does_not_take_the_joiner_along(self):
        gate, bell = self.home.pipe("gate"), self.home.pipe("bell")
        project = self.project(self.home.doc({"a": {"run": 'echo here > "$W/bell"; read go < "$W/gate"; echo 1 > "${outputs.o}"', "outputs": {"o": "o"}}}))
        one = project.start()
        bell.wait()
        two = project.start()
        two.event("step.verdict", step="a", verdict="join")
        one.signal(signal.SIGINT)
        one.wait()
        gate.let(2)
        result = two.wait()
        self.assertEqual(result.code, 0, str(result))

    def test_a_joiner_keeps_what_runs_when_the_first_run_is_cancelled_and_the_coordinator_is_killed(self):
        gate, bell = self.home.pipe("gate"), self.home.pipe("bell")
        project = self.project(self.home.doc({"a": {"run": 'echo here > "$W/bell"; read go < "$W/gate"; echo 1 > "${outputs.o}"', "outputs": {"o": "o"}}}))
        one = project.start()
        bell.wait()
        two = project.start()
        two.event("step.verdict", step="a", verdict="join")
        one.signal(signal.SIGINT)
        self.assertEqual(one.wait().code, 130)
        self.home.kill("step-coordinator")
        gate.let(2)
        result = two.wait()
        self.assertEqual(result.code, 0, str(result))
        self.assertEqual(self.home.witness(), ["a"])

    def test_a_killed_client_does_not_take_the_other_run_along(self):
        gate, bell = self.home.pipe("gate"), self.home.pipe("bell")
        project = self.project(self.home.doc({"a": {"run": 'echo here > "$W/bell"; read go < "$W/gate"; echo 1 > "${outputs.o}"', "outputs": {"o": "o"}}}))
        one = project.start()
        bell.wait()
        two = project.start()
        two.event("step.verdict", step="a", verdict="join")
        one.signal(signal.SIGKILL)
        one.wait()
        gate.let(2)
        result = two.wait()
        self.assertEqual(result.code, 0, str(result))
        self.assertEqual(self.home.witness().count("a"), 1, "the flight goes on for its other waiter")

    def test_many_clients_at_once_share_one_coordinator(self):
        project = self.project(self.home.doc({"a": {"run": 'echo 1 > "${outputs.o}"', "outputs": {"o": "o"}}}))
        lives = [project.start() for _ in range(8)]
        for live in lives:
            result = live.wait()
            self.assertEqual(result.code, 0, str(result))
        self.assert_witness("a")


if __name__ == "__main__":
    lib.main()
