"""--json: every event kind has the fields that docs/FORMATS.md lists, of the types it says; one object a line."""
import json
import re

import lib

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
HEX = re.compile("[0-9a-f]{64}")
REASONS = {"hit": {"cached", "from-run"}, "join": {"in-flight"},
           "miss": {"never-seen", "changed", "expired", "refresh", "forced", "disabled", "objects-lost", "untrusted", "record-corrupt", "voided", "upstream"}}
OUTCOMES = {"ok", "exit", "signal", "out-of-memory", "timeout", "output-missing", "output-not-allowed", "disk-full", "input-lost", "store", "start", "value",
            "agent-lost", "cancelled", "not-cached", "upstream-failed", "probe", "environment-changed", "internal"}
# kind -> {field: type}; "?" at the end: may be absent.
FIELDS = {
    "run.started": {"pipeline": str, "namespace": str, "steps": int},
    "step.verdict": {"step": str, "verdict": str, "reason": str, "detail?": str, "key?": HEX, "fields?": list, "made_by?": dict, "ended_at?": TIME, "saved_ms?": int},
    "step.started": {"step": str, "agent": str, "attempt": int},
    "step.progress": {"step": str, "attempt": int, "phase": str, "done_bytes": int, "total_bytes": int},
    "step.log": {"step": str, "attempt": int, "stream": str, "text": str},
    "step.retry": {"step": str, "attempt": int, "outcome": str, "next_in_ms": int},
    "step.finished": {"step": str, "state": str, "cached": bool, "outcome": str, "exit": int, "signal": int, "wall_ms": int, "log_tail?": str, "message?": str,
                      "cpu_ms?": int, "max_rss_bytes?": int},
    "run.finished": {"state": str, "hits": int, "misses": int, "joined": int, "failed": int, "skipped": int, "ran_ms": int, "saved_ms": int, "bytes_up": int,
                     "bytes_down": int, "wall_ms": int, "outputs": dict, "code?": str, "message?": str},
    "error": {"code": str, "message": str, "file?": str, "line?": int, "column?": int, "hint?": str},
    "note": {"message": str, "step?": str, "code?": str, "hint?": str},
}


class Events(lib.Case):
    def check(self, result):
        """Every line of a stepctl --json."""
        for line in result.out.splitlines():
            event = json.loads(line)
            kind = event.pop("event")
            self.assertEqual(event.pop("v"), 1)
            self.assertRegex(event.pop("at"), TIME)
            if kind not in ("error", "note"):
                self.assertIsInstance(event.pop("run"), str, line)
            else:
                event.pop("run", None)
            self.assertIn(kind, FIELDS, line)
            known = FIELDS[kind]
            for name, type_ in known.items():
                bare = name.rstrip("?")
                if bare not in event:
                    self.assertTrue(name.endswith("?"), f"{kind} without {name}: {line}")
                    continue
                value = event.pop(bare)
                if isinstance(type_, re.Pattern):
                    self.assertRegex(value, type_)
                else:
                    self.assertIs(type(value), type_, f"{kind}.{bare}: {line}")
            self.assertEqual(event, {}, f"{kind} has fields that are not listed: {line}")
        return result

    def test_a_run_of_misses_and_one_of_hits(self):
        project = self.project(self.home.doc({"a": {"run": 'echo said; echo 1 > "${outputs.o}"', "outputs": {"o": "o"}},
                                              "b": {"run": ": ${matrix.x}", "matrix": {"x": [1, 2]}, "inputs": {"i": "a.o"}}}, outputs={"o": "a.o"}))
        first, second = self.check(project.run("--logs")), self.check(project.run("--logs"))
        for result in (first, second):
            self.assertEqual(result.events[0]["event"], "run.started")
            self.assertEqual(result.events[0]["steps"], 3)
            self.assertEqual(result.events[-1]["event"], "run.finished")
            for step, event in result.verdicts.items():
                self.assertIn(event["reason"], REASONS[event["verdict"]])
                self.assertEqual(result.finished[step]["cached"], event["verdict"] == "hit")
                order = [e["event"] for e in result.events if e.get("step") == step and e["event"] not in ("step.log", "step.progress")]
                self.assertEqual(order, ["step.verdict", "step.started", "step.finished"] if event["verdict"] == "miss" else ["step.verdict", "step.finished"])
        for event in second.verdicts.values():
            self.assertEqual(sorted(event["made_by"]), ["agent", "pipeline", "run", "step"])
        output = first.run["outputs"]["o"]
        self.assertEqual(sorted(output), ["bytes", "digest", "uri"])
        self.assertEqual(first.run["ran_ms"] >= 0 and second.run["ran_ms"], 0)

    def test_failures_retries_and_what_is_below(self):
        project = self.project(self.home.doc({"a": {"run": "echo why; exit 3", "outputs": {"o": "o"}, "retry": {"max_attempts": 2, "on": ["exit"], "backoff": "PT0S"}},
                                              "b": {"run": ":", "inputs": {"i": "a.o"}}}))
        result = self.check(project.run(code=1))
        self.assertEqual(len(result.of("step.retry")), 1)
        for event in result.finished.values():
            self.assertIn(event["outcome"], OUTCOMES)
        self.assertIn("log_tail", result.finished["a"])

    def test_changed_fields(self):
        project = self.project(self.home.doc({"a": {"run": "echo ${params.p}"}}, params={"p": 1}))
        self.check(project.run())
        result = self.check(project.run("-p", "p=2"))
        self.assertEqual([sorted(field) for field in result.verdicts["a"]["fields"]], [["label", "new", "old"]])

    def test_plan_and_watch(self):
        project = self.project(self.home.doc({"a": {"run": ":"}}))
        self.check(project.plan())
        run = self.check(project.run()).id
        self.check(self.home.stepctl("watch", "--json", run, cwd=project.root, code=0))

    def test_errors_of_the_document_and_of_the_request(self):
        project = self.project("stepcache: 1\nname: x\nsteps: {a: {rum: ls}}\n")
        result = self.check(project.run(code=2))
        error = result.of("error")[0]
        self.assertEqual((error["code"], error["line"], error["file"]), ("document", 3, "pipeline.yaml"))
        self.check(self.home.stepctl("run", "--json", "nothing.yaml", cwd=project.root, code=2))
        self.check(self.home.stepctl("watch", "--json", "nothing", cwd=project.root, code=2))

    def test_odd_texts_are_still_json(self):
        project = self.project(self.home.doc({"a": {"run": "printf '\\377\\000\\033[1m\\342\\200\\256\"\\\\\\n'; exit 1"}}))
        self.check(project.run("--logs", code=1))

    def test_an_interrupted_run_ends_its_stream_whole(self):
        bell = self.home.pipe("bell")
        self.home.pipe("never")
        project = self.project(self.home.doc({"a": {"run": 'echo here > "$W/bell"; read x < "$W/never"'}}))
        live = project.start()
        bell.wait()
        live.signal(lib.signal.SIGINT)
        result = self.check(live.wait())
        self.assertEqual(result.events[-1]["event"], "run.finished")


if __name__ == "__main__":
    lib.main()
