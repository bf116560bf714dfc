"""Matrix, values, retry, timeout, order, resources: what a step can be."""
import json
import os

import lib


class Matrix(lib.Case):
    def doc(self, rates):
        return self.home.doc({
            "train": {"run": 'echo "${matrix.lr}/${matrix.depth}" > "${outputs.model}"; echo "{\\"rmse\\": ${matrix.lr}, \\"name\\": \\"d${matrix.depth}\\"}" > "${outputs.metrics}"',
                      "says": "train ${matrix.lr} ${matrix.depth}", "matrix": {"lr": rates, "depth": [3, 4]},
                      "outputs": {"model": "model.bin", "metrics": "metrics.json"}, "values": {"rmse": "metrics.json#/rmse", "name": "metrics.json#/name"}},
            "collect": {"run": 'cd "${inputs.models}"; for f in *; do echo "$f=$(cat "$f")"; done > "$OLDPWD/${outputs.o}" 2>/dev/null || for f in *; do echo "$f=$(cat "$f")"; done > "${outputs.o}"',
                        "inputs": {"models": "train.model"}, "outputs": {"o": "o"}},
            "values": {"run": 'printf %s "${inputs.rmse} ${inputs.names}" > "${outputs.o}"', "inputs": {"rmse": "train.rmse", "names": "train.name"}, "outputs": {"o": "o"}}})

    def test_a_matrix_fans_out_and_in(self):
        project = self.project(self.doc([0.1, 0.01]))
        result = project.run()
        names = [f"train[depth={depth},lr={lr}]" for depth in (3, 4) for lr in (0.1, 0.01)]
        self.assertEqual(sorted(result.verdicts), sorted(names + ["collect", "values"]), str(result))
        self.assertEqual(project.get("collect.o").decode().split(), sorted(f"depth={depth},lr={lr}={lr}/{depth}" for depth in (3, 4) for lr in (0.1, 0.01)))
        text = project.get("values.o").decode()
        decoder = json.JSONDecoder()
        rates, end = decoder.raw_decode(text)
        names, _ = decoder.raw_decode(text[end + 1:])
        self.assertEqual((rates, names), ([0.1, 0.01, 0.1, 0.01], ["d3", "d3", "d4", "d4"]))

    def test_a_changed_matrix_runs_only_the_new_instances(self):
        project = self.project(self.doc([0.1, 0.01]))
        project.run()
        self.home.witness()
        project.doc(self.doc([0.1, 0.02]))
        result = project.run()
        self.assert_witness("train 0.02 3", "train 0.02 4", "collect", "values")
        self.assertEqual(result.run["hits"], 2)

    def test_values_of_a_matrix_are_texts_as_written(self):
        project = self.project(self.home.doc({"a": {"run": 'printf "%s" "${matrix.x}" > "${outputs.o}"', "matrix": {"x": ["a=b", "c,d", "e[f]", "g/h", "50%", "sp ace", "ü"]}, "outputs": {"o": "o"}},
                                              "b": {"run": 'ls "${inputs.all}" > "${outputs.o}"', "inputs": {"all": "a.o"}, "outputs": {"o": "o"}}}))
        result = project.run()
        self.assertIn("a[x=a%3Db]", result.verdicts)
        self.assertEqual(project.get("b.o").decode().split("\n")[:-1], sorted(["x=50%25", "x=a%3Db", "x=c%2Cd", "x=e%5Bf%5D", "x=g%2Fh", "x=sp ace", "x=ü"]))
        self.assertEqual(project.get("a[x=g%2Fh].o"), b"g/h")

    def test_a_failed_instance_fails_the_fan_in_and_no_other(self):
        project = self.project(self.home.doc({"a": {"run": 'test "${matrix.x}" != 2; echo 1 > "${outputs.o}"', "matrix": {"x": [1, 2, 3]}, "outputs": {"o": "o"}},
                                              "b": {"run": ":", "inputs": {"all": "a.o"}}}))
        result = project.run(code=1)
        self.assertEqual({name: event["state"] for name, event in result.finished.items() if name != "b"}, {"a[x=1]": "done", "a[x=2]": "failed", "a[x=3]": "done"})
        self.assertEqual(result.finished["b"]["outcome"], "upstream-failed")


