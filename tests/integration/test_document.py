"""Mistakes in the document: each named with file, line and column, several at once, and nothing is run."""
import lib


class Document(lib.Case):
    def refuse(self, text, *expected, args=()):
        """Each expected is (line, column or None, words that the message or its hint must hold)."""
        project = self.project(name=f"p{len(self.home.lives)}-{abs(hash(text))}")
        project.write("pipeline.yaml", text)
        result = project.run(*args, code=2)
        plain = self.home.stepctl("run", "pipeline.yaml", *args, cwd=project.root, code=2)
        errors = result.of("error")
        self.assertTrue(errors, str(result))
        for line, column, *words in expected:
            found = [error for error in errors if error.get("line") == line and (column is None or error.get("column") == column)
                     and all(word.lower() in (error["message"] + " " + error.get("hint", "")).lower() for word in words)]
            self.assertTrue(found, f"no error at {line}:{column} that says {words}:\n" + "\n".join(f"{e.get('line')}:{e.get('column')}: {e['message']} | {e.get('hint')}" for e in errors))
            if line:
                self.assertIn(f"pipeline.yaml:{line}:", plain.err + plain.out)
        self.assertEqual(self.home.witness(), [])
        return errors

    def test_an_unknown_key_is_named_with_the_nearest(self):
        self.refuse("stepcache: 1\nname: x\nsteps:\n  a:\n    rum: ls\n", (5, 5, "rum", "run"))

    def test_several_mistakes_are_told_at_once_in_their_order(self):
        errors = self.refuse("stepcache: 1\nname: X_bad\nstepps: {}\nsteps:\n  a: {run: ls, timeout: 5 minutes}\n  b: {run: ls, inputs: {x: c.o}}\n",
                             (2, None, "X_bad"), (3, None, "stepps", "steps"), (5, None, "timeout"), (6, None, "c"))
        self.assertEqual([error["line"] for error in errors], sorted(error["line"] for error in errors))

    def test_a_cycle_is_shown_as_the_path_that_closes_it(self):
        self.refuse("stepcache: 1\nname: x\nsteps:\n  a: {run: ls, inputs: {i: c.o}, outputs: {o: o}}\n  b: {run: ls, inputs: {i: a.o}, outputs: {o: o}}\n"
                    "  c: {run: ls, inputs: {i: b.o}, outputs: {o: o}}\n", (5, None, "a -> c -> b -> a"))

    def test_broken_yaml_is_placed(self):
        project = self.project()
        for text in ("stepcache: 1\nname: x\nsteps:\n  a: {run: [ls\n", "a: b: c\n", "\tx: 1\n", "{", "stepcache: 1\nsteps: *nowhere\n"):
            project.write("pipeline.yaml", text)
            result = project.run(code=2)
            self.assertTrue(result.of("error")[0].get("line"), str(result))

    def test_an_empty_document_and_one_that_is_no_map_are_said(self):
        project = self.project()
        for text in ("", "# nothing\n", "[1, 2]\n", "just text\n", "\x00\x01\x02", "\ufeff"):
            project.write("pipeline.yaml", text)
            project.run(code=2)

    def test_duplicate_keys_are_refused(self):
        self.refuse("stepcache: 1\nname: x\nsteps:\n  a: {run: ls}\n  a: {run: ls}\n", (5, 3, "a"))

    def test_the_version_must_be_known(self):
        self.refuse("stepcache: 2\nname: x\nsteps: {a: {run: ls}}\n", (1, None, "2"))
        self.refuse("name: x\nsteps: {a: {run: ls}}\n", (1, None, "stepcache"))

    def test_placeholders_are_checked(self):
        errors = self.refuse("stepcache: 1\nname: x\nparams: {depth: 5}\nsteps:\n  a:\n    run: echo ${params.dept} ${inputs.i} ${outputs.o} ${matrix.m} ${nonsense.x} ${shell}\n",
                             (6, None, "dept", "depth"), (6, None, "inputs.i"), (6, None, "outputs.o"), (6, None, "matrix.m"), (6, None, "nonsense"))
        self.assertFalse([error for error in errors if "shell" in error["message"]])

    def test_references_to_what_is_not_there_suggest_the_nearest(self):
        self.refuse("stepcache: 1\nname: x\nsources: {raw: ./r}\nsteps:\n  prep: {run: ls, outputs: {train: t}}\n  b: {run: ls, inputs: {x: prep.trian, y: sources.rw, z: perp.train}, after: [prap]}\n",
                    (6, None, "trian", "train"), (6, None, "rw", "raw"), (6, None, "perp", "prep"), (6, None, "prap", "prep"))

    def test_what_is_not_built_yet_is_refused_by_name(self):
        head = "stepcache: 1\nname: x\n"
        for text, word in (("environment: {lock: r.lock}\nsteps: {a: {run: ls}}\n", "lock"),
                           ("environment: {image: 'n@sha256:" + "0" * 64 + "'}\nsteps: {a: {run: ls}}\n", "image"),
                           ("secrets: {S: {version: '1'}}\nsteps: {a: {run: ls}}\n", "secrets"),
                           ("steps: {a: {run: ls, when: true}}\n", "when"),
                           ("steps: {a: {run: ls, foreach: {x: [1]}}}\n", "foreach"),
                           ("steps: {a: {uses: other.yaml}}\n", "uses"),
                           ("steps: {a: {run: ls}}\non_exit: {b: {run: ls}}\n", "on_exit"),
                           ("steps: {a: {run: ls, network: none}}\n", "network")):
            with self.subTest(word):
                errors = self.refuse(head + text)
                self.assertTrue(any(word in error["message"] for error in errors), errors)

    def test_ill_typed_values_are_said(self):
        head = "stepcache: 1\nname: x\nsteps:\n  a:\n    run: ls\n"
        for text, *words in (("    retry: {max_attempts: many}\n", "many"), ("    retry: {max_attempts: 0}\n", "max_attempts"), ("    retry: {on: [sometimes]}\n", "sometimes"),
                             ("    cache: {expire_after: soon}\n", "soon"), ("    cache: {enabled: perhaps}\n", "perhaps"), ("    resources: {memory: lots}\n", "lots"),
                             ("    resources: {cpus: -1}\n", "-1"), ("    timeout: -PT1S\n", "-PT1S"), ("    matrix: {x: []}\n", "x"), ("    outputs: {o: ../up}\n", "../up"),
                             ("    outputs: {o: /abs}\n", "/abs"), ("    outputs: {o: a, p: a}\n", "output p"), ("    code: [/etc/passwd]\n", "/etc/passwd"), ("    code: [../x]\n", "../x"),
                             ("    env: {'BAD-NAME=': x}\n", "BAD-NAME"), ("    sandbox: lax\n", "lax")):
            with self.subTest(text.strip()):
                errors = self.refuse(head + text)
                self.assertTrue(any(all(word in error["message"] + error.get("hint", "") for word in words) and error.get("line") == 6 for error in errors), errors)

    def test_run_and_command_together_or_none_are_refused(self):
        self.refuse("stepcache: 1\nname: x\nsteps:\n  a: {run: ls, command: [ls]}\n", (4, None, "command"))
        self.refuse("stepcache: 1\nname: x\nsteps:\n  a: {outputs: {o: o}}\n", (4, None, "run"))

    def test_parameters_are_checked_by_type(self):
        text = "stepcache: 1\nname: x\nparams: {depth: 5, rate: 0.5, on: false, text: t}\nsteps: {a: {run: 'echo ${params.depth} ${params.rate} ${params.on} ${params.text}'}}\n"
        project = self.project()
        project.write("pipeline.yaml", text)
        for bad in ("depth=deep", "rate=fast", "on=perhaps", "dept=5", "depth"):
            result = project.run("-p", bad, code=2)
            self.assertIn(bad.split("=")[0], str(result))
        for good in ("depth=7", "rate=1", "on=true", "text=a=b", "text="):
            project.run("-p", good)

    def test_limits_are_named(self):
        self.refuse("stepcache: 1\nname: x\nsteps:\n  a: {run: ls, matrix: {x: [" + ",".join(map(str, range(101))) + "], y: [" + ",".join(map(str, range(101))) + "]}}\n", (4, None, "10000"))
        self.refuse("stepcache: 1\nname: " + "x" * 64 + "\nsteps: {a: {run: ls}}\n", (2, None, "63"))

    def test_a_document_that_is_not_there_or_a_folder_is_said(self):
        project = self.project()
        for name in ("nothing.yaml", "."):
            result = self.home.stepctl("run", "--json", name, cwd=project.root, code=2)
            self.assertIn(name, str(result))

    def test_code_that_matches_nothing_is_said(self):
        project = self.project(self.home.doc({"a": {"run": "ls", "code": ["nothing.py"]}}))
        result = project.run(code=2)
        self.assertIn("nothing.py", str(result))

    def test_yaml_of_every_style_is_one_document(self):
        project = self.project()
        project.write("pipeline.yaml", "%YAML 1.2\n---\nstepcache: 1\n'name': \"x\"\nsteps:\n  a: &a\n    run: >-\n      echo\n      one > ${outputs.o}\n    outputs: {o: 'o'}\n  b:\n    command:\n    - sh\n    - -c\n    - |\n      echo two > \"$1\"\n    - sh\n    - ${outputs.o}\n    outputs:\n      o: o\n")
        project.run()
        self.assertEqual((project.get("a.o"), project.get("b.o")), (b"one\n", b"two\n"))

    def test_scalars_are_taken_as_written(self):
        project = self.project()
        project.write("pipeline.yaml", "stepcache: 1\nname: x\nsteps:\n  a: {run: 'echo $A $B $C $D > ${outputs.o}', env: {A: 1, B: 1.50, C: yes, D: 0x10}, key: {salt: 2}, outputs: {o: o}}\n")
        project.run()
        self.assertEqual(project.get("a.o"), b"1 1.50 yes 0x10\n")


if __name__ == "__main__":
    lib.main()
