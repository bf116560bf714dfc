"""What a step cannot do: change an input or a cached byte, outlive itself, or hand over what is no file."""
import os
import socket
import unittest

import lib

TRY_TO_WRITE = r'''
tried() { echo "$1" >> "$W/tried"; }
for path in "$@"; do
  ( echo evil >> "$path" ) 2>/dev/null && tried "append $path"
  ( : > "$path" ) 2>/dev/null && tried "truncate $path"
  chmod 0777 "$path" 2>/dev/null && tried "chmod $path"
  touch "$path" 2>/dev/null && tried "touch $path"
  mv "$path" "$path.moved" 2>/dev/null && tried "move $path"
  rm -f "$path" 2>/dev/null && tried "remove $path"
  ln "$path" out/link 2>/dev/null && { ( echo evil >> out/link ) 2>/dev/null && tried "hardlink $path"; rm -f out/link; }
  mount -o remount,rw,bind "$path" 2>/dev/null && tried "remount $path"
  umount "$path" 2>/dev/null && tried "umount $path"
  umount -l "$path" 2>/dev/null && tried "umount -l $path"
done
'''


class Containment(lib.Case):
    def setUp(self):
        super().setUp()
        os.chmod(self.home.path("witness"), 0o777)

    def tried(self):
        try:
            with open(self.home.path("witness/tried"), encoding="utf-8") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []

    def test_a_step_cannot_write_into_another_store_of_its_user(self):
        lib.need_root()
        other = self.home.path("other")
        project = self.project(self.home.doc({"a": {"run": 'echo > "${outputs.o}"', "outputs": {"o": "o"}}}))
        project.run("--store", other)
        self.assertTrue(os.path.isdir(f"{other}/v1/main"))
        project.doc(self.home.doc({"a": {"run": f'ls {other}/v1 > "${{outputs.o}}"; touch {other}/v1/evil {other}/tmp/evil || true', "outputs": {"o": "o"}}}))
        project.run()
        self.assertEqual(project.get("a.o"), b"")
        self.assertFalse(os.path.exists(f"{other}/v1/evil"))
        self.assertFalse(os.path.exists(f"{other}/tmp/evil"))

    def test_a_step_cannot_write_into_its_inputs(self):
        lib.need_root()
        project = self.project(self.home.doc({
            "make": {"run": 'echo good > "${outputs.file}"; mkdir -p "${outputs.tree}/sub"; echo good > "${outputs.tree}/sub/f"',
                     "outputs": {"file": "file.txt", "tree": "tree/"}},
            "attack": {"run": 'set -- "${inputs.file}" "${inputs.tree}/sub/f" "${inputs.tree}/sub" "${inputs.src}"; set +e\n' + TRY_TO_WRITE
                              + 'set -e; cat "${inputs.file}" "${inputs.tree}/sub/f" "${inputs.src}" > "${outputs.o}"',
                       "inputs": {"file": "make.file", "tree": "make.tree", "src": "sources.src"}, "outputs": {"o": "o"}},
            "check": {"run": 'cat "${inputs.file}" "${inputs.tree}/sub/f" "${inputs.src}" > "${outputs.o}"',
                      "inputs": {"file": "make.file", "tree": "make.tree", "src": "sources.src"}, "after": ["attack"], "outputs": {"o": "o"}},
        }, sources={"src": "./src.txt"}))
        project.write("src.txt", "good\n")
        result = project.run()
        self.assertEqual(self.tried(), [], str(result))
        self.assertEqual(project.get("attack.o"), b"good\ngood\ngood\n")
        self.assertEqual(project.get("check.o"), b"good\ngood\ngood\n")
        with open(project.path("src.txt"), "rb") as file:
            self.assertEqual(file.read(), b"good\n")

    def test_a_step_as_root_cannot_alter_the_cache_by_any_path(self):
        lib.need_root()
        project = self.project(self.home.doc({
            "make": {"run": 'echo good > "${outputs.o}"', "outputs": {"o": "o"}},
            "attack": {"run": 'set +e\n' + TRY_TO_WRITE.replace('"$@"', '$(find "$CACHE" "$STATE" "$RUNTIME" -type f -o -type s 2>/dev/null)') + r'''
ls -A "$CACHE" "$STATE" "$RUNTIME" 2>/dev/null | grep -v -e : -e '^$' | while read name; do echo "sees $name" >> "$W/sees"; done
# By /proc of any process that has it open or mounted.
for root in /proc/[0-9]*/root /proc/[0-9]*/cwd; do
  object=$(find "$root$CACHE/store" -type f -path '*/cas/*' 2>/dev/null | head -n 1)
  [ -n "$object" ] && ( echo evil >> "$object" ) 2>/dev/null && tried "$object"
done
for fd in /proc/[0-9]*/fd/*; do
  case "$(readlink "$fd" 2>/dev/null)" in "$CACHE/store/"*"/cas/"*) ( echo evil >> "$fd" ) 2>/dev/null && tried "$fd";; esac
done
# By a device node of the disk, by another mount namespace, by a new mount.
mknod out/disk b 7 0 2>/dev/null && tried mknod; rm -f out/disk
nsenter -t 1 -m true 2>/dev/null && tried nsenter
unshare -m sh -c 'umount -l "$1" 2>/dev/null && test -d "$1/store"' sh "$CACHE" 2>/dev/null && tried "unshare and umount"
unshare -Um true 2>/dev/null && unshare -Urm sh -c 'umount -l "$1" && test -d "$1/store"' sh "$CACHE" 2>/dev/null && tried "user namespace and umount"
mkdir -p m && mount --bind / m 2>/dev/null && tried "bind /"
chroot / true 2>/dev/null && test -d "$CACHE/store/v1" && tried chroot
# The value that it has: to be able to is bad enough, and nothing of the machine changes if it is.
pattern=$(cat /proc/sys/kernel/core_pattern) && ( printf '%s\n' "$pattern" > /proc/sys/kernel/core_pattern ) 2>/dev/null && tried core_pattern
exit 0
''', "env": {"CACHE": self.home.path("cache/stepcache"), "STATE": self.home.path("state/stepcache"), "RUNTIME": self.home.path("run/stepcache")},
                       "after": ["make"]},
        }))
        result = project.run()
        self.assertEqual(self.tried(), [], str(result))
        self.assertFalse(os.path.exists(self.home.path("witness/sees")), "the store, state and sockets are hidden from steps")
        self.assertEqual(self.home.rotten(), [])
        self.assertEqual(project.get("make.o"), b"good\n")
        self.assertEqual(project.run().verdicts["make"]["verdict"], "hit")

    def test_an_output_changed_after_the_step_took_it_does_not_reach_the_cache(self):
        # A descriptor kept open by a child would write later: the child is gone before outputs are taken.
        project = self.project(self.home.doc({
            "a": {"run": 'echo good > "${outputs.o}"\nsetsid sh -c \'trap "" HUP TERM; while :; do echo evil; done >> "$1"\' sh "${outputs.o}" > /dev/null 2>&1 &\n'
                         'until [ "$(wc -l < "${outputs.o}")" -gt 3 ]; do :; done', "outputs": {"o": "o"}},
            "b": {"run": 'cat "${inputs.i}" > "${outputs.o}"', "inputs": {"i": "a.o"}, "outputs": {"o": "o"}}}))
        project.run()
        self.assertEqual(project.get("a.o"), project.get("b.o"))
        self.assertEqual(self.home.rotten(), [])

    GIVE = '''python3 - <<'P'
import array, os, socket
for path in ("out/file", "out/tree/file"):
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    os.write(fd, b"good" * 5000)
    s = socket.socket(socket.AF_UNIX)
    s.connect(os.environ["W"] + "/taker")
    s.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
P'''

    def test_an_output_whose_descriptor_was_given_away_does_not_change_in_the_cache(self):
        taker = socket.socket(socket.AF_UNIX)
        self.addCleanup(taker.close)
        taker.bind(self.home.path("witness/taker"))
        os.chmod(self.home.path("witness/taker"), 0o777)
        taker.listen(2)
        project = self.project(self.home.doc({
            "a": {"run": self.GIVE, "outputs": {"file": "file", "tree": "tree/"}},
            "b": {"run": 'cat "${inputs.file}" "${inputs.tree}/file" > "${outputs.o}"', "inputs": {"file": "a.file", "tree": "a.tree"}, "outputs": {"o": "o"}}}))
        project.run()
        for _ in range(2):
            peer, _ = taker.accept()
            _, fds, _, _ = socket.recv_fds(peer, 1, 1)
            self.assertEqual(os.pwrite(fds[0], b"EVIL", 0), 4)
            os.close(fds[0])
            peer.close()
        self.assertEqual(project.get("a.file"), b"good" * 5000)
        self.assertEqual(self.home.rotten(), [])
        project.run("--force", "b")
        self.assertEqual(project.get("b.o"), b"good" * 10000)


