"""Inputs and names as they come: unreadable, vanishing, oddly named; and a disk that is full."""
import mmap
import os
import subprocess
import tempfile
import unittest

import lib

ODD = ["with blank", "quo\"te", "apo'strophe", "new\nline", "grüße-日本", "-leading-dash", "--help", "$HOME", "`id`", "semi;colon", "back\\slash", "star*", ".hidden", "tab\t", "a,b=c[d]%", "~"]


class Inputs(lib.Case):
    def copy_step(self):
        return {"a": {"run": 'cat "${inputs.i}" > "${outputs.o}"', "inputs": {"i": "sources.s"}, "outputs": {"o": "o"}}}

    def test_a_missing_source_is_named_before_anything_runs(self):
        project = self.project(self.home.doc(self.copy_step(), sources={"s": "./nothing.csv"}))
        result = project.run(code=2)
        self.assertIn("nothing.csv", str(result))
        self.assert_witness()

    def test_an_unreadable_source_is_named(self):
        project = self.project(self.home.doc(self.copy_step(), sources={"s": "./secret.csv"}))
        project.write("secret.csv", "x", 0o000)
        if os.geteuid() == 0:
            raise unittest.SkipTest("root reads everything; the next test is for an ordinary user")
        result = project.run(code=2)
        self.assertIn("secret.csv", str(result))

    def test_an_unreadable_source_of_an_ordinary_user_is_named(self):
        lib.need_root()
        project = self.project(self.home.doc(self.copy_step(), sources={"s": "./secret.csv"}))
        project.write("secret.csv", "x", 0o000)
        for folder, names, files in os.walk(self.home.root):
            os.chown(folder, 65534, 65534)
        result = self.home.stepctl("run", "--json", "pipeline.yaml", cwd=project.root, user=65534)
        self.assertIn(result.code, (2, 3), str(result))
        self.assertIn("secret.csv", str(result))
        self.assertIn("ermission denied", str(result))
        self.assert_witness()

    def test_an_ordinary_user_runs_too(self):
        lib.need_root()
        project = self.project(self.home.doc(self.copy_step(), sources={"s": "./s"}))
        project.write("s", "x")
        for folder, _, _ in os.walk(self.home.root):
            os.chown(folder, 65534, 65534)
        for _ in range(2):
            result = self.home.stepctl("run", "--json", "pipeline.yaml", cwd=project.root, user=65534, code=0)
        self.assertEqual(result.run["hits"], 1)
        self.assert_witness("a")

    def test_a_folder_where_a_file_is_named_is_said(self):
        project = self.project(self.home.doc(self.copy_step(), sources={"s": "./d"}))
        os.mkdir(project.path("d"))
        result = project.run(code=2)
        self.assertIn("d", str(result))

    def test_a_fifo_as_a_source_is_refused_and_does_not_hang(self):
        project = self.project(self.home.doc(self.copy_step(), sources={"s": "./f"}))
        os.mkfifo(project.path("f"))
        result = project.run(code=None)
        self.assertIn(result.code, (2, 3), str(result))

    def test_a_source_that_is_a_link_is_followed(self):
        project = self.project(self.home.doc(self.copy_step(), sources={"s": "./l"}))
        project.write("real", "x")
        os.symlink("real", project.path("l"))
        project.run()
        self.assertEqual(project.get("a.o"), b"x")

    def test_a_source_may_vanish_after_the_run_began(self):
        gate, bell = self.home.pipe("gate"), self.home.pipe("bell")
        project = self.project(self.home.doc({
            "wait": {"run": 'echo here > "$W/bell"; read go < "$W/gate"'},
            "a": {"run": 'cat "${inputs.i}" > "${outputs.o}"', "inputs": {"i": "sources.s"}, "outputs": {"o": "o"}, "after": ["wait"]}}, sources={"s": "./s"}))
        project.write("s", "x" * 5000)
        live = project.start()
        bell.wait()
        os.unlink(project.path("s"))
        gate.let()
        result = live.wait()
        self.assertEqual(result.code, 0, str(result))
        self.assertEqual(project.get("a.o", result), b"x" * 5000)

    def test_what_a_program_stores_into_a_mapped_source_is_seen(self):
        # The store lies elsewhere: when it is synced, pages of its own disk are written, and stores to them stamp again.
        os.rmdir(self.home.path("cache"))
        elsewhere = tempfile.TemporaryDirectory(prefix="stepcache-e2e.", dir="/dev/shm")
        self.addCleanup(elsewhere.cleanup)
        os.symlink(elsewhere.name, self.home.path("cache"))
        shared = self.home.path("shared.bin")
        cat = {"run": 'cat "${inputs.i}" > "${outputs.o}"', "outputs": {"o": "o"}}
        project = self.project(self.home.doc(
            {"near": {**cat, "inputs": {"i": "sources.near"}}, "far": {**cat, "inputs": {"i": "sources.far"}}},
            sources={"near": "./near.bin", "far": "file://" + shared}))
        mapped = []
        for path in (project.path("near.bin"), shared):
            with open(path, "w+b") as file:
                file.write(b"0")
                file.flush()
                mapped.append(mmap.mmap(file.fileno(), 0))
        for data in (b"1", b"2"):
            for pages in mapped:
                pages[:] = data  # the second time the page is dirty already, and the file's times stay
            for _ in range(2):  # what is too young in the first run is old enough in the second
                result = project.run()
                self.assertEqual(project.get("near.o", result), data)
                self.assertEqual(project.get("far.o", result), data)
        for pages in mapped:
            pages.close()

    def test_a_source_seen_by_all_agents_is_read_by_them(self):
        data = os.path.join(self.home.root, "shared.csv")
        with open(data, "w", encoding="utf-8") as file:
            file.write("x")
        project = self.project(self.home.doc(self.copy_step(), sources={"s": "file://" + data}))
        self.assert_says(project.run(), a="miss never-seen")
        self.assert_says(project.run(), a="hit")
        with open(data, "w", encoding="utf-8") as file:
            file.write("y")
        self.assert_says(project.run(), a="miss changed")
        self.assertEqual(project.get("a.o"), b"y")

    def test_a_source_seen_by_all_agents_that_is_not_there_is_named(self):
        project = self.project(self.home.doc(self.copy_step(), sources={"s": "file://" + self.home.path("gone.csv")}))
        result = project.run(code=None)
        self.assertIn(result.code, (1, 2, 3), str(result))
        self.assertIn("gone.csv", str(result))
        self.assert_witness()

    def test_a_source_folder_with_odd_names_arrives_whole(self):
        project = self.project(self.home.doc({"a": {"command": ["python3", "list.py", "${inputs.d}", "${outputs.o}"], "code": ["list.py"],
                                                    "inputs": {"d": "sources.d"}, "outputs": {"o": "o"}}}, sources={"d": "./d/"}))
        project.write("list.py", "import os, sys\nopen(sys.argv[2], 'w').write(repr(sorted((n, open(os.path.join(os.fsencode(sys.argv[1]), n)).read())"
                                 " for n in os.listdir(os.fsencode(sys.argv[1])))))\n")
        names = [name.encode() for name in ODD] + [b"not-utf8-\xff\xfe"]
        for index, name in enumerate(names):
            project.write(b"d/" + name, str(index))
        project.run()
        self.assertEqual(eval(project.get("a.o")), sorted((name, str(index)) for index, name in enumerate(names)))

    def test_outputs_with_odd_names_arrive_whole(self):
        project = self.project(self.home.doc({
            "a": {"command": ["python3", "make.py", "${outputs.d}"], "code": ["make.py"], "outputs": {"d": "d/"}},
            "b": {"run": 'find "${inputs.d}" -mindepth 1 -printf "%f\\0" > "${outputs.o}"',
                  "inputs": {"d": "a.d"}, "outputs": {"o": "o"}}}))
        names = sorted([name.encode() for name in ODD] + [b"not-utf8-\xff\xfe"])
        project.write("make.py", f"import os, sys\nos.makedirs(sys.argv[1], exist_ok=True)\nfor n in {names!r}:\n    open(os.path.join(os.fsencode(sys.argv[1]), n), 'wb').write(n)\n")
        project.run()
        self.assertEqual(sorted(name for name in project.get("b.o").split(b"\0") if name), names)
        self.assertEqual(project.run().run["hits"], 2)
        dest = self.home.path("got")
        self.home.stepctl("get", "latest", "a.d", dest, cwd=project.root, code=0)
        self.assertEqual(sorted(os.listdir(os.fsencode(dest))), names)

    def test_a_project_folder_with_an_odd_name(self):
        for index, name in enumerate(ODD[:8]):
            with self.subTest(name):
                project = self.project(self.home.doc(self.copy_step(), sources={"s": "./-in put"}), name=f"{index} {name}")
                project.write("-in put", f"{index}")
                project.run()
                self.assertEqual(project.get("a.o").decode(), str(index))

    def test_a_document_with_an_odd_name(self):
        project = self.project(self.home.doc(self.copy_step(), sources={"s": "./s"}))
        project.write("s", "x")
        for name in ("pipe line.yaml", "grüße.yaml", "quo\"te.yaml", "no-suffix"):
            os.rename(project.path("pipeline.yaml"), project.path(name))
            self.home.stepctl("run", "--json", name, cwd=project.root, code=0)
            os.rename(project.path(name), project.path("pipeline.yaml"))

    def test_a_source_with_a_leading_dash_is_no_option(self):
        project = self.project(self.home.doc({"a": {"command": ["cp", "--", "${inputs.i}", "${outputs.o}"], "inputs": {"i": "sources.s"}, "outputs": {"o": "-o"}}}, sources={"s": "./-rf"}))
        project.write("-rf", "x")
        project.run()
        self.assertEqual(project.get("a.o"), b"x")

    def test_an_input_keeps_its_extension(self):
        project = self.project(self.home.doc({"a": {"run": 'echo "${inputs.table}" > "${outputs.o}"', "inputs": {"table": "sources.s"}, "outputs": {"o": "o"}}}, sources={"s": "./data.csv"}))
        project.write("data.csv", "x")
        project.run()
        self.assertEqual(os.path.basename(project.get("a.o").decode().strip()), "table.csv")


