"""The store is damaged behind Stepcache's back: it is seen, said, and healed by running the producer again."""
import os

import lib


X = "x" * 5000  # longer than what travels inline


class Healing(lib.Case):
    check_objects = False

    MAKE = (f'echo {X} > "${{outputs.o}}"; mkdir -p "${{outputs.d}}"; echo {X}1 > "${{outputs.d}}/f"; echo {X}2 > "${{outputs.d}}/g"')
    STEPS = {"a": {"run": MAKE, "outputs": {"o": "o", "d": "d/"}},
             "b": {"run": 'wc -c < "${inputs.i}" > "${outputs.o}"; cat "${inputs.d}"/* | wc -c >> "${outputs.o}"', "inputs": {"i": "a.o", "d": "a.d"}, "outputs": {"o": "o"}}}
    READER = {"c": {"run": 'cat "${inputs.i}" "${inputs.d}"/* | sha256sum > "${outputs.o}"', "inputs": {"i": "a.o", "d": "a.d"}, "outputs": {"o": "o"}}}

    def setUp(self):
        super().setUp()
        self.project_ = self.project(self.home.doc(self.STEPS))
        self.project_.run()
        self.home.witness()
        self.object = self.of(f"{X}\n".encode())

    def of(self, data):
        name = lib.hashlib.sha256(data).hexdigest()
        path = self.home.objects()[name]
        return path

    def damage(self, path, how):
        if how == "flip":
            os.chmod(path, 0o644)
            with open(path, "r+b") as file:
                file.seek(100)
                file.write(b"?")
        elif how == "truncate":
            os.chmod(path, 0o644)
            os.truncate(path, 17)
        elif how == "empty":
            os.chmod(path, 0o644)
            os.truncate(path, 0)
        elif how == "remove":
            os.unlink(path)

    def need_object(self):
        """A step that is new and reads what `a` made, so that its bytes are really needed."""
        self.project_.doc(self.home.doc({**self.STEPS, **self.READER}))

    def right(self):
        return lib.hashlib.sha256(f"{X}\n{X}1\n{X}2\n".encode()).hexdigest()

    def heal(self, path, how):
        self.damage(path, how)
        self.need_object()
        result = self.project_.run()
        ran = self.home.witness()
        self.assertEqual(sorted(ran), ["a", "c"], f"{how}: the producer and the new reader run, nothing else\n{result}")
        self.assertEqual(self.project_.get("c.o").split()[0].decode(), self.right())
        self.assertEqual(self.home.rotten(), [])
        again = self.project_.run()
        self.assertEqual((again.run["hits"], self.home.witness()), (3, []), str(again))

    def test_a_flipped_byte_heals(self):
        self.heal(self.object, "flip")

    def test_a_truncated_object_heals(self):
        self.heal(self.object, "truncate")

    def test_an_emptied_object_heals(self):
        self.heal(self.object, "empty")

    def test_a_missing_object_heals(self):
        self.heal(self.object, "remove")

    def test_a_flipped_byte_within_a_folder_heals(self):
        self.heal(self.of(f"{X}1\n".encode()), "flip")

    def test_a_missing_file_of_a_folder_heals(self):
        lib.remove(self.home.path("cache/stepcache/agent/layout"))  # where the folder lies for the next step still
        self.heal(self.of(f"{X}2\n".encode()), "remove")

    def trees(self):
        return [os.path.join(folder, name) for folder, _, names in os.walk(os.path.join(self.home.store, "tree")) for name in names]

    def test_a_missing_tree_heals(self):
        for path in self.trees():
            os.unlink(path)
        self.need_object()
        self.project_.run()
        self.assertEqual(self.project_.get("c.o").split()[0].decode(), self.right())

    def test_a_damaged_tree_heals(self):
        for path in self.trees():
            os.chmod(path, 0o644)
            with open(path, "r+b") as file:
                file.seek(max(0, os.path.getsize(path) // 2))
                file.write(b"\xff\xff")
        self.need_object()
        self.project_.run()
        self.assertEqual(self.project_.get("c.o").split()[0].decode(), self.right())

    def records(self):
        return [os.path.join(folder, name) for folder, _, names in os.walk(os.path.join(self.home.store, "key")) for name in names]

    def forget_index(self):
        """The index is a copy of what the store says: without it the store is asked."""
        self.assertEqual(self.home.wait_gone(), {})
        lib.remove(self.home.path("state"))
        os.mkdir(self.home.path("state"))

    def test_missing_records_are_made_again(self):
        self.assertTrue(self.records())
        for path in self.records():
            os.unlink(path)
        lib.remove(os.path.join(self.home.store, "seg"))
        self.forget_index()
        result = self.project_.run()
        self.assertEqual(set(result.says.values()), {"miss never-seen"}, str(result))
        self.assertEqual(sorted(self.home.witness()), ["a", "b"])
        self.assertEqual(self.project_.run().run["hits"], 2)

    def test_a_damaged_record_is_a_miss_with_that_reason_and_is_replaced(self):
        for path in self.records():
            os.chmod(path, 0o644)
            with open(path, "r+b") as file:
                file.seek(20)
                file.write(b"\x00\xff\x00\xff")
        lib.remove(os.path.join(self.home.store, "seg"))
        self.forget_index()
        result = self.project_.run()
        self.assertEqual(set(result.says.values()) | {"hit"}, {"miss record-corrupt", "hit"}, str(result))
        self.assertIn("miss record-corrupt", result.says.values())
        self.assertEqual(self.project_.run().run["hits"], 2)

    def record_of(self, step):
        key = self.project_.last.verdicts[step]["key"]
        return os.path.join(self.home.store, "key", key[:2], key)

    def rewrite(self, path, change):
        with open(path, "rb") as file:
            data = bytearray(file.read())
        change(data)
        os.chmod(path, 0o644)
        with open(path, "wb") as file:
            file.write(data)

    def test_a_flipped_bit_in_a_small_result_is_a_miss_with_that_reason_and_heals(self):
        right = self.project_.get("b.o")

        def flip(data):
            at = data.index(right)  # it lies in the record itself, and one digit more or less is as good MessagePack
            data[at] ^= 1
        self.rewrite(self.record_of("b"), flip)
        lib.remove(os.path.join(self.home.store, "seg"))
        self.forget_index()
        result = self.project_.run()
        self.assertEqual(result.says, {"a": "hit", "b": "miss record-corrupt"}, str(result))
        self.assertIn("checksum", result.verdicts["b"]["detail"])
        self.assertEqual(self.home.witness(), ["b"])
        self.assertEqual(self.project_.get("b.o"), right)
        self.assertEqual(self.project_.run().run["hits"], 2)

    def in_its_place(self, path, what):
        os.unlink(path)
        if what == "folder":
            os.mkdir(path)
        elif what == "full folder":
            os.mkdir(path)
            with open(os.path.join(path, "somebodys"), "w") as file:
                file.write("work")
        elif what == "fifo":
            os.mkfifo(path)
        elif what == "link":
            os.symlink("/etc/hostname", path)

    def take_away(self, path):
        if os.path.isdir(path) and not os.path.islink(path):
            lib.remove(path)
        else:
            os.unlink(path)

    def test_an_empty_folder_in_a_records_place_is_a_miss_with_that_reason_and_heals(self):
        path = self.record_of("b")
        self.in_its_place(path, "folder")
        lib.remove(os.path.join(self.home.store, "seg"))
        self.forget_index()
        result = self.project_.run()
        self.assertEqual(result.says, {"a": "hit", "b": "miss record-corrupt"}, str(result))
        self.assertIn(path, result.verdicts["b"]["detail"])
        self.assertIn("is a folder", result.verdicts["b"]["detail"])
        self.assertEqual(self.home.witness(), ["b"])
        lib.remove(os.path.join(self.home.store, "seg"))
        self.forget_index()
        self.assertEqual(self.project_.run().run["hits"], 2)

    def test_what_cannot_give_way_in_a_records_place_is_said_with_what_to_remove(self):
        path = self.record_of("b")
        for what, kind in (("full folder", "a folder"), ("fifo", "a FIFO"), ("link", "a link")):
            with self.subTest(what=what):
                self.in_its_place(path, what)
                lib.remove(os.path.join(self.home.store, "seg"))
                self.forget_index()
                result = self.project_.run(code=None)
                self.assertEqual(result.verdicts["b"]["reason"], "record-corrupt", str(result))
                self.assertEqual(result.code, 3, str(result))
                self.assertIn(f"{path} is {kind} where an object belongs; remove it", result.err + result.run["message"], str(result))
                self.take_away(path)
                self.assertEqual(self.project_.run().run["state"], "done")
                self.home.witness()

    def run_without_code(self, what):
        """A run whose code is taken from the store while the step before it waits; `what` names the object's path."""
        gate, bell = self.home.pipe("gate"), self.home.pipe("bell")
        self.project_.write("tool.sh", f"echo {X}\n")
        self.project_.doc(self.home.doc({
            "wait": {"run": 'echo here > "$W/bell"; read go < "$W/gate"; echo 1 > "${outputs.o}"', "outputs": {"o": "o"}},
            "coded": {"run": 'cat "${inputs.i}" > "${outputs.o}"; sh tool.sh >> "${outputs.o}"', "code": ["tool.sh"], "inputs": {"i": "wait.o"}, "outputs": {"o": "o"}}}))
        live = self.project_.start()
        bell.wait("the step at its gate")
        os.unlink(what())
        gate.let()
        result = live.wait()
        self.assertEqual(result.finished["coded"]["outcome"], "input-lost", str(result))
        self.assertEqual(result.finished["coded"]["message"], "its code is gone from the store; start the run again, which stores it anew")
        again = self.project_.run()  # whatever the client's memo, the coordinator and the agent remember of it
        self.assertEqual(again.says, {"wait": "hit", "coded": "miss never-seen"}, str(again))
        self.assertIn(X.encode(), self.project_.get("coded.o"))
        self.assertEqual(self.home.rotten(), [])

    def test_a_file_of_code_that_is_gone_is_said_and_the_next_run_uploads_it(self):
        self.run_without_code(lambda: self.of(f"echo {X}\n".encode()))

    def test_a_tree_of_code_that_is_gone_is_said_and_the_next_run_uploads_it(self):
        before = set(self.trees())
        self.run_without_code(lambda: (set(self.trees()) - before).pop())

    def test_a_store_that_is_removed_under_a_run_is_said_and_is_no_miss(self):
        gate, bell = self.home.pipe("gate"), self.home.pipe("bell")
        self.project_.doc(self.home.doc({
            "wait": {"run": 'echo here > "$W/bell"; read go < "$W/gate"; echo 1 > "${outputs.o}"', "outputs": {"o": "o"}},
            "next": {"run": 'cat "${inputs.i}" > "${outputs.o}"', "inputs": {"i": "wait.o"}, "outputs": {"o": "o"}}}))
        live = self.project_.start()
        bell.wait("the step at its gate")
        lib.remove(os.path.dirname(os.path.dirname(self.home.store)))
        gate.let()
        result = live.wait()
        self.assertEqual(result.code, 3, str(result))
        self.assertNotIn("record-corrupt", result.out, str(result))
        self.assertIn("was removed while it was in use", result.out, str(result))
        self.assertEqual(self.home.witness(), ["wait"])
        gate.let()
        self.assertEqual(self.project_.run().run["state"], "done")  # in a new store

    def test_an_empty_folder_in_an_objects_place_heals(self):
        self.in_its_place(self.object, "folder")
        self.heal(self.object, None)

    def test_what_cannot_give_way_in_an_objects_place_is_said_with_what_to_remove(self):
        for what, kind in (("full folder", "a folder"), ("fifo", "a FIFO"), ("link", "a link")):
            with self.subTest(what=what):
                self.in_its_place(self.object, what)
                self.need_object()
                result = self.project_.run(code=None)
                self.assertEqual(result.says["a"], "miss objects-lost", str(result))
                self.assertNotEqual(result.code, 0, str(result))
                self.assertIn(f"{self.object} is {kind} where an object belongs; remove it", result.out + result.err, str(result))
                self.take_away(self.object)
                self.assertEqual(self.project_.run().run["state"], "done")
                self.assertEqual(self.home.rotten(), [])

    def test_a_record_without_its_checksum_is_a_miss(self):
        self.rewrite(self.record_of("b"), lambda data: data.__delitem__(slice(-32, None)))
        lib.remove(os.path.join(self.home.store, "seg"))
        self.forget_index()
        self.assertEqual(self.project_.run().says["b"], "miss record-corrupt")

    def test_a_lost_index_is_no_loss(self):
        self.forget_index()
        result = self.project_.run()
        self.assertEqual((result.run["hits"], self.home.witness()), (2, []), str(result))

    def test_segments_alone_serve_and_records_alone_serve(self):
        lib.remove(os.path.join(self.home.store, "seg"))
        self.forget_index()
        self.assertEqual(self.project_.run().run["hits"], 2)

    def test_get_refuses_a_rotten_object_and_the_next_run_heals(self):
        self.damage(self.object, "flip")
        dest = self.home.path("dest")
        refused = self.home.stepctl("get", "latest", "a.o", dest, cwd=self.project_.root)
        self.assertNotEqual(refused.code, 0, str(refused))
        self.assertFalse(os.path.exists(dest), "nothing half-done is left")
        self.need_object()
        self.project_.run()
        self.assertEqual(self.project_.get("a.o"), f"{X}\n".encode())

    def test_verify_finds_what_is_rotten_and_what_is_gone(self):
        clean = self.home.stepctl("cache", "verify", cwd=self.project_.root, code=0)
        self.damage(self.object, "flip")
        found = self.home.stepctl("cache", "verify", cwd=self.project_.root)
        self.assertNotEqual(found.code, 0, str(found))
        self.assertIn(os.path.basename(self.object)[:12], found.out + found.err, str(clean))

    def test_removed_results_miss(self):
        result = self.project_.run()
        key = result.verdicts["a"]["key"]
        refused = self.home.stepctl("cache", "rm", key, cwd=self.project_.root)
        self.assertNotEqual(refused.code, 0, "what deletes asks, or needs --yes")
        self.home.stepctl("cache", "rm", "--yes", key, cwd=self.project_.root, code=0)
        self.assertEqual(self.project_.run().says["a"], "miss voided")
        self.assertIn("a", self.home.witness())


if __name__ == "__main__":
    lib.main()