class Children(lib.Case):
    def leave(self, how):
        bell = self.home.pipe("bell")
        project = self.project(self.home.doc({"a": {"run": how + '\nread pid < "$W/bell2"; echo 1 > "${outputs.o}"', "outputs": {"o": "o"}}}))
        self.home.pipe("bell2")
        result = project.run()
        bell.wait("the child that stays")
        self.assertEqual(result.run["state"], "done")
        self.assertEqual(self.home.wait_gone(), {}, "the child outlived its step")

    CHILD = 'trap "" HUP TERM INT; echo $$ > "$W/bell"; echo $$ > "$W/bell2"; while :; do read x < "$W/never"; done'

    def setUp(self):
        super().setUp()
        self.home.pipe("never")

    def test_a_child_in_the_background_ends_with_its_step(self):
        self.leave(f"sh -c '{self.CHILD}' &")

    def test_a_child_in_a_session_of_its_own_ends_with_its_step(self):
        self.leave(f"setsid sh -c '{self.CHILD}' > /dev/null 2>&1 < /dev/null &")

    def test_a_daemon_forked_twice_ends_with_its_step(self):
        self.leave(f"( setsid sh -c '( exec > /dev/null 2>&1 < /dev/null; cd /; {self.CHILD} ) & exit 0' ) &\nwait")

    def test_a_daemon_of_python_ends_with_its_step(self):
        bell, never = self.home.pipe("bell"), self.home.path("witness/never")
        project = self.project(self.home.doc({"a": {"command": ["python3", "daemon.py", "${outputs.o}"], "code": ["daemon.py"], "outputs": {"o": "o"}}}))
        project.write("daemon.py", f'''
import os, signal, sys
ready, done = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for fd in (0, 1, 2):
            os.close(fd)
        os.chdir("/")
        open("{bell.path}", "w").write("up\\n")
        os.write(done, b"x")
        os.close(done)
        while True:
            open("{never}").read()
    os._exit(0)
os.close(done)
os.read(ready, 1)
open(sys.argv[1], "w").write("1")
''')
        project.run()
        bell.wait("the daemon")
        self.assertEqual(self.home.wait_gone(), {})

    def test_a_child_that_holds_the_log_open_does_not_hold_up_the_run(self):
        self.leave(f"sh -c '{self.CHILD}' &")

    def test_a_failed_step_leaves_no_child(self):
        project = self.project(self.home.doc({"a": {"run": f"setsid sh -c '{self.CHILD}' > /dev/null 2>&1 < /dev/null &\nread pid < \"$W/bell2\"; exit 3"}}))
        self.home.pipe("bell")
        self.home.pipe("bell2")
        result = project.run(code=1)
        self.assertEqual((result.finished["a"]["outcome"], result.finished["a"]["exit"]), ("exit", 3), str(result))
        self.assertEqual(self.home.wait_gone(), {})


