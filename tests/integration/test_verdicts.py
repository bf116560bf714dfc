"""Verdicts and their reasons: expiry, refresh, force, the flags of a run, the environment, what is ignored."""
import os
import unittest

import lib


class Verdicts(lib.Case):
    def steps(self, **cache):
        return {"a": {"run": 'date +%N > "${outputs.o}"; echo A >> "$W/x"', "outputs": {"o": "o"}, **cache},
                "b": {"run": 'cat "${inputs.i}" > "${outputs.o}"', "inputs": {"i": "a.o"}, "outputs": {"o": "o"}},
                "c": {"run": 'echo c > "${outputs.o}"', "outputs": {"o": "o"}}}

    def three(self, **cache):
        project = self.project(self.home.doc(self.steps(**cache)))
        project.run()
        self.home.witness()
        return project

    def test_expiry_of_nothing_is_never_valid(self):
        project = self.three(cache={"expire_after": "PT0S"})
        self.assertEqual(project.run().says["a"], "miss expired")
        self.assertIn("a", self.home.witness())

    def test_expiry_is_judged_at_the_look_up(self):
        project = self.three(cache={"expire_after": "P1D"})
        self.assertEqual(project.run().says["a"], "hit")
        project.doc(self.home.doc(self.steps(cache={"expire_after": "PT0.000S"})))
        self.assertEqual(project.run().says["a"], "miss expired")
        project.doc(self.home.doc(self.steps(cache={"expire_after": "PT1H"})))
        self.assertEqual(project.run().says["a"], "hit", "the newer result is an hour young, and expiry is not in the key")

    def test_months_and_years_are_refused(self):
        for text in ("P1M", "P1Y"):
            project = self.project(self.home.doc(self.steps(cache={"expire_after": text})), name=text)
            result = project.run(code=2)
            self.assertIn("month" if text == "P1M" else "year", str(result).lower())

    def test_cache_off_neither_looks_up_nor_stores(self):
        project = self.three(cache={"enabled": False})
        result = project.run()
        self.assertEqual(result.says["a"], "miss disabled")
        self.assertEqual(sorted(self.home.witness()), ["a", "b"])
        project.doc(self.home.doc(self.steps()))
        self.assertEqual(project.run().says["a"], "miss never-seen")

    def test_no_cache_runs_everything_and_keeps_nothing(self):
        project = self.three()
        result = project.run("--no-cache")
        self.assertEqual(set(result.says.values()), {"miss disabled"})
        self.assertEqual(sorted(self.home.witness()), ["a", "b", "c"])
        self.assertEqual(set(project.run().says.values()), {"hit"})

    def test_refresh_of_all_runs_everything_and_replaces(self):
        project = self.three()
        first = project.get("a.o")
        result = project.run("--refresh")
        self.assertEqual((result.says["a"], result.says["c"]), ("miss refresh", "miss refresh"))
        self.assertEqual(sorted(self.home.witness()), ["a", "b", "c"])
        second = project.get("a.o")
        self.assertNotEqual(first, second)
        self.assertEqual(set(project.run().says.values()), {"hit"})
        self.assertEqual(project.get("a.o"), second)

    def test_refresh_of_one_step_runs_it_and_what_its_bytes_change(self):
        project = self.three()
        result = project.run("--refresh=a")
        self.assertEqual(result.says, {"a": "miss refresh", "b": "miss changed", "c": "hit"})
        self.assertEqual(sorted(self.home.witness()), ["a", "b"])
        result = project.run("--refresh=c")
        self.assertEqual(result.says, {"a": "hit", "b": "hit", "c": "miss refresh"})

    def test_force_runs_a_step_and_all_below(self):
        project = self.three()
        result = project.run("--force", "a")
        self.assertEqual(result.says, {"a": "miss forced", "b": "miss forced", "c": "hit"})
        self.assertEqual(sorted(self.home.witness()), ["a", "b"])

    def test_cached_only_runs_nothing_and_a_miss_is_a_failure(self):
        project = self.three()
        self.assertEqual(set(project.run("--cached-only").says.values()), {"hit"})
        steps = self.steps()
        steps["c"]["run"] += "; echo more"
        project.doc(self.home.doc(steps))
        result = project.run("--cached-only", code=1)
        self.assertEqual(result.finished["c"]["outcome"], "not-cached", str(result))
        self.assertEqual(self.home.witness(), [])

    def test_only_runs_one_step(self):
        project = self.three()
        steps = self.steps()
        steps["b"]["run"] += "; echo more"
        steps["c"]["run"] += "; echo more"
        project.doc(self.home.doc(steps))
        result = project.run("--only", "b")
        self.assertEqual(self.home.witness(), ["b"])
        self.assertEqual(result.run["state"], "done", str(result))

    def test_from_takes_what_is_above_from_the_newest_run(self):
        project = self.three()
        steps = self.steps()
        steps["a"]["run"] += "; echo more"
        steps["b"]["run"] += "; echo more"
        project.doc(self.home.doc(steps))
        result = project.run("--from", "b")
        self.assertEqual((result.verdicts["a"]["verdict"], result.verdicts["a"]["reason"]), ("hit", "from-run"), str(result))
        self.assertEqual(self.home.witness(), ["b"])

    def test_no_such_step_in_a_flag_is_said(self):
        project = self.three()
        for args in (["--refresh=aa"], ["--force", "aa"], ["--only", "aa"], ["--from", "aa"]):
            result = project.run(*args, code=2)
            self.assertIn("aa", str(result))

    def test_salt_is_keyed_and_ignored_inputs_are_not(self):
        def doc(salt, text):
            steps = {"a": {"run": 'cat "${inputs.notes}" "${inputs.data}" > "${outputs.o}"', "inputs": {"notes": "sources.notes", "data": "sources.data"},
                           "outputs": {"o": "o"}, "key": {"salt": salt, "ignore": ["inputs.notes"]}}}
            project.write("notes", text)
            project.doc(self.home.doc(steps, sources={"notes": "./notes", "data": "./data"}))
        project = self.project()
        project.write("data", "d")
        doc("1", "one")
        self.assert_says(project.run(), a="miss never-seen")
        doc("1", "two")
        self.assert_says(project.run(), a="hit")
        self.assertEqual(project.get("a.o"), b"oned", "a hit serves what another input made")
        doc("2", "two")
        result = project.run()
        self.assert_says(result, a="miss changed")
        self.assertEqual([(field["label"], field["old"], field["new"]) for field in result.verdicts["a"]["fields"]], [("salt", "1", "2")])

    def test_a_failure_is_never_a_result(self):
        project = self.project(self.home.doc({"a": {"run": 'test -e "$W/ok" || exit 1; echo 1 > "${outputs.o}"', "outputs": {"o": "o"}}}))
        project.run(code=1)
        project.run(code=1)
        with open(self.home.path("witness/ok"), "w", encoding="utf-8"):
            pass
        project.run()
        self.assert_witness("a", "a", "a")

    def test_independent_branches_go_on_after_a_failure(self):
        steps = {"bad": {"run": "exit 1", "outputs": {"o": "o"}}, "below": {"run": ":", "inputs": {"i": "bad.o"}},
                 "good": {"run": 'echo 1 > "${outputs.o}"', "outputs": {"o": "o"}}, "last": {"run": ":", "inputs": {"i": "good.o"}}}
        result = self.project(self.home.doc(steps)).run(code=1)
        self.assert_witness("bad", "good", "last")
        self.assertEqual(result.finished["below"]["outcome"], "upstream-failed", str(result))
        self.assertEqual((result.run["state"], result.run["failed"] >= 1), ("failed", True))

    def test_the_plan_gives_the_verdicts_and_runs_nothing(self):
        project = self.three()
        before = set(self.home.objects())
        steps = self.steps()
        steps["a"]["run"] += "; echo more"
        project.doc(self.home.doc(steps))
        result = project.plan()
        self.assertEqual((result.says["a"], result.says["c"]), ("miss changed", "hit"), str(result))
        self.assertEqual(result.says["b"], "miss upstream", str(result))
        self.assertEqual(self.home.witness(), [])
        self.assertLessEqual(len(set(self.home.objects()) - before), 1, "nothing but the plan itself is put: no code, no sources")
        self.assertEqual(project.run().says["a"], "miss changed", "and changes nothing")


