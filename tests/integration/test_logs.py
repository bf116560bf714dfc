"""Logs: large, without a newline, binary, replayed on a hit, followed while they are written."""
import os
import re

import lib


class Logs(lib.Case):
    def one(self, script, **fields):
        return self.project(self.home.doc({"a": {"run": script, **fields}}))

    def logs(self, project, *args, code=0, step="a", **options):
        return self.home.stepctl("logs", "latest", step, *args, cwd=project.root, code=code, **options)

    def test_both_streams_are_kept_with_the_result(self):
        project = self.one('echo to-out; echo to-err >&2')
        project.run()
        said = self.logs(project)
        self.assertEqual((said.out + said.err).split(), ["to-out", "to-err"])

    def test_the_log_of_a_hit_is_replayed(self):
        project = self.one('echo said once')
        project.run()
        self.assertEqual(project.run().says, {"a": "hit"})
        self.assertIn("said once", self.logs(project).out)
        shown = self.home.stepctl("run", "--json", "--logs", "pipeline.yaml", cwd=project.root, code=0)
        self.assertEqual(shown.says, {"a": "hit"})

    def test_the_log_of_a_failed_step_is_kept_and_its_end_is_shown(self):
        project = self.one('echo before; echo "the very reason" >&2; exit 7')
        result = project.run(code=1)
        end = result.finished["a"]
        self.assertEqual((end["state"], end["outcome"], end["exit"]), ("failed", "exit", 7))
        self.assertIn("the very reason", end["log_tail"])
        said = self.logs(project)
        self.assertIn("before", said.out + said.err)
        self.assertIn("the very reason", said.out + said.err)
        plain = self.home.stepctl("run", "pipeline.yaml", cwd=project.root, code=1)
        self.assertIn("the very reason", plain.out + plain.err)

    def test_50_mb_of_log(self):
        project = self.one('i=0; while [ $i -lt 500 ]; do head -c 100000 /dev/zero | tr "\\0" x | fold -w 99; echo; i=$((i+1)); done; echo the-end')
        project.run(seconds=5 * lib.DEADLINE)
        said = self.logs(project, seconds=5 * lib.DEADLINE)
        self.assertTrue(len(said.raw) > 50_000_000, len(said.raw))
        self.assertTrue(said.raw.rstrip().endswith(b"the-end"))
        self.assertEqual(project.run().says, {"a": "hit"})

    def test_50_mb_of_log_while_it_is_watched(self):
        project = self.one('i=0; while [ $i -lt 500 ]; do head -c 100000 /dev/zero | tr "\\0" x | fold -w 99; echo; i=$((i+1)); done; echo the-end')
        result = self.home.stepctl("run", "--json", "--logs", "pipeline.yaml", cwd=project.root, code=0, seconds=5 * lib.DEADLINE)
        self.assertEqual(result.run["state"], "done")
        self.assertIn("the-end", "".join(event["text"] for event in result.of("step.log"))[-2000:])

    def test_a_line_of_10_mb_without_a_newline(self):
        project = self.one("head -c 10485760 /dev/zero | tr '\\0' y; printf z")
        for args in ([], ["--logs"]):
            result = self.home.stepctl("run", "--json", "--no-cache", *args, "pipeline.yaml", cwd=project.root, code=0, seconds=3 * lib.DEADLINE)
            self.assertEqual(result.run["state"], "done")
        text = "".join(event["text"] for event in result.of("step.log"))
        self.assertEqual((len(text.rstrip("\n")), text.rstrip("\n")[-2:]), (10485761, "yz"))
        said = self.logs(project, seconds=3 * lib.DEADLINE)
        self.assertEqual(len(said.raw.rstrip(b"\n")), 10485761)

    def test_a_failure_with_a_long_line_shows_its_end(self):
        project = self.one("head -c 10485760 /dev/zero | tr '\\0' y; printf end-of-line; exit 1")
        result = project.run(code=1)
        tail = result.finished["a"]["log_tail"]
        self.assertLessEqual(len(tail), 5000)
        self.assertTrue(tail.rstrip().endswith("end-of-line"), tail[-100:])

    def test_terminal_codes_of_a_step_never_reach_the_terminal(self):
        project = self.one("printf 'a\\033]0;title\\007b\\033[2Jc\\r\\n'; exit 1")
        plain = self.home.stepctl("run", "pipeline.yaml", cwd=project.root, code=1)
        self.assertNotIn("\x1b]0", plain.out + plain.err)
        self.assertNotIn("\x1b[2J", plain.out + plain.err)

    def test_bytes_that_are_no_text(self):
        project = self.one("printf '\\377\\376\\000\\001ok\\n'")
        result = self.home.stepctl("run", "--json", "--logs", "pipeline.yaml", cwd=project.root, code=0)
        self.assertIn("ok", "".join(event["text"] for event in result.of("step.log")))
        self.logs(project)

    def test_log_lines_come_while_the_step_runs(self):
        gate = self.home.pipe("gate")
        project = self.one('echo early; read go < "$W/gate"; echo late')
        live = project.start("--logs")
        text = ""
        while "early" not in text:
            text += live.event("step.log", step="a")["text"]
        gate.let()
        result = live.wait()
        self.assertIn("late", "".join(event["text"] for event in result.of("step.log")))

    def test_follow_shows_what_comes_and_ends_with_the_step(self):
        gate, bell = self.home.pipe("gate"), self.home.pipe("bell")
        project = self.one('echo early; echo here > "$W/bell"; read go < "$W/gate"; echo late')
        run = project.start()
        bell.wait()
        follower = self.home.start("logs", "-f", "latest", "a", cwd=project.root)
        line = follower.lines.get(timeout=lib.DEADLINE)
        self.assertIn(b"early", line)
        gate.let()
        said = follower.wait()
        self.assertIn("late", said.out)
        self.assertEqual(run.wait().code, 0)

    def test_follow_is_of_one_step_and_ends_before_the_run_does(self):
        other, gate, bell = self.home.pipe("other"), self.home.pipe("gate"), self.home.pipe("bell")
        script = 'echo {0}; echo here > "$W/bell"; read go < "$W/{1}"; echo {0} late'
        small = {"resources": {"cpus": 0.1}}
        project = self.project(self.home.doc({"a": {"run": script.format("wanted", "gate"), **small}, "b": {"run": script.format("unwanted", "other"), **small}}))
        run = project.start()
        bell.wait()
        bell.wait()
        follower = self.home.start("logs", "-f", "latest", "a", cwd=project.root)
        self.assertEqual(follower.lines.get(timeout=lib.DEADLINE), b"wanted\n")
        gate.let()
        self.assertEqual(follower.wait().out, "wanted\nwanted late\n")
        other.let()
        self.assertEqual(run.wait().code, 0)

    def test_without_follow_a_log_ends_where_the_step_is(self):
        gate, bell = self.home.pipe("gate"), self.home.pipe("bell")
        project = self.one('echo early; echo here > "$W/bell"; read go < "$W/gate"; echo late')
        run = project.start()
        bell.wait()
        self.assertEqual(self.logs(project).out, "early\n")
        gate.let()
        self.assertEqual(run.wait().code, 0)

    def test_each_follower_gets_the_log_from_its_beginning_and_nothing_twice(self):
        gate, bell = self.home.pipe("gate"), self.home.pipe("bell")
        project = self.one('echo early; echo here > "$W/bell"; read go < "$W/gate"; echo late')
        run = project.start("--logs")
        bell.wait()
        self.assertEqual(run.event("step.log", step="a")["text"], "early\n")
        followers = []
        for i in range(3):
            followers.append(self.home.start("logs", "-f", "latest", "a", cwd=project.root))
            self.assertEqual(followers[i].lines.get(timeout=lib.DEADLINE), b"early\n")
            self.assertEqual(self.logs(project).out, "early\n")
        watcher = self.home.start("watch", "--json", "--logs", "latest", cwd=project.root)
        self.assertEqual(watcher.event("step.log", step="a")["text"], "early\n")
        joiner = project.start("--logs")
        self.assertEqual(joiner.event("step.log", step="a")["text"], "early\n")
        gate.let()
        for follower in followers:
            self.assertEqual(follower.wait().out, "early\nlate\n")
        for watched in run, watcher, joiner:
            self.assertEqual("".join(event["text"] for event in watched.wait().of("step.log")), "early\nlate\n")

    def test_a_late_follower_of_a_large_log_gets_its_end_and_is_told_what_is_left_out(self):
        gate, bell = self.home.pipe("gate"), self.home.pipe("bell")
        project = self.one('echo first; head -c 20000000 /dev/zero | tr "\\0" x; echo; echo here > "$W/bell"; read go < "$W/gate"; echo late')
        run = project.start("--logs")
        bell.wait()
        said = self.logs(project, seconds=3 * lib.DEADLINE).out
        self.assertRegex(said, r"^\[stepcache: \d+ bytes of this log are left out here; [^\n]*\]\nxxx")
        left_out = int(re.search(r"\d+", said)[0])
        self.assertEqual(left_out + len(said.split("\n", 1)[1]), len("first\n") + 20000001)
        gate.let()
        text = "".join(event["text"] for event in run.wait().of("step.log"))
        self.assertEqual(text, "first\n" + 20000000 * "x" + "\nlate\n")

    def test_a_log_of_a_matrix_instance_by_its_name(self):
        project = self.project(self.home.doc({"a": {"run": 'echo "x is ${matrix.x}"', "matrix": {"x": [1, 2]}}}))
        project.run()
        self.assertIn("x is 2", self.logs(project, step="a[x=2]").out)

    def test_a_log_of_no_such_step_is_said_with_the_nearest(self):
        project = self.project(self.home.doc({"train": {"run": ":"}}))
        project.run()
        said = self.logs(project, step="trian", code=2)
        self.assertIn("train", said.err)


if __name__ == "__main__":
    lib.main()