class Images(lib.Case):
    """A source on an ext4 image, which another image takes the place of."""

    def setUp(self):
        super().setUp()
        lib.need_root()

    def image(self, content):
        """Files, times and identity of the file system are the same, whatever the content."""
        image, folder, uuid = self.home.path("image-" + content), self.home.path("made-" + content), "1" * 8 + ("-" + "1" * 4) * 3 + "-" + "1" * 12
        os.mkdir(folder)
        data = os.path.join(folder, "data.csv")
        with open(data, "w", encoding="utf-8") as file:
            file.write(content)
        os.utime(data, (1700000000, 1700000000))
        with open(image, "wb") as file:
            file.truncate(4 << 20)
        try:
            subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-U", uuid, "-E", "hash_seed=" + uuid, "-d", folder, image], check=True)
            subprocess.run(["debugfs", "-w", "-R", "set_inode_field /data.csv ctime @1700000000", image], check=True, stderr=subprocess.DEVNULL)
        except FileNotFoundError as e:
            raise unittest.SkipTest("no tools for ext4 here") from e
        return image

    def device(self):
        found = subprocess.run(["losetup", "-f"], capture_output=True, text=True, check=False)
        if found.returncode != 0:
            raise unittest.SkipTest("no loop device here")
        return found.stdout.strip()

    def mount(self, image, device, options):
        for _ in range(1000):  # it stays busy while a namespace that was made meanwhile still has the mount
            if subprocess.run(["losetup", device, image], check=False, stderr=subprocess.DEVNULL).returncode == 0:
                break
        else:
            raise unittest.SkipTest("the loop device was taken by another")
        self.addCleanup(subprocess.run, ["losetup", "-d", device], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["mount", "-o", options, device, self.home.path("mnt")], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", self.home.path("mnt")], check=False, stderr=subprocess.DEVNULL)

    def unmount(self, device):
        subprocess.run(["umount", self.home.path("mnt")], check=True)
        subprocess.run(["losetup", "-d", device], check=True)

    def check(self, options):
        first, second, device = self.image("one"), self.image("two"), self.device()
        os.mkdir(self.home.path("mnt"))
        source = os.path.join(self.home.path("mnt"), "data.csv")
        steps = {"a": {"run": 'cat "${inputs.i}" > "${outputs.o}"', "inputs": {"i": "sources.s"}, "outputs": {"o": "o"}}}
        project = self.project(self.home.doc(steps, sources={"s": "file://" + source}))
        self.mount(first, device, options)
        was = os.stat(source)
        project.run()
        self.assertEqual(project.get("a.o"), b"one")
        self.home.wait_gone()
        self.unmount(device)
        self.mount(second, device, options)
        now = os.stat(source)
        self.assertEqual(*((s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in (was, now)))
        self.assert_says(project.run(), a="miss changed")
        self.assertEqual(project.get("a.o"), b"two")
        self.unmount(device)

    def test_another_image_on_the_same_device_is_read(self):
        self.check("ro")

    def test_another_image_that_is_written_to_is_read(self):
        self.check("rw")


class FullDisk(lib.Case):
    """The cache on a tmpfs of a few MiB."""

    def setUp(self):
        super().setUp()
        lib.need_root()

    def tmpfs(self, folder, size):
        path = self.home.path(folder)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "stepcache-test", path], check=False).returncode != 0:
            raise unittest.SkipTest("no tmpfs can be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", path], check=False)
        # Cleanups run last first: the home is removed after this.
        return path

    def big(self, mib):
        return {"a": {"run": f'head -c {mib}M /dev/zero | tr "\\0" x > "${{outputs.o}}"', "outputs": {"o": "o"}},
                "b": {"run": 'wc -c < "${inputs.i}" > "${outputs.o}"', "inputs": {"i": "a.o"}, "outputs": {"o": "o"}}}

    def test_a_full_disk_is_named_and_nothing_false_is_kept(self):
        path = self.tmpfs("cache", "24m")
        project = self.project(self.home.doc(self.big(64)))
        result = project.run(code=None)
        self.assertIn(result.code, (1, 3), str(result))
        self.assertIn("space", str(result).lower())
        self.assertEqual(self.home.wait_gone(), {})
        self.assertEqual(self.home.rotten(), [])
        subprocess.run(["mount", "-o", "remount,size=400m", path], check=True)
        project.run()
        self.assertEqual(project.get("b.o"), b"67108864\n")

    def test_a_disk_that_fills_up_under_a_source_is_named(self):
        path = self.tmpfs("cache", "8m")
        project = self.project(self.home.doc({"a": {"run": 'wc -c < "${inputs.i}" > "${outputs.o}"', "inputs": {"i": "sources.s"}, "outputs": {"o": "o"}}}, sources={"s": "./big"}))
        project.write("big", os.urandom(16 << 20))
        result = project.run(code=None)
        self.assertEqual(result.code, 3, str(result))
        self.assertIn("space", str(result).lower())
        self.assertEqual(self.home.wait_gone(), {})
        self.assertEqual(self.home.rotten(), [])
        subprocess.run(["mount", "-o", "remount,size=400m", path], check=True)
        project.run()

    def test_a_full_state_folder_is_named(self):
        path = self.tmpfs("state", "256k")
        filler = os.open(os.path.join(path, "filler"), os.O_WRONLY | os.O_CREAT)
        self.addCleanup(os.close, filler)
        try:
            while os.write(filler, b"x" * 4096):
                pass
        except OSError:
            pass
        project = self.project(self.home.doc(self.big(1)))
        result = project.run(code=None)
        self.assertEqual(result.code, 3, str(result))
        self.assertEqual(self.home.wait_gone(), {})
        subprocess.run(["mount", "-o", "remount,size=100m", path], check=True)
        os.unlink(os.path.join(path, "filler"))
        project.run()


class FullStore(lib.ByHand):
    """The same, with a coordinator that is told to wait for the store for a second only."""

    settings = "store_patience: PT1S\n"

    def test_a_full_store_ends_the_run_with_exit_code_3_and_what_is_done_is_kept(self):
        lib.need_root()
        path = FullDisk.tmpfs(self, "cache", "24m")
        self.coordinator(), self.agent()
        project = self.project(self.home.doc({
            "small": {"run": 'head -c 5000 /dev/zero > "${outputs.o}"', "outputs": {"o": "o"}},
            "big": {"run": 'cat "${inputs.i}" > /dev/null; head -c 100M /dev/urandom > "${outputs.o}"', "inputs": {"i": "small.o"}, "outputs": {"o": "o"}}}))
        result = project.run(code=None)
        self.assertIn(result.code, (1, 3), str(result))
        self.assertIn("space", str(result).lower())
        subprocess.run(["mount", "-o", "remount,size=400m", path], check=True)
        result = project.run()
        self.assertEqual(result.says["small"], "hit", str(result))


if __name__ == "__main__":
    lib.main()