class Outputs(lib.Case):
    """What is handed over must be files, folders, and links that stay inside."""

    def refuse(self, script, *words, path="o/"):
        project = self.project(self.home.doc({"a": {"run": script, "outputs": {"o": path}}}))
        result = project.run(code=1)
        self.assertEqual(result.finished["a"]["outcome"], "output-not-allowed", str(result))
        for word in words:
            self.assertIn(word, str(result))

    def test_a_fifo_is_refused_by_name(self):
        self.refuse('mkfifo "${outputs.o}/pipe"', "pipe")

    def test_a_fifo_as_the_output_itself_is_refused(self):
        self.refuse('mkfifo "${outputs.o}"', "o", path="o")

    def test_a_socket_is_refused_by_name(self):
        self.refuse('python3 -c "import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])" "${outputs.o}/sock"', "sock")

    def test_what_lies_too_deep_is_refused_by_its_path_and_the_limit(self):
        deep = "import os\nos.chdir('out/o')\nfor _ in range(60):\n    os.mkdir('d' * 200)\n    os.chdir('d' * 200)"
        self.refuse(f'python3 -c "{deep}"', "/o/ddddd", "lies too deep", "4096 bytes")
        self.assert_witness("a")  # it would be as deep the next time

    def test_a_link_to_a_device_is_refused(self):
        self.refuse('ln -s /dev/null "${outputs.o}/null"', "null")

    def test_a_link_that_leaves_the_tree_is_refused(self):
        self.refuse('mkdir "${outputs.o}/d"; ln -s ../../in "${outputs.o}/d/up"', "up")

    def test_an_absolute_link_is_refused(self):
        self.refuse('ln -s /etc/passwd "${outputs.o}/abs"', "abs")

    def test_a_link_as_a_file_output_that_leaves_is_refused(self):
        self.refuse('ln -s /etc/passwd "${outputs.o}"', "o", path="o")

    def test_links_that_stay_are_kept_dangling_ones_too(self):
        project = self.project(self.home.doc({
            "a": {"run": 'echo 1 > "${outputs.o}/f"; mkdir "${outputs.o}/d"; ln -s ../f "${outputs.o}/d/l"; ln -s nothing "${outputs.o}/dangling"', "outputs": {"o": "o/"}},
            "b": {"run": 'readlink "${inputs.i}/d/l" "${inputs.i}/dangling" > "${outputs.o}"; cat "${inputs.i}/d/l" >> "${outputs.o}"', "inputs": {"i": "a.o"}, "outputs": {"o": "o"}}}))
        project.run()
        self.assertEqual(project.get("b.o"), b"../f\nnothing\n1\n")

    def test_a_missing_output_is_named(self):
        project = self.project(self.home.doc({"a": {"run": ":", "outputs": {"model": "model.bin"}}}))
        result = project.run(code=1)
        self.assertEqual(result.finished["a"]["outcome"], "output-missing", str(result))
        self.assertIn("model.bin", str(result))

    def test_a_folder_where_a_file_is_declared_is_refused(self):
        project = self.project(self.home.doc({"a": {"run": 'mkdir "${outputs.o}"', "outputs": {"o": "o"}}}))
        result = project.run(code=1)
        self.assertIn(result.finished["a"]["outcome"], ("output-not-allowed", "output-missing"), str(result))

    def test_empty_files_and_folders_are_results(self):
        project = self.project(self.home.doc({
            "a": {"run": ': > "${outputs.f}"; mkdir -p "${outputs.d}/empty"', "outputs": {"f": "f", "d": "d/"}},
            "b": {"run": 'test -f "${inputs.f}"; test -d "${inputs.d}/empty"; ls "${inputs.d}" > "${outputs.o}"', "inputs": {"f": "a.f", "d": "a.d"}, "outputs": {"o": "o"}}}))
        project.run()
        self.assertEqual(project.get("b.o"), b"empty\n")
        self.assertEqual(project.run().run["hits"], 2)

    def test_the_executable_bit_survives(self):
        project = self.project(self.home.doc({
            "a": {"run": 'printf "#!/bin/sh\\necho ran\\n" > "${outputs.tool}"; chmod +x "${outputs.tool}"', "outputs": {"tool": "tool.sh"}},
            "b": {"run": '"./${inputs.tool}" > "${outputs.o}" || "${inputs.tool}" > "${outputs.o}"', "inputs": {"tool": "a.tool"}, "outputs": {"o": "o"}}}))
        project.run()
        self.assertEqual(project.get("b.o"), b"ran\n")

    def test_ten_thousand_small_files(self):
        project = self.project(self.home.doc({
            "a": {"run": 'cd "${outputs.o}"; i=0; while [ $i -lt 10000 ]; do echo $i > "f$i"; i=$((i+1)); done', "outputs": {"o": "o/"}},
            "b": {"run": 'ls "${inputs.i}" | wc -l > "${outputs.o}"; cat "${inputs.i}"/f9999 >> "${outputs.o}"', "inputs": {"i": "a.o"}, "outputs": {"o": "o"}}}))
        project.run(seconds=3 * lib.DEADLINE)
        self.assertEqual(project.get("b.o"), b"10000\n9999\n")
        self.assertEqual(project.run().run["hits"], 2)
        dest = self.home.path("got")
        self.home.stepctl("get", "latest", "a.o", dest, cwd=project.root, code=0)
        self.assertEqual(len(os.listdir(dest)), 10000)

    def test_a_sparse_file_of_4_gib(self):
        free = os.statvfs(self.home.root)
        if free.f_bavail * free.f_frsize < 10 << 30:
            raise unittest.SkipTest("needs 10 GiB of disk")
        project = self.project(self.home.doc({
            "a": {"run": 'truncate -s 4G "${outputs.o}"; printf end >> "${outputs.o}"', "outputs": {"o": "big.bin"}},
            "b": {"run": 'wc -c < "${inputs.i}" > "${outputs.o}"; tail -c 3 "${inputs.i}" >> "${outputs.o}"', "inputs": {"i": "a.o"}, "outputs": {"o": "o"}}}))
        project.run(seconds=5 * lib.DEADLINE)
        self.assertEqual(project.get("b.o"), b"4294967299\nend")
        self.assertEqual(project.run(seconds=5 * lib.DEADLINE).run["hits"], 2)