class Environment(lib.Case):
    """The class of the machine is in the key; a miss names what moved."""

    def fake_python(self, version):
        """A python3 in a folder of its own with one installed distribution: what a host class sees of it."""
        bin_, site = self.home.path("py/bin"), self.home.path("py/lib/python3.11/site-packages")
        lib.remove(self.home.path("py"))
        os.makedirs(bin_)
        os.makedirs(f"{site}/torch-{version}.dist-info")
        os.symlink("/usr/bin/python3", f"{bin_}/python3")
        with open(self.home.path("py/pyvenv.cfg"), "w", encoding="utf-8") as file:
            file.write("home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11.2\n")
        with open(f"{site}/torch-{version}.dist-info/METADATA", "w", encoding="utf-8") as file:
            file.write(f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")

    def doc(self, **top):
        return self.home.doc({"a": {"run": 'python3 -c "import sys; print(sys.prefix)" > "${outputs.o}"', "outputs": {"o": "o"},
                                    "env": {"PATH": self.home.path("py/bin") + ":/usr/bin:/bin"}}}, **top)

    def test_a_changed_distribution_is_a_miss_that_names_it_and_both_versions(self):
        if not os.path.exists("/usr/bin/python3"):
            raise unittest.SkipTest("needs python3")
        self.fake_python("2.0.1")
        project = self.project(self.doc())
        self.assert_says(project.run(), a="miss never-seen")
        self.assert_says(project.run(), a="hit")
        self.fake_python("2.1.0")
        result = project.run()
        self.assert_says(result, a="miss changed")
        fields = {field["label"]: field for field in result.verdicts["a"]["fields"]}
        self.assertEqual(list(fields), ["environment.packages"], str(result))
        text = fields["environment.packages"]["old"] + " " + fields["environment.packages"]["new"]
        for word in ("torch", "2.0.1", "2.1.0"):
            self.assertIn(word, text)
        self.assert_witness("a", "a")

    def test_any_keys_the_architecture_alone(self):
        self.fake_python("2.0.1")
        project = self.project(self.doc(environment="any"))
        project.run()
        self.fake_python("2.1.0")
        self.assert_says(project.run(), a="hit")
        self.assertEqual(self.home.witness(), ["a"])

    def test_a_probe_keys_what_it_prints(self):
        steps = {"a": {"run": 'echo 1 > "${outputs.o}"', "outputs": {"o": "o"}, "environment": {"probe": [f"cat {self.home.path('version')}"]}}}
        project = self.project(self.home.doc(steps))

        def version(text):
            with open(self.home.path("version"), "w", encoding="utf-8") as file:
                file.write(text)
        version("v1\n")
        self.assert_says(project.run(), a="miss never-seen")
        self.assert_says(project.run(), a="hit")
        version("v2\n")
        result = project.run()
        self.assert_says(result, a="miss changed")
        self.assertEqual([field["label"] for field in result.verdicts["a"]["fields"]], ["environment.probe.0"])

    def test_a_probe_that_fails_or_prints_nothing_is_an_error_of_the_run(self):
        for index, command in enumerate(("echo the-probe-said >&2; exit 4", "true", "no-such-command-at-all")):
            with self.subTest(command):
                project = self.project(self.home.doc({"a": {"run": ":", "environment": {"probe": [command]}}}), name=f"p{index}")
                result = project.run(code=None)
                self.assertIn(result.code, (1, 3), str(result))
                self.assertIn(command.split()[0], str(result))
                self.assert_witness()

    def test_a_declared_variable_is_keyed_and_path_too(self):
        def doc(**env):
            return self.home.doc({"a": {"run": 'echo 1 > "${outputs.o}"', "outputs": {"o": "o"}, "env": env}})
        project = self.project(doc(X="1"))
        project.run()
        project.doc(doc(X="2"))
        result = project.run()
        self.assertEqual([field["label"] for field in result.verdicts["a"]["fields"]], ["env.X"])
        project.doc(doc(X="2", PATH="/usr/bin:/bin"))
        self.assert_says(project.run(), a="miss changed")


if __name__ == "__main__":
    lib.main()
