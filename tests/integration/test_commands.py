"""The other commands: what each says, on an empty store, of a run, of a run that failed; and exit codes."""
import json
import os
import re
import shutil
import subprocess

import lib

COMMANDS = ("run", "plan", "submit", "status", "runs", "watch", "logs", "get", "uri", "cancel", "key", "explain", "diff", "cache", "graph", "completion", "doctor", "version")


class Commands(lib.Case):
    def small(self, **top):
        project = self.project(self.home.doc({
            "a": {"run": 'cat "${inputs.s}" tool.sh > "${outputs.o}"', "code": ["tool.sh"], "inputs": {"s": "sources.s"}, "outputs": {"o": "o.txt"}},
            "b": {"run": 'echo "${params.depth}"; cp -r "${inputs.i}" "${outputs.d}/copy"', "inputs": {"i": "a.o"}, "outputs": {"d": "d/"}}},
            params={"depth": 5}, sources={"s": "./s.txt"}, outputs={"all": "b.d"}, **top))
        project.write("s.txt", "source\n")
        project.write("tool.sh", "tool\n")
        return project

    def ctl(self, project, *args, code=0, **options):
        return self.home.stepctl(*args, cwd=project.root if project else None, code=code, **options)

    # ---- explain, key, diff

    def test_explain_of_a_changed_parameter_names_old_and_new(self):
        project = self.small()
        project.run()
        project.run("-p", "depth=6")
        said = self.ctl(project, "explain", "latest", "b").out
        self.assertRegex(said, r"command")
        self.assertIn("5", said)
        self.assertIn("6", said)

    def test_explain_of_changed_code_names_the_files(self):
        project = self.small()
        project.run()
        project.write("tool.sh", "another tool\n")
        result = project.run()
        self.assertEqual([field["label"] for field in result.verdicts["a"]["fields"]], ["code"])
        self.assertIn("tool.sh", self.ctl(project, "explain", "latest", "a").out)

    def test_explain_of_a_changed_folder_names_the_files(self):
        project = self.project(self.home.doc({"a": {"run": 'ls "${inputs.d}"', "inputs": {"d": "sources.d"}}}, sources={"d": "./d/"}))
        for name in ("same", "changed", "removed"):
            project.write(f"d/sub/{name}", name)
        project.run()
        project.write("d/sub/changed", "otherwise")
        project.write("d/sub/added", "new")
        os.unlink(project.path("d/sub/removed"))
        project.run()
        said = self.ctl(project, "explain", "latest", "a").out
        for name in ("changed", "removed", "added"):
            self.assertIn(f"sub/{name}", said)
        self.assertNotIn("sub/same", said)

    def test_explain_of_a_hit_tells_who_made_it_and_what_it_saved(self):
        project = self.small()
        first = project.run()
        project.run()
        said = self.ctl(project, "explain", "latest", "b").out
        self.assertIn("hit", said)
        self.assertIn(first.id, said)

    def test_explain_shows_environment_any_and_ignored_inputs(self):
        project = self.project(self.home.doc({"a": {"run": ":", "environment": "any", "inputs": {"s": "sources.s"}, "key": {"ignore": ["inputs.s"]}}}, sources={"s": "./s"}))
        project.write("s", "x")
        project.run()
        said = self.ctl(project, "explain", "latest", "a").out
        self.assertIn("ignored", said)
        self.assertIn("inputs.s", said)
        self.assertIn("any", said)

    def test_the_key_can_be_recomputed_by_hand(self):
        project = self.small()
        result = project.run()
        rows = [json.loads(line) for line in self.ctl(project, "key", "--json", "latest", "a").out.splitlines()]
        text = json.dumps(rows)
        self.assertIn(result.verdicts["a"]["key"], text)
        self.assertIn(lib.hashlib.sha256(b"source\n").hexdigest(), text)
        for label in ("command", "code", "input.s", "output.o", "environment.os", "environment.arch", "environment.path"):
            self.assertIn(label, text)

    def test_diff_shows_parameters_and_verdicts_side_by_side(self):
        project = self.small()
        one = project.run()
        two = project.run("-p", "depth=6")
        said = self.ctl(project, "diff", one.id, two.id).out
        for word in ("depth", "5", "6"):
            self.assertIn(word, said)

    # ---- runs, status, watch, cancel

    def test_runs_lists_them_newest_first(self):
        project = self.small()
        first, second = project.run(), project.run()
        said = self.ctl(project, "runs").out
        self.assertLess(said.index(second.id), said.index(first.id))
        rows = [json.loads(line) for line in self.ctl(project, "runs", "--json").out.splitlines()]
        self.assertEqual([row["run"] for row in rows], [second.id, first.id])

    def test_runs_of_another_home_or_none_is_empty_and_good(self):
        self.ctl(None, "runs")
        self.ctl(None, "status")

    def test_status_of_a_run_tells_every_step(self):
        project = self.small()
        result = project.run()
        for name in ("latest", result.id, result.id[:-2]):
            said = self.ctl(project, "status", name).out
            self.assertIn("a", said)
            self.assertIn("done", said)

    def test_watch_of_a_finished_run_tells_it_and_ends(self):
        project = self.small()
        result = project.run()
        again = self.ctl(project, "watch", "--json", result.id)
        self.assertEqual(again.run["state"], "done")
        self.assertEqual(again.says, result.says)

    def test_cancel_by_another_client(self):
        gate, bell = self.home.pipe("gate"), self.home.pipe("bell")
        project = self.project(self.home.doc({"a": {"run": 'echo here > "$W/bell"; read go < "$W/gate"'}}))
        live = project.start()
        run = live.event("run.started")["run"]
        bell.wait()
        self.ctl(project, "cancel", run)
        self.assertEqual(live.wait().code, 4)
        gate.let()

    def test_a_run_that_does_not_exist_is_said(self):
        project = self.small()
        project.run()
        for args in (["status", "nope"], ["watch", "nope"], ["logs", "nope", "a"], ["get", "nope", "a.o", "x"], ["cancel", "nope"], ["explain", "nope", "a"], ["diff", "nope", "latest"]):
            with self.subTest(args[0]):
                said = self.ctl(project, *args, code=2)
                self.assertIn("nope", said.err)

    # ---- uri

    def test_uri_prints_the_newest_address_or_that_of_a_run(self):
        project = self.small()
        first = project.run()
        before = self.ctl(project, "uri", "all").out
        self.assertRegex(before, r"^dir:/.*/out/default/e2e/b/d/[0-9a-f]{16}/d\n$")
        self.assertEqual(sorted(os.listdir(before.strip()[4:])), ["copy"])
        second = project.run("-p", "depth=6")
        project.write("s.txt", "another\n")
        third = project.run()
        after = self.ctl(project, "uri", "all").out
        self.assertNotEqual(after, before)
        for name in ("all", "b.d"):
            self.assertEqual(self.ctl(project, "uri", first.id, name).out, before)
            self.assertEqual(self.ctl(project, "uri", third.id, name).out, after)
        self.assertEqual(json.loads(self.ctl(project, "uri", "--json", second.id, "b.d").out)["uri"] + "\n", before)
        # A newer run that published nothing does not hide it.
        self.project(self.home.doc({"x": {"run": ":"}}, name="other"), name="other").run()
        self.assertEqual(self.ctl(project, "uri", "all").out, after)

    def test_uri_of_a_matrix_step_names_its_instance(self):
        project = self.project(self.home.doc({"r": {"run": 'echo "${matrix.lr}" > "${outputs.o}"', "matrix": {"lr": [0.1, 0.2]}, "outputs": {"o": "o.txt"}}}, outputs={"report": "r.o"}))
        project.run()
        for name in ("report[lr=0.1]", "r[lr=0.1].o"):
            with open(self.ctl(project, "uri", name).out.strip()[4:], encoding="utf-8") as file:
                self.assertEqual(file.read(), "0.1\n")
        said = self.ctl(project, "uri", "report", code=2).err
        self.assertIn("report[lr=0.1]", said)
        self.assertIn("report[lr=0.2]", said)

    def test_uri_of_a_wrong_name_tells_the_right_ones(self):
        project = self.small()
        self.assertIn("no run has published", self.ctl(project, "uri", "all", code=2).err)
        project.run()
        for args in (["al"], ["latest", "al"]):
            said = self.ctl(project, "uri", *args, code=2).err
            self.assertIn("did you mean all?", said)
        self.assertIn("it published: all", self.ctl(project, "uri", "a.o", code=2).err)
        self.assertIn("nope", self.ctl(project, "uri", "nope", "all", code=2).err)

    # ---- get

    def test_get_writes_files_and_folders(self):
        project = self.small()
        project.run()
        dest = self.home.path("file")
        self.ctl(project, "get", "latest", "a.o", dest)
        with open(dest, encoding="utf-8") as file:
            self.assertEqual(file.read(), "source\ntool\n")
        dest = self.home.path("folder")
        self.ctl(project, "get", "latest", "b.d", dest)
        self.assertEqual(os.listdir(dest), ["copy"])

    def test_get_never_overwrites_and_never_half_writes(self):
        project = self.small()
        project.run()
        dest = project.write("precious", "mine")
        self.ctl(project, "get", "latest", "a.o", dest, code=2)
        with open(dest, encoding="utf-8") as file:
            self.assertEqual(file.read(), "mine")

    def test_what_get_wrote_is_ones_own(self):
        project = self.small()
        project.run()
        dest = self.home.path("mine")
        self.ctl(project, "get", "latest", "a.o", dest)
        self.assertEqual(os.stat(dest).st_nlink, 1, "never a link to the cache's own bytes")
        with open(dest, "ab") as file:
            file.write(b"more")

    def test_get_of_no_such_output_names_those_there_are(self):
        project = self.small()
        project.run()
        said = self.ctl(project, "get", "latest", "a.nothing", self.home.path("x"), code=2)
        self.assertIn("o", said.err)

    # ---- graph, completion, version, help, doctor

    def test_graph_is_dot(self):
        project = self.small()
        said = self.ctl(project, "graph", "pipeline.yaml").out
        self.assertIn("digraph", said)
        self.assertIn('"a"', said)
        self.assertRegex(said, r'"a"\s*->\s*"b"')
        if shutil.which("dot"):
            subprocess.run(["dot", "-Tplain"], input=said.encode(), check=True, capture_output=True)

    def test_graph_as_svg(self):
        lib.need_program("dot")
        self.assertIn("<svg", self.ctl(self.small(), "graph", "--svg", "pipeline.yaml").out)

    def test_completion_is_bash_and_knows_every_command(self):
        lib.need_program("bash")
        script = self.ctl(None, "completion", "bash").out
        subprocess.run(["bash", "-n"], input=script.encode(), check=True)
        done = subprocess.run(["bash", "-c", 'eval "$(cat)"; COMP_WORDS=(stepctl ""); COMP_CWORD=1; COMP_LINE="stepctl "; COMP_POINT=8; '
                               'f=$(complete -p stepctl | sed "s/.*-F \\([^ ]*\\).*/\\1/"); $f stepctl "" stepctl; printf "%s\\n" "${COMPREPLY[@]}"'],
                              input=script.encode(), capture_output=True, check=False, env=self.home.env)
        words = done.stdout.decode().split()
        for name in COMMANDS:
            self.assertIn(name, words, done.stderr.decode())

    def test_version(self):
        said = self.ctl(None, "version")
        self.assertRegex(said.out, r"\d+\.\d+\.\d+")
        self.assertRegex(self.ctl(None, "--version").out, r"\d+\.\d+\.\d+")

    def test_help_of_every_command(self):
        said = self.ctl(None, "--help").out
        for name in COMMANDS:
            self.assertIn(name, said)
            self.assertIn("Usage", self.ctl(None, name, "--help").out.replace("usage", "Usage"), name)

    def test_doctor_is_content_and_says_what_it_looked_at(self):
        said = self.ctl(None, "doctor")
        for word in ("store", "clock", "socket", "sandbox", "environment"):
            self.assertIn(word, said.out.lower())

    def test_doctor_says_what_is_wrong(self):
        os.chmod(self.home.path("run"), 0o755)
        os.makedirs(self.home.path("run/stepcache"))
        os.chmod(self.home.path("run/stepcache"), 0o777)
        said = self.ctl(None, "doctor", code=None)
        self.assertNotEqual(said.code, 0, str(said))
        self.assertIn("run/stepcache", said.out + said.err)

    def test_doctor_looks_at_the_store_it_is_given_whatever_coordinator_the_environment_names(self):
        said = self.ctl(None, "doctor", "--store", self.home.path("other"), env={"STEPCACHE_COORDINATOR": f"ipc://{self.home.path('nobody.sock')}"})
        self.assertIn(f"{self.home.path('other')} on ", said.out)
        self.assertTrue(os.path.exists(self.home.path("other/stepcache.json")))

    def test_a_store_is_the_same_by_any_of_its_names(self):
        project = self.small()
        os.makedirs(self.home.path("a b/é"))
        os.symlink(self.home.path("a b"), self.home.path("link"))
        self.ctl(project, "run", "--store", "../a b/é/store", "pipeline.yaml")
        for name in (self.home.path("a b/é/store"), "dir:" + self.home.path("a b/é/store"), self.home.path("link/é/store//")):
            said = self.ctl(project, "runs", "--store", name)
            self.assertIn("done", said.out, name)
        self.assertIn("--store is empty", self.ctl(project, "run", "--store", "", "pipeline.yaml", code=2).err)

    def test_a_store_of_another_user_that_cannot_be_written_is_said_at_once(self):
        lib.need_root()
        project = self.small()
        self.ctl(project, "run", "--store", self.home.path("shared"), "pipeline.yaml")
        folders = {}
        for variable in ("HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
            folders[variable] = self.home.path("other-" + variable)
            os.mkdir(folders[variable], 0o700)
            os.chown(folders[variable], 65534, 65534)
        said = self.ctl(project, "run", "--store", self.home.path("shared"), "pipeline.yaml", user=65534, env=folders, code=3)
        self.assertIn(f"the store cannot be written to: {self.home.path('shared')}", said.err)

    def test_beside_a_coordinator_the_environments_store_counts_for_nothing(self):
        nobody = f"ipc://{self.home.path('nobody.sock')}"
        for store in ("results", self.home.path("other")):
            said = self.ctl(None, "runs", "--coordinator", nobody, env={"STEPCACHE_STORE": store}, code=3)
            self.assertIn("no coordinator at", said.err)
        self.assertEqual([name for name in os.listdir(self.home.path("state/stepcache")) if name != "coordinator"], [])

    # ---- cache

    def test_cache_commands_tell_what_is_there(self):
        project = self.small()
        result = project.run()
        key = result.verdicts["a"]["key"]
        self.assertIn(key[:12], self.ctl(project, "cache", "ls").out)
        self.assertIn("o", self.ctl(project, "cache", "show", key).out)
        self.assertIn("2", self.ctl(project, "cache", "stats").out)
        self.ctl(project, "cache", "verify")

    def test_cache_stats_tell_the_ratio_to_a_thousandth(self):
        big = 'head -c 4000000 /dev/zero > "${outputs.o}"'
        project = self.project(self.home.doc({"a": {"run": big, "outputs": {"o": "o"}}, "b": {"run": f"true; {big}", "outputs": {"o": "o"}}}))
        project.run()
        text, rows = self.ctl(project, "cache", "stats").out, self.ctl(project, "cache", "stats", "--json").out
        stats = json.loads(rows)
        # Two equal outputs are one object, beside some small ones. In full, the double next to 1.999 has 17 digits.
        self.assertEqual(round(stats["named_bytes"] / stats["bytes"], 3), 1.999)
        self.assertRegex(text, r"dedup_ratio: 1\.999\n")
        self.assertRegex(rows, r'"dedup_ratio":1\.999[,}]')

    def test_cache_verify_of_a_sample(self):
        project = self.project(self.home.doc({f"s{i}": {"run": f'head -c 100000 /dev/zero > "${{outputs.o}}"; echo {i} >> "${{outputs.o}}"', "outputs": {"o": "o"}}
                                              for i in range(20)}))
        project.run()
        every, some = (json.loads(self.ctl(project, "cache", "verify", "--json", *args).out) for args in ((), ("--sample", "5")))
        self.assertEqual((every["records"], some["records"]), (20, 4))
        self.assertLess(some["bytes"], every["bytes"] / 2)
        self.assertIn("--sample N", self.ctl(project, "cache", "verify", "5", code=2).err)
        self.assertIn("of cache verify", self.ctl(project, "cache", "ls", "--sample", "5", code=2).err)

    def test_cache_commands_on_an_empty_store_are_good(self):
        for op in ("ls", "stats", "verify"):
            self.ctl(None, "cache", op)

    # ---- exit codes

    def test_exit_codes(self):
        project = self.small()
        self.ctl(project, "run", "pipeline.yaml", code=0)
        project.doc(self.home.doc({"a": {"run": "exit 9"}}))
        self.ctl(project, "run", "pipeline.yaml", code=1)
        self.ctl(project, "run", "nothing.yaml", code=2)
        self.ctl(project, "run", code=2)
        self.ctl(project, "rnu", code=2)
        self.ctl(project, "run", "--no-such-flag", "pipeline.yaml", code=2)
        self.ctl(project, code=2)
        self.ctl(project, "runs", "--coordinator", f"ipc://{self.home.path('nobody.sock')}", code=3, seconds=2 * lib.DEADLINE)

    def test_an_unknown_command_or_flag_suggests_the_nearest(self):
        self.assertIn("run", self.ctl(None, "rnu", code=2).err)
        self.assertIn("--refresh", self.ctl(None, "run", "--refrsh", "x", code=2).err)

    def test_a_store_that_cannot_be_written_is_exit_3(self):
        project = self.small()
        with open(self.home.path("cache/stepcache"), "w", encoding="utf-8"):
            pass
        said = self.ctl(project, "run", "pipeline.yaml", code=3)
        self.assertIn("cache/stepcache", said.err)

    def test_a_runtime_folder_that_others_can_write_is_refused(self):
        project = self.small()
        os.makedirs(self.home.path("run/stepcache"))
        os.chmod(self.home.path("run/stepcache"), 0o777)
        said = self.ctl(project, "run", "pipeline.yaml", code=3)
        self.assertIn("run/stepcache", said.err)

    def test_without_xdg_folders_the_usual_ones_serve(self):
        project = self.small()
        env = {name: "" for name in self.home.env if name.startswith("XDG_")}
        os.makedirs(self.home.path("tmp"))
        result = self.ctl(project, "run", "--json", "pipeline.yaml", env={**env, "XDG_RUNTIME_DIR": self.home.path("run")})
        self.assertEqual(result.run["state"], "done")
        self.assertTrue(os.path.isdir(self.home.path("home/.cache/stepcache")))

    # ---- plain output

    def test_plain_lines_tell_verdicts_and_end_with_a_summary(self):
        project = self.small()
        first = self.ctl(project, "run", "pipeline.yaml")
        self.assertNotIn("\x1b", first.out + first.err)
        second = self.ctl(project, "run", "pipeline.yaml")
        self.assertRegex(second.out + second.err, r"2 hits?")
        self.assertRegex(second.out + second.err, r"(?i)saved")

    def test_quiet_says_little(self):
        project = self.small()
        said = self.ctl(project, "run", "-q", "pipeline.yaml")
        self.assertLessEqual(len((said.out + said.err).splitlines()), 2)

    def test_the_document_may_be_named_anything_and_is_found_without_a_name(self):
        project = self.small()
        said = self.ctl(project, "run", code=None)
        self.assertIn(said.code, (0, 2))
        if said.code == 2:
            self.assertRegex(said.err, re.compile("pipeline|document|usage|FILE|missing", re.IGNORECASE))


if __name__ == "__main__":
    lib.main()