class Kernels(lib.Case):
    """Kernels, and sandboxes around us, that do not know what Stepcache likes to use."""

    def run_all(self, *refused):
        project = self.project(self.home.doc({
            "make": {"run": 'mkdir -p "${outputs.tree}/sub"; echo 1 > "${outputs.tree}/sub/f"; echo 2 > "${outputs.file}"',
                     "outputs": {"tree": "tree/", "file": "below/file"}},
            "take": {"run": 'cat "${inputs.tree}/sub/f" "${inputs.file}" > "${outputs.o}"',
                     "inputs": {"tree": "make.tree", "file": "make.file"}, "outputs": {"o": "o"}}}))
        preexec = lib.refuse_syscalls(*refused)
        result = project.run(preexec=preexec)
        self.assertEqual(project.get("take.o"), b"1\n2\n")
        assurance = self.home.record(result.verdicts["take"]["key"])["assurance"]["sandbox"]
        self.assertEqual(self.home.wait_gone(), {})
        again = project.run(preexec=preexec)
        self.assert_says(again, make="hit", take="hit")
        self.assert_witness("make", "take")
        return assurance

    def test_without_the_newer_ways_to_open_clone_and_close(self):
        self.run_all("clone3", "close_range", "openat2")

    def test_without_the_system_calls_of_mounts_and_landlock(self):
        self.assertEqual(self.run_all("clone3", "close_range", "openat2", "open_tree", "move_mount", "mount_setattr", "landlock_create_ruleset"), "none")

    def test_without_pidfd_open_nothing_is_less_safe_and_it_is_said(self):
        preexec = lib.refuse_syscalls("pidfd_open")
        usual = self.project(self.home.doc({"a": {"run": ":"}}), "usual").run()
        self.assert_witness("a")
        usual = self.home.record(usual.verdicts["a"]["key"])["assurance"]["sandbox"]
        self.assertEqual(self.home.wait_gone(), {})
        self.assertEqual(self.run_all("pidfd_open"), usual)
        probed = self.project(self.home.doc({"b": {"run": 'echo 1 > "${outputs.o}"', "outputs": {"o": "o"}}}, environment={"probe": ["echo seen"]}), "probed")
        self.assertEqual(probed.run(preexec=preexec).says, {"b": "miss never-seen"})
        with open(self.home.path("state/stepcache/agent.log"), encoding="utf-8") as log:
            self.assertIn("pidfd_open is refused", log.read())
        said = self.home.stepctl("doctor", code=0, preexec=preexec)
        self.assertIn("does not tell of a process's end", said.out)

    def test_an_output_that_is_a_link_is_refused_without_openat2(self):
        project = self.project(self.home.doc({"a": {"run": 'echo 1 > out/real; ln -s real "${outputs.o}"', "outputs": {"o": "o"}}}))
        result = project.run(code=1, preexec=lib.refuse_syscalls("openat2"))
        self.assertEqual(result.finished["a"]["outcome"], "output-not-allowed", str(result))
        self.assertIn("openat2", result.finished["a"]["message"])


if __name__ == "__main__":
    lib.main()