class Values(lib.Case):
    def test_a_value_is_an_input_and_stops_what_it_does_not_change(self):
        steps = {"a": {"run": 'echo "{\\"n\\": {\\"deep\\": [1, \\"two\\", null]}, \\"noise\\": \\"${params.noise}\\"}" > "${outputs.m}"', "outputs": {"m": "m.json"},
                       "values": {"two": "m.json#/n/deep/1", "all": "m.json#/n", "nothing": "m.json#/n/deep/2"}},
                 "b": {"run": 'printf "%s|%s|%s" "${inputs.two}" "${inputs.all}" "${inputs.nothing}" > "${outputs.o}"',
                       "inputs": {"two": "a.two", "all": "a.all", "nothing": "a.nothing"}, "outputs": {"o": "o"}}}
        project = self.project(self.home.doc(steps, params={"noise": "x"}))
        project.run()
        two, all_, nothing = project.get("b.o").decode().split("|")
        self.assertIn(two, ("two", '"two"'))
        self.assertEqual((json.loads(all_), nothing), ({"deep": [1, "two", None]}, "null"))
        result = project.run("-p", "noise=y")
        self.assert_says(result, a="miss changed", b="hit")

    def test_a_value_that_is_not_there_fails_by_name(self):
        for index, text in enumerate(('{"n": 1}', "no json", "")):
            with self.subTest(text):
                project = self.project(self.home.doc({"a": {"run": f"printf '%s' '{text}' > \"${{outputs.m}}\"", "outputs": {"m": "m.json"}, "values": {"x": "m.json#/x"}}}), name=f"p{index}")
                result = project.run(code=1)
                self.assertEqual(result.finished["a"]["outcome"], "value", str(result))
                self.assertIn("m.json", str(result))


class Failures(lib.Case):
    def test_a_retry_runs_again_after_its_backoff_until_it_succeeds(self):
        project = self.project(self.home.doc({"a": {"run": 'n=$(grep -c "^a$" "$W/log"); echo "attempt $n"; test "$n" -ge 3; echo 1 > "${outputs.o}"', "outputs": {"o": "o"},
                                                    "retry": {"max_attempts": 4, "on": ["exit"], "backoff": "PT0.01S"}}}))
        result = project.run()
        self.assert_witness("a", "a", "a")
        retries = result.of("step.retry")
        self.assertEqual([event["outcome"] for event in retries], ["exit", "exit"], str(result))
        self.assertEqual([event["attempt"] for event in retries], [1, 2])
        self.assertTrue(retries[0]["next_in_ms"] <= retries[1]["next_in_ms"], "the backoff doubles")
        self.assertEqual(self.project_run_hits(project), 1)

    def project_run_hits(self, project):
        return project.run().run["hits"]

    def test_a_retry_ends_at_its_limit(self):
        project = self.project(self.home.doc({"a": {"run": "exit 5", "retry": {"max_attempts": 3, "on": ["exit"], "backoff": "PT0S"}}}))
        result = project.run(code=1)
        self.assert_witness("a", "a", "a")
        self.assertEqual((result.finished["a"]["outcome"], result.finished["a"]["exit"]), ("exit", 5))

    def test_what_is_not_listed_is_not_tried_again(self):
        project = self.project(self.home.doc({"a": {"run": "exit 5", "retry": {"max_attempts": 3, "on": ["timeout"], "backoff": "PT0S"}}}))
        project.run(code=1)
        self.assert_witness("a")

    def test_a_signal_is_named(self):
        project = self.project(self.home.doc({"a": {"run": "kill -SEGV $$"}}))
        end = project.run(code=1).finished["a"]
        self.assertEqual((end["outcome"], end["signal"]), ("signal", 11))

    def test_a_timeout_ends_with_term_first(self):
        self.home.pipe("never")
        project = self.project(self.home.doc({"a": {"run": 'trap \'echo term >> "$W/log"; exit 0\' TERM; read x < "$W/never" & wait', "timeout": lib.TIMEOUT}}))
        result = project.run(code=1)
        self.assertEqual(result.finished["a"]["outcome"], "timeout", str(result))
        self.assert_witness("a", "term")

    def test_a_timeout_kills_what_ignores_term(self):
        self.home.pipe("never")
        project = self.project(self.home.doc({"a": {"run": 'trap \'echo term >> "$W/log"\' TERM; while :; do read x < "$W/never" || true; done', "timeout": lib.TIMEOUT}}))
        result = project.run(code=1)
        self.assertEqual(result.finished["a"]["outcome"], "timeout", str(result))
        self.assertIn("term", self.home.witness())

    def test_a_timeout_reaches_children_in_sessions_of_their_own(self):
        self.home.pipe("never")
        project = self.project(self.home.doc({"a": {"run": 'setsid sh -c \'trap "" TERM; while :; do read x < "$W/never"; done\' & wait; while :; do read x < "$W/never"; done', "timeout": lib.TIMEOUT}}))
        self.assertEqual(project.run(code=1).finished["a"]["outcome"], "timeout")
        self.assertEqual(self.home.wait_gone(), {})

    def test_a_command_that_is_not_there_is_named(self):
        project = self.project(self.home.doc({"a": {"command": ["no-such-program", "x"]}}))
        result = project.run(code=1)
        self.assertEqual(result.finished["a"]["outcome"], "start", str(result))
        self.assertIn("no-such-program", str(result))

    def test_memory_beyond_its_bound_is_named(self):
        lib.need_root()
        project = self.project(self.home.doc({"a": {"command": ["python3", "-c", "x = bytearray(400 << 20); print(len(x))"], "resources": {"memory": "64MiB"}}}))
        result = project.run(code=1)
        self.assertIn(result.finished["a"]["outcome"], ("out-of-memory", "exit", "signal"), str(result))

    def test_more_than_the_machine_has_is_said_and_does_not_hang(self):
        project = self.project(self.home.doc({"a": {"run": ":", "resources": {"cpus": 4000}}}))
        result = project.run(code=None)
        self.assertNotEqual(result.code, 0)
        self.assertIn("4000", str(result))


