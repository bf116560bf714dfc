"""What of the machine is in the key, while it changes: packages installed in the middle of a run, shims, probes."""
import ctypes
import os
import signal
import unittest

import lib

IN_OPEN, IN_NONBLOCK = 0x20, 0o4000  # <sys/inotify.h>
SHOW = ('python3 -c "import importlib.metadata as m; print(sorted({d.metadata[\'Name\'] + d.version for d in m.distributions()}))"'
        ' > "${outputs.o}"')


class Opened:
    """Whether somebody has opened a file since it was asked last."""

    def __init__(self, path):
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(IN_NONBLOCK)
        if self.fd < 0 or libc.inotify_add_watch(self.fd, os.fsencode(path), IN_OPEN) < 0:
            raise OSError(ctypes.get_errno(), "inotify")

    def was(self):
        try:
            return len(os.read(self.fd, 65536)) > 0
        except BlockingIOError:
            return False


def touch(path):
    with open(path, "x", encoding="utf-8"):
        pass


class Environment(lib.Case):
    def python(self):
        """A python3 of the test's own, as `python3 -m venv` makes one; gives its PATH."""
        root, site = self.home.path("py"), self.site()
        lib.remove(root)
        os.makedirs(site)
        os.makedirs(os.path.join(root, "bin"))
        os.symlink(os.path.realpath("/usr/bin/python3"), os.path.join(root, "bin/python3"))
        with open(os.path.join(root, "pyvenv.cfg"), "w", encoding="utf-8") as file:
            file.write("home = /usr/bin\ninclude-system-site-packages = false\n")
        self.install("thing", "1.0")
        return os.path.join(root, "bin") + ":/usr/bin:/bin"

    def site(self):
        version = os.path.basename(os.path.realpath("/usr/bin/python3"))
        return self.home.path("py", "lib", version, "site-packages")

    def install(self, name, version):
        self.install_into(self.site(), name, version)

    def install_into(self, site, name, version):
        os.makedirs(site, exist_ok=True)
        for old in os.listdir(site):
            if old.startswith(name + "-"):
                lib.remove(os.path.join(site, old))
        folder = os.path.join(site, f"{name}-{version}.dist-info")
        os.mkdir(folder)
        with open(os.path.join(folder, "METADATA"), "w", encoding="utf-8") as file:
            file.write(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")

    def gated(self, **fields):
        return {"run": 'echo here > "$W/bell"; read go < "$W/gate"; echo 1 > "${outputs.o}"', "outputs": {"o": "o"}, **fields}

    def test_an_unchanged_environment_starts_no_process(self):
        project = self.project(self.home.doc({"a": {"run": ":", "env": {"PATH": self.python()}}}))
        project.run()
        opened = Opened(self.home.path("py/pyvenv.cfg"))  # by each python that starts
        os.utime(self.home.path("py/pyvenv.cfg"))
        project.run("--refresh")
        self.assertTrue(opened.was())
        project.run("--refresh")  # what was too young to be remembered at first is not any more
        opened.was()
        self.assert_says(project.run(), a="hit")
        project.run("--refresh")
        self.assertFalse(opened.was())

    def shows(self, path):
        return self.home.doc({"a": {"run": SHOW, "outputs": {"o": "o"}, "env": {"PATH": path}}})

    def test_a_folder_of_modules_that_is_made_later(self):
        path, extra = self.python(), self.home.path("extra")
        lib.remove(self.site())
        project = self.project(self.shows(path))
        project.run()
        project.run("--refresh")  # what was too young to be remembered at first is not any more
        self.install("thing", "3.0")
        self.assert_says(project.run(), a="miss changed")
        self.assertEqual(project.get("a.o"), b"['thing3.0']\n")
        with open(os.path.join(self.site(), "extra.pth"), "w", encoding="utf-8") as file:
            file.write(extra + "\n")
        project.run("--refresh")
        project.run("--refresh")
        self.install_into(extra, "late", "1.0")
        self.assert_says(project.run(), a="miss changed")
        self.assertEqual(project.get("a.o"), b"['late1.0', 'thing3.0']\n")

    def test_a_path_that_code_computes(self):
        path, chosen = self.python(), self.home.path("chosen")

        def choose(version):
            self.install_into(self.home.path("picks", version), "pick", version)
            with open(chosen, "w", encoding="utf-8") as file:
                file.write(self.home.path("picks", version))
        with open(os.path.join(self.site(), "pick.pth"), "w", encoding="utf-8") as file:
            file.write(f"import sys; sys.path.append(open({chosen!r}).read())\n")
        choose("1")
        project = self.project(self.shows(path))
        project.run()
        project.run("--refresh")
        choose("2")
        self.assert_says(project.run(), a="miss changed")
        self.assertEqual(project.get("a.o"), b"['pick2', 'thing1.0']\n")

    def test_a_python_that_is_a_shim_is_asked_each_time(self):
        path = self.python()
        real, shim = self.home.path("py/bin/python3"), self.home.path("shims/python3")
        lib.remove(os.path.dirname(shim))
        os.makedirs(os.path.dirname(shim))
        with open(shim, "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\nexec "$(cat {self.home.path("chosen")})" "$@"\n')
        os.chmod(shim, 0o755)

        def choose(python):
            with open(self.home.path("chosen"), "w", encoding="utf-8") as file:
                file.write(python)
        choose(real)
        project = self.project(self.home.doc({"a": {"run": ":", "env": {"PATH": os.path.dirname(shim) + ":" + path}}}))
        project.run()
        self.assert_says(project.run(), a="hit")
        choose("/usr/bin/python3")  # nothing that Stepcache can watch has changed
        result = project.run()
        self.assert_says(result, a="miss changed")
        self.assertIn("environment.packages", str([field["label"] for field in result.verdicts["a"]["fields"]]))

    def test_what_a_step_installs_is_seen_by_the_hits_below_it(self):
        path, want = self.python(), self.home.path("want")
        script = ('d=$(ls -d "$SITE"/thing-*); n="$SITE/thing-$(cat "$WANT").dist-info"; test "$d" = "$n" || mv "$d" "$n"; '
                  'printf "Metadata-Version: 2.1\\nName: thing\\nVersion: $(cat "$WANT")\\n" > "$n/METADATA"; echo 1 > "${outputs.o}"')
        project = self.project(self.home.doc({
            "first": {"run": ":", "env": {"PATH": path}},  # the environment is asked for before it changes
            "setup": {"run": script, "outputs": {"o": "o"}, "environment": "any", "cache": {"enabled": False},
                      "env": {"SITE": self.site(), "WANT": want}},
            "use": {"run": 'ls "$SITE" > "${outputs.o}"', "inputs": {"i": "setup.o"}, "outputs": {"o": "o"},
                    "env": {"PATH": path, "SITE": self.site()}}}))

        def run(version):
            with open(want, "w", encoding="utf-8") as file:
                file.write(version)
            result = project.run()
            self.assertIn(f"thing-{version}.dist-info", project.get("use.o").decode())
            return result
        run("1.0")
        self.assertEqual(run("1.0").says["use"], "hit")
        self.assertEqual(run("2.0").says["use"], "miss changed")
        self.assertEqual(run("2.0").says["use"], "hit")

    def test_a_package_installed_while_a_step_runs(self):
        gate, bell = self.home.pipe("gate"), self.home.pipe("bell")
        env = {"PATH": self.python()}
        project = self.project(self.home.doc({"a": self.gated(env=env),
                                              "b": {"run": 'cat "${inputs.i}"', "inputs": {"i": "a.o"}, "env": env}}))
        live = project.start()
        bell.wait()
        self.install("thing", "2.0")
        gate.let()
        bell.wait()  # again, under the key of the environment that there is now
        gate.let()
        result = live.wait()
        self.assertEqual(result.code, 0, str(result))
        self.assertIn("it begins again", str(result))
        self.assert_witness("a", "a", "b")
        self.assert_says(project.run(), a="hit", b="hit")
        self.install("thing", "1.0")
        gate.let()
        result = project.run()
        self.assert_says(result, a="miss changed", b="miss changed")  # nothing was recorded under the old one
        self.assertEqual([(f["label"], f["old"], f["new"]) for f in result.verdicts["a"]["fields"]],
                         [("environment.packages", "thing==2.0", "thing==1.0")])

    def test_a_package_that_is_put_back_while_a_step_runs(self):
        gate, bell = self.home.pipe("gate"), self.home.pipe("bell")
        project = self.project(self.home.doc({"a": self.gated(env={"PATH": self.python()})}))
        live = project.start()
        bell.wait()
        self.install("thing", "2.0")
        self.install("thing", "1.0")
        gate.let()
        bell.wait()
        gate.let()
        result = live.wait()
        self.assertEqual(result.code, 0, str(result))
        self.assertIn("it begins again", str(result))
        self.assertRegex(str(result), "built with: " + self.site() + "[^ ]* changed")
        self.assert_witness("a", "a")

    def test_a_package_installed_before_a_step_starts(self):
        gate, bell = self.home.pipe("gate"), self.home.pipe("bell")
        env = {"PATH": self.python()}
        project = self.project(self.home.doc({"a": self.gated(environment="any"),
                                              "b": {"run": 'cat "${inputs.i}"', "inputs": {"i": "a.o"}, "env": env},
                                              "c": {"run": "echo c", "env": env}}))
        live = project.start()
        bell.wait()
        live.event("step.finished", step="c")
        self.install("thing", "2.0")
        gate.let()
        result = live.wait()
        self.assertEqual(result.code, 0, str(result))
        self.assertEqual(self.home.witness().count("a"), 1, "an architecture does not change")
        self.assert_says(project.run(), a="hit", b="hit", c="miss changed")

    def test_a_probe_that_prints_otherwise_while_a_step_runs(self):
        gate, bell = self.home.pipe("gate"), self.home.pipe("bell")
        with open(self.home.path("version"), "w", encoding="utf-8") as file:
            file.write("1")
        project = self.project(self.home.doc({"a": self.gated(environment={"probe": [f"cat {self.home.path('version')}"]})}))
        live = project.start()
        bell.wait()
        with open(self.home.path("version"), "w", encoding="utf-8") as file:
            file.write("2")
        gate.let()
        bell.wait()
        gate.let()
        result = live.wait()
        self.assertEqual(result.code, 0, str(result))
        self.assert_says(project.run(), a="hit")

    def test_a_probe_that_never_prints_the_same_ends_the_run(self):
        project = self.project(self.home.doc({"a": {"run": ":", "environment": {"probe": ["cat /proc/sys/kernel/random/uuid"]}}}))
        result = project.run(code=1)
        self.assertEqual(result.finished["a"]["outcome"], "environment-changed", str(result))
        self.assertIn("a probe must print the same", str(result))

    def test_a_part_that_is_ignored_may_change(self):
        gate, bell = self.home.pipe("gate"), self.home.pipe("bell")
        probe = {"probe": ["cat /proc/sys/kernel/random/uuid", "echo 1"]}
        project = self.project(self.home.doc({"a": {"run": ":", "environment": probe, "key": {"ignore": ["environment.probe.0"]}},
                                              "b": self.gated(env={"PATH": self.python()}, key={"ignore": ["environment.packages"]})}))
        live = project.start()
        bell.wait()
        self.install("thing", "2.0")
        gate.let()
        result = live.wait()
        self.assertEqual(result.code, 0, str(result))
        self.assertNotIn("begins again", str(result))
        self.assert_says(project.run(), a="hit", b="hit")

    def test_a_probe_keys_the_path_and_the_architecture(self):
        def doc(path):
            return self.home.doc({"a": {"run": ":", "environment": {"probe": ["echo 1"]}, "env": {"PATH": path}, "key": {"ignore": ["env.PATH"]}}})
        project = self.project(doc("/usr/bin:/bin"))
        project.run()
        project.doc(doc("/bin:/usr/bin"))
        result = project.run()
        self.assert_says(result, a="miss changed")
        self.assertEqual([field["label"] for field in result.verdicts["a"]["fields"]], ["environment.path"])


    # ---- a probe that hangs

    def hanging(self):
        """A probe that hangs once the file is there; the pipe tells."""
        file, bell = self.home.path("hang"), self.home.pipe("probing")
        for name in ("gate", "bell"):
            self.home.pipe(name)
        return file, bell, {"probe": [f"test -e {file} && echo here > {bell.path} && exec sleep 1000; echo 1"]}

    def hang(self, live, file, bell):
        """The step that is at its gate ends, and the look after it hangs."""
        self.home.pipe("bell").wait()
        touch(file)
        self.home.pipe("gate").let()
        bell.wait()

    def test_an_interrupt_does_not_wait_for_a_probe_that_hangs(self):
        file, bell, environment = self.hanging()
        project = self.project(self.home.doc({"a": self.gated(environment=environment)}))
        live = project.start()
        self.hang(live, file, bell)
        live.signal(signal.SIGINT)
        self.assertEqual(live.wait(30).code, 130)
        self.assertEqual(self.home.wait_gone(30), {})
        live = project.start()  # and where the first question hangs
        bell.wait()
        live.signal(signal.SIGINT)
        self.assertEqual(live.wait(30).code, 130)
        self.assertEqual(self.home.wait_gone(30), {})
        os.unlink(file)
        self.home.pipe("gate").let()
        self.assert_says(project.run(), a="miss never-seen")

    def test_a_probe_that_hangs_keeps_nobody_else_waiting_and_is_told_of(self):
        file, bell, environment = self.hanging()
        second = self.home.pipe("second")
        project = self.project(self.home.doc({
            "a": self.gated(environment=environment),
            "b": {"run": 'read go < "$W/second"; echo 1 > "${outputs.o}"', "outputs": {"o": "o"}, "environment": "any"},
            "c": {"run": 'cat "${inputs.i}"', "inputs": {"i": "b.o"}, "environment": {"probe": ["echo 2"]}},
            "d": {"run": 'cat "${inputs.i}"', "inputs": {"i": "b.o"}, "env": {"PATH": self.python()}}}))
        live = project.start()
        self.hang(live, file, bell)
        second.let()
        wanted = {"c", "d"}
        while wanted:
            wanted.discard(live.event("step.finished", seconds=30, state="done")["step"])
        self.assertIn(f"step a waits for the probe `test -e {file}", live.event("note")["message"])
        live.signal(signal.SIGINT)
        self.assertEqual(live.wait(30).finished["a"]["state"], "cancelled")

    def test_a_question_that_hangs_is_told_of(self):
        file, bell, environment = self.hanging()
        touch(file)
        live = self.project(self.home.doc({"a": {"run": ":", "environment": environment}, "b": {"run": ":", "environment": {"probe": ["echo 2"]}}})).start()
        bell.wait()
        live.event("step.finished", seconds=30, step="b")
        self.assertIn(f"step a waits for the probe `test -e {file}", live.event("note")["message"])
        live.signal(signal.SIGINT)
        self.assertEqual(live.wait(30).code, 130)


class StandingAgent(lib.ByHand):
    def test_an_agent_that_is_told_to_leave_does_not_wait_for_a_probe_that_hangs(self):
        coordinator, agent = self.coordinator(), self.agent()
        coordinator.says("says hello")
        file, bell = self.home.path("hang"), self.home.pipe("probing")
        probe = f"test -e {file} && echo here > {bell.path} && exec sleep 1000; echo 1"
        run = f'touch {file}; echo 1 > "${{outputs.o}}"'
        project = self.project(self.home.doc({"a": {"run": run, "outputs": {"o": "o"}, "environment": {"probe": [probe]}}}))
        live = project.start()
        bell.wait()
        agent.signal(signal.SIGTERM)
        self.assertEqual(agent.wait(30).code, 0)
        live.event("step.retry", seconds=30, step="a", outcome="agent-lost")
        live.signal(signal.SIGINT)
        live.wait(30)
        coordinator.signal(signal.SIGTERM)

    def test_a_probe_that_prints_otherwise_in_the_next_run(self):
        coordinator, agent = self.coordinator(), self.agent()
        coordinator.says("says hello")
        version = self.home.path("version")
        project = self.project(self.home.doc({"a": {"run": ":", "environment": {"probe": [f"cat {version}"]}}}))
        for text in "12":  # the look at the end of the first step is younger than a second at the start of the second
            with open(version, "w", encoding="utf-8") as file:
                file.write(text)
            self.assertNotIn("begins again", str(project.run()))
        for life in (agent, coordinator):
            life.signal(15)


if __name__ == "__main__":
    lib.main()