class Order(lib.Case):
    def test_after_is_order_alone(self):
        project = self.project(self.home.doc({"z": {"run": ":"}, "a": {"run": 'echo 1 > "${outputs.o}"', "after": ["z"], "outputs": {"o": "o"}}}))
        project.run()
        self.assertEqual(self.home.witness(), ["z", "a"])

    def test_a_wide_pipeline_runs_every_step_once(self):
        steps = {"src": {"run": 'echo 1 > "${outputs.o}"', "outputs": {"o": "o"}},
                 "mid": {"run": 'cat "${inputs.i}" > "${outputs.o}"; echo "${matrix.i}" >> "${outputs.o}"', "says": "mid ${matrix.i}", "matrix": {"i": list(range(200))}, "inputs": {"i": "src.o"}, "outputs": {"o": "o"}},
                 "end": {"run": 'cat "${inputs.all}"/* | wc -l > "${outputs.o}"', "inputs": {"all": "mid.o"}, "outputs": {"o": "o"}}}
        project = self.project(self.home.doc(steps))
        project.run(seconds=3 * lib.DEADLINE)
        self.assertEqual(project.get("end.o"), b"400\n")
        self.assert_witness("src", "end", *(f"mid {i}" for i in range(200)))
        self.assertEqual(project.run().run["hits"], 202)

    def test_outputs_are_published_as_plain_objects(self):
        project = self.project(self.home.doc({"a": {"run": 'echo 1 > "${outputs.f}"; mkdir -p "${outputs.d}/x"; echo 2 > "${outputs.d}/x/y"', "outputs": {"f": "f.txt", "d": "d/"}}}, outputs={"file": "a.f", "folder": "a.d"}))
        result = project.run()
        outputs = result.run["outputs"]
        self.assertEqual(sorted(outputs), ["file", "folder"])
        self.assertEqual(outputs["file"]["digest"], lib.hashlib.sha256(b"1\n").hexdigest())
        out = os.path.join(self.home.store, "out/default/e2e")
        found = {os.path.relpath(os.path.join(folder, name), out) for folder, _, names in os.walk(out) for name in names}
        self.assertIn("latest.json", found)
        self.assertTrue(any(name.endswith("x/y") for name in found), found)
        with open(os.path.join(out, "latest.json"), encoding="utf-8") as file:
            self.assertIn("file", json.dumps(json.load(file)))
        again = project.run()
        self.assertEqual(again.run["outputs"]["file"], outputs["file"])


if __name__ == "__main__":
    lib.main()
