"""What every end-to-end test stands on: homes of their own, witnesses, gates, and the real programs.

A test never asks Stepcache what ran: its steps append to a witness outside the project and the store. Nothing here
waits by sleeping: steps block on named pipes that the test opens, and the test blocks on pipes, on the programs' own
JSON lines, or on the end of a process (pidfd). Every wait has a deadline, which is a failure and not a measurement.

Environment: STEPCACHE_BUILD is the build folder (default: build beside the tests' project).
"""
import ctypes
import errno
import hashlib
import json
import os
import queue
import re
import select
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("STEPCACHE_BUILD") or os.path.join(SOURCE, "build"))
SLOWER = {"asan": 4, "tsan": 8}.get(os.environ.get("STEPCACHE_SANITIZER", ""), 1)
DEADLINE = float(os.environ.get("STEPCACHE_TEST_DEADLINE", "60")) * SLOWER
TIMEOUT = f"PT{SLOWER}S"  # of a step that is to run into it, but first gets to its script's first lines
PATH = "/usr/local/bin:/usr/bin:/bin"
PROGRAMS = ("stepctl", "step-coordinator", "step-agent", "stepcache-runner")


def program(name):
    """The path of one of our programs in the build folder."""
    for folder in ("stepctl", "coordinator/shell", "coordinator", "agent/shell", "agent/runner", "agent", "."):
        path = os.path.join(BUILD, folder, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise unittest.SkipTest(f"{name} is not built in {BUILD}")


def need_root():
    if os.geteuid() != 0:
        raise unittest.SkipTest("needs root")


def need_program(name):
    if shutil.which(name, path=PATH + ":/usr/sbin:/sbin") is None:
        raise unittest.SkipTest(f"needs {name}")


class Timeout(AssertionError):
    pass


def need_s3_server():
    for name in ("ceph-mon", "ceph-osd", "radosgw"):
        need_program(name)


class Clock:
    """What is left of a deadline."""

    def __init__(self, seconds=None):
        self.end = time.monotonic() + (seconds or DEADLINE)

    def left(self, what):
        rest = self.end - time.monotonic()
        if rest <= 0:
            raise Timeout(f"waited in vain for {what}")
        return rest


class Pipe:
    """A named pipe that this test holds open at both ends, so that no side ever sees an end or blocks in open().

    As a gate, a step blocks in `read line < gate` until the test lets it through; as a bell, a step writes a line and
    the test waits for it."""

    def __init__(self, path):
        self.path = path
        os.mkfifo(path)
        os.chmod(path, 0o666)
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.rest = b""

    def let(self, count=1):
        os.write(self.fd, b"go\n" * count)

    def wait(self, what="a line from a step", seconds=None):
        clock = Clock(seconds)
        while b"\n" not in self.rest:
            poll = select.poll()
            poll.register(self.fd, select.POLLIN)
            if poll.poll(clock.left(what) * 1000):
                self.rest += os.read(self.fd, 65536)
        line, _, self.rest = self.rest.partition(b"\n")
        return line.decode()

    def close(self):
        os.close(self.fd)


class Result:
    """How a stepctl ended and what it said."""

    def __init__(self, args, code, out, err):
        self.args, self.code, self.raw, self.err = args, code, out, err.decode("utf-8", "replace")
        self.out = out.decode("utf-8", "replace")
        self.events = []
        if "--json" in args:
            for line in self.out.splitlines():
                self.events.append(json.loads(line))

    def of(self, kind):
        return [event for event in self.events if event["event"] == kind]

    @property
    def verdicts(self):
        """The newest verdict of each step, as its event."""
        return {event["step"]: event for event in self.of("step.verdict")}

    @property
    def says(self):
        """{step: "hit"} or {step: "miss changed"}."""
        return {step: "hit" if event["verdict"] == "hit" else event["verdict"] + " " + event["reason"] for step, event in self.verdicts.items()}

    @property
    def started(self):
        return sorted(event["step"] for event in self.of("step.started"))

    @property
    def finished(self):
        return {event["step"]: event for event in self.of("step.finished")}

    @property
    def run(self):
        """The run.finished event."""
        ends = self.of("run.finished")
        assert len(ends) == 1, f"one run.finished, not {len(ends)}\n{self}"
        return ends[0]

    @property
    def id(self):
        return self.of("run.started")[0]["run"]

    def __str__(self):
        def cut(text):
            return text if len(text) < 6000 else text[:3000] + "\n…\n" + text[-3000:]
        return f"stepctl {' '.join(self.args)}: exit {self.code}\n--- stdout\n{cut(self.out)}\n--- stderr\n{cut(self.err)}"


class Live:
    """A stepctl (or a server) that runs."""

    def __init__(self, args, **options):
        self.args = args
        self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        self.lines, self.err_lines = queue.Queue(), queue.Queue()
        self.out, self.err, self.seen = [], [], []
        self.threads = [threading.Thread(target=self._read, args=(self.process.stdout, self.out, self.lines), daemon=True),
                        threading.Thread(target=self._read, args=(self.process.stderr, self.err, self.err_lines), daemon=True)]
        for thread in self.threads:
            thread.start()

    def _read(self, stream, into, announce):
        for line in stream:
            into.append(line)
            announce.put(line)
        announce.put(None)

    def event(self, kind, seconds=None, **fields):
        """Waits for the next event of a kind whose fields have these values; events in between are passed over."""
        clock, what = Clock(seconds), f"{kind} {fields} of {' '.join(self.args[1:])}"
        while True:
            try:
                line = self.lines.get(timeout=clock.left(what))
            except queue.Empty:
                raise Timeout(f"waited in vain for {what}\n{self.story()}") from None
            if line is None:
                raise AssertionError(f"ended before {what}\n{self.story()}")
            event = json.loads(line)
            self.seen.append(event)
            if event["event"] == kind and all(event.get(name) == value for name, value in fields.items()):
                return event

    def says(self, word, seconds=None):
        """Waits for a line on standard error that holds the word."""
        clock = Clock(seconds)
        while True:
            try:
                line = self.err_lines.get(timeout=clock.left(word))
            except queue.Empty:
                raise Timeout(f"waited in vain for {word!r}\n{self.story()}") from None
            if line is None:
                raise AssertionError(f"ended before it said {word!r}\n{self.story()}")
            if word in line.decode("utf-8", "replace"):
                return line.decode("utf-8", "replace")

    def signal(self, number):
        self.process.send_signal(number)

    def story(self):
        return f"--- stdout\n{b''.join(self.out).decode('utf-8', 'replace')[-4000:]}\n--- stderr\n{b''.join(self.err).decode('utf-8', 'replace')[-4000:]}"

    def wait(self, seconds=None):
        """Waits until it has ended; returns the Result."""
        try:
            self.process.wait(seconds or DEADLINE)
        except subprocess.TimeoutExpired:
            raise Timeout(f"{' '.join(self.args[1:])} did not end\n{self.story()}") from None
        for thread in self.threads:
            thread.join(DEADLINE)
        self.process.stdout.close()
        self.process.stderr.close()
        return Result(self.args[1:], self.process.returncode, b"".join(self.out), b"".join(self.err))

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        if not self.process.stdout.closed:
            self.wait()


class Process:
    """What /proc says of a process; OSError when there is none."""

    def __init__(self, pid):
        self.pid = pid
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            rest = file.read().rpartition(")")[2].split()
        self.state, self.parent, self.start = rest[0], int(rest[1]), int(rest[19])  # Z: it has ended and was not reaped
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            self.comm = file.read().strip()
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            self.cmdline = file.read()
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                self.environ = file.read()
        except OSError:  # it is another user's, hides it, or has ended
            self.environ = b""

    @property
    def line(self):
        return self.cmdline.replace(b"\0", b" ").decode("utf-8", "replace") or self.comm

    def has_name(self, name):
        return name[:15] == self.comm or os.path.basename(self.cmdline.split(b"\0")[0].decode("utf-8", "replace")) == name


class Home:
    """A user of their own: HOME, XDG folders, a witness, gates; everything below one temporary folder, whose path is
    the token by which every process that belongs to it is known (in its environment or its arguments)."""

    def __init__(self):
        self.root = tempfile.mkdtemp(prefix="stepcache-e2e.", dir="/tmp")
        os.chmod(self.root, 0o755)
        for name in ("home", "run", "state", "cache", "config", "witness"):
            os.mkdir(os.path.join(self.root, name), 0o700 if name == "run" else 0o755)
        self.env = {"PATH": PATH, "HOME": self.path("home"), "LANG": "C.UTF-8", "XDG_RUNTIME_DIR": self.path("run"),
                    "XDG_STATE_HOME": self.path("state"), "XDG_CACHE_HOME": self.path("cache"), "XDG_CONFIG_HOME": self.path("config")}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS", "STEPCACHE_RUNNER_FORCE"):
            if name in os.environ:
                self.env[name] = os.environ[name]
        self.witness_path = self.path("witness/log")
        self.pipes, self.lives, self.known = {}, [], {}
        self.seen = 0

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    # ---- steps

    def pipe(self, name):
        if name not in self.pipes:
            self.pipes[name] = Pipe(self.path("witness", name))
        return self.pipes[name]

    def step(self, run=None, **fields):
        """A step whose script first bears witness: its text is what `says` holds, else the step's own name."""
        env = dict(fields.pop("env", {}))
        env["W"] = self.path("witness")
        says = fields.pop("says", None)
        result = dict(fields)
        if run is not None:
            result["run"] = (f'echo "{says}" >> "$W/log"\n' if says else "") + run
        result["env"] = env
        return result

    def doc(self, steps, **top):
        document = {"stepcache": 1, "name": top.pop("name", "e2e"), **top}
        document["steps"] = {name: self.step(says=step.pop("says", name), **step) if "run" in step else self.step(**step)
                             for name, step in ((name, dict(step)) for name, step in steps.items())}
        return document

    def witness(self):
        """What ran, in order, since the last call."""
        try:
            with open(self.witness_path, encoding="utf-8") as lines:
                rows = lines.read().splitlines()
        except FileNotFoundError:
            rows = []
        rows, self.seen = rows[self.seen:], len(rows)
        return rows

    # ---- programs

    def stepctl(self, *args, cwd=None, env=None, code=None, seconds=None, preexec=None, input=None, user=None):
        """Runs stepctl to its end. `code`: what it must exit with."""
        command = [program("stepctl") if user is None else self.programs_for_all(), *args]
        try:
            done = subprocess.run(command, cwd=cwd or self.path("home"), env={**self.env, **(env or {})}, capture_output=True, check=False,
                                  timeout=(seconds or DEADLINE), preexec_fn=preexec, user=user,
                                  **({"input": input} if input is not None else {"stdin": subprocess.DEVNULL}))
        except subprocess.TimeoutExpired as late:
            raise Timeout(f"stepctl {' '.join(args)} did not end\n{(late.stdout or b'')[-3000:].decode('utf-8', 'replace')}\n"
                          f"{(late.stderr or b'')[-3000:].decode('utf-8', 'replace')}") from None
        result = Result(args, done.returncode, done.stdout, done.stderr)
        if code is not None and result.code != code:
            raise AssertionError(f"exit {result.code}, not {code}\n{result}")
        return result

    def start(self, *args, cwd=None, env=None, name="stepctl", **options):
        live = Live([program(name), *args], cwd=cwd or self.path("home"), env={**self.env, **(env or {})}, **options)
        self.lives.append(live)
        return live

    # ---- processes

    def programs_for_all(self):
        """A copy of the build's programs that every user may run."""
        for name in PROGRAMS:
            source = program(name)
            target = self.path("build", os.path.relpath(source, BUILD))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if not os.path.exists(target):
                shutil.copy(source, target)
        return self.path("build/stepctl/stepctl")

    def processes(self, name=None):
        return processes(self.root, name, self.known)

    def the(self, name):
        """The pid of the one process of ours with this name."""
        found = self.processes(name)
        assert len(found) == 1, f"one {name}, not {found}"
        return next(iter(found))

    def kill(self, name, pid=None):
        """kill -9, and waits until it is gone."""
        pid = pid or self.the(name)
        fd = os.pidfd_open(pid)
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        wait_pidfd(fd, f"the end of {name}")

    def wait_gone(self, seconds=None, but=()):
        """Waits until nothing of this home runs any more. Returns what is left at the deadline."""
        return wait_gone(self.root, seconds, but, self.known)

    def reports(self):
        """What a sanitizer found in our programs, where this is such a build: in their logs, and in what they wrote here."""
        texts = [b"".join(live.err) for live in self.lives]
        for folder, _, names in os.walk(self.path("state")):
            for name in names:
                if name.endswith(".log"):
                    with open(os.path.join(folder, name), "rb") as file:
                        texts.append(file.read())
        return [text[found.start():][:4000].decode("utf-8", "replace") for text in texts
                if (found := re.search(rb"(ERROR|WARNING): (Address|Leak|Thread)Sanitizer|: runtime error: ", text))]

    # ---- the store, without asking Stepcache

    @property
    def store(self):
        return self.path("cache/stepcache/store/v1/main")

    def objects(self):
        """{sha256: path} of everything below cas/."""
        found = {}
        for folder, _, names in os.walk(os.path.join(self.store, "cas")):
            for name in names:
                if re.fullmatch("[0-9a-f]{64}", name):
                    found[name] = os.path.join(folder, name)
        return found

    def rotten(self):
        """Objects whose bytes are not what their names say."""
        return [name for name, path in self.objects().items() if sha256(path) != name]

    def record(self, key):
        """A record as it lies in the store, decoded by this file's own reader."""
        with open(os.path.join(self.store, "key", key[:2], key), "rb") as file:
            data = file.read()
        body, checksum = data[:-32], data[-32:]
        assert hashlib.sha256(body).digest() == checksum
        value, end = unpack(body, 0)
        assert end == len(body)
        return value

    def child_of(self, name, parent):
        """The pid of the one process of ours with this name whose parent is the one of ours with that name."""
        above = self.the(parent)
        found = [pid for pid in self.processes(name) if Process(pid).parent == above]
        assert len(found) == 1, f"one {name} below {parent}, not {found}"
        return found[0]

    def close(self):
        if not os.path.isdir(self.root):
            return
        for live in self.lives:
            live.end()
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.wait_gone(20)
        for pipe in self.pipes.values():
            pipe.close()
        remove(self.root)


class Project:
    """A folder with a document and what lies beside it."""

    def __init__(self, home, name="project", document=None):
        self.home, self.root = home, home.path(name)
        os.makedirs(self.root)
        if document is not None:
            self.doc(document)

    def path(self, name):
        return os.path.join(self.root, name)

    def write(self, name, data, mode=None):
        path = self.path(name) if isinstance(name, str) else os.path.join(self.root.encode(), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
        if mode is not None:
            os.chmod(path, mode)
        return path

    def doc(self, document):
        """JSON is YAML; a text is written as it is."""
        self.write("pipeline.yaml", document if isinstance(document, str) else json.dumps(document, indent=1, ensure_ascii=False))

    def run(self, *args, code=0, **options):
        self.last = self.home.stepctl("run", "--json", "pipeline.yaml", *args, cwd=self.root, code=code, **options)
        return self.last

    def plan(self, *args, code=0, **options):
        return self.home.stepctl("plan", "--json", "pipeline.yaml", *args, cwd=self.root, code=code, **options)

    def start(self, *args, **options):
        return self.home.start("run", "--json", "pipeline.yaml", *args, cwd=self.root, **options)

    def get(self, what, result=None):
        """The bytes of a file that a step of the last run made or hit, by its record, without asking Stepcache."""
        step, _, output = what.rpartition(".")
        record = self.home.record((result or self.last).verdicts[step]["key"])
        artifact = dict(record["outputs"])[output]
        digest = artifact["digest"].hex()
        if artifact.get("has_inline"):
            data = artifact.get("inline", b"")
            assert hashlib.sha256(data).hexdigest() == digest
            return data
        with open(self.home.objects()[digest], "rb") as file:
            return file.read()


class Case(unittest.TestCase):
    """A test with a home. When it ends nothing of it may still run, and every object in the store is what its name says."""

    check_objects = True
    maxDiff = None

    def setUp(self):
        program("stepctl")
        self.home = Home()
        self.addCleanup(self.home.close)

    def project(self, document=None, name="project"):
        return Project(self.home, name, document)

    def end_in_order(self):
        """Asks all that still runs to leave, and waits until it has."""
        for live in self.home.lives:
            if live.process.poll() is None:
                live.signal(signal.SIGTERM)
        for live in self.home.lives:
            if not live.process.stdout.closed:
                live.wait()

    def assert_witness(self, *rows):
        self.assertEqual(sorted(self.home.witness()), sorted(rows))

    def assert_says(self, result, **steps):
        self.assertEqual(result.says, steps, str(result))

    def tearDown(self):
        for live in self.home.lives:
            live.end()
        left = self.home.wait_gone()
        self.assertEqual(left, {}, "processes left behind")
        self.assertEqual(self.home.reports(), [], "reports of a sanitizer")
        if self.check_objects:
            self.assertEqual(self.home.rotten(), [], "objects whose bytes are not what their names say")


class ByHand(Case):
    """A test with a coordinator and an agent that are started with configuration files."""

    settings = ""  # more lines for the coordinator

    def setUp(self):
        super().setUp()
        for name in ("sockets", "c", "a"):
            os.mkdir(self.home.path(name), 0o700)
        self.client_endpoint = f"ipc://{self.home.path('sockets/client.sock')}"
        self.agent_endpoint = f"ipc://{self.home.path('sockets/agent.sock')}"
        self.home.env["STEPCACHE_COORDINATOR"] = self.client_endpoint
        store = self.home.path("cache/stepcache/store")
        os.makedirs(os.path.dirname(store))
        self.coordinator_file = self.config("coordinator.conf", f"# by hand\nstate: {self.home.path('c')}\nstore: {store}\nclient: {self.client_endpoint}\n"
                                                                f"agent: {self.agent_endpoint}\n{self.settings}")
        self.agent_file = self.config("agent.conf", f"work: {self.home.path('a')}\nstore: {store}\ncoordinator: {self.agent_endpoint}\nname: node-1\n")

    def config(self, name, text):
        with open(self.home.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.home.path(name)

    def coordinator(self):
        live = self.home.start("--config", self.coordinator_file, name="step-coordinator")
        live.says("ready")
        return live

    def agent(self):
        return self.home.start("--config", self.agent_file, name="step-agent")

    def tearDown(self):
        self.end_in_order()
        super().tearDown()


def unpack(data, at):
    """One MessagePack value and where the next begins: str as text (bytes where it is none), bin as bytes."""
    code = data[at]
    at += 1

    def number(count, signed=False):
        return int.from_bytes(data[at:at + count], "big", signed=signed), at + count

    def raw(count, start, text):
        part = data[start:start + count]
        assert len(part) == count
        if text:
            try:
                return part.decode(), start + count
            except UnicodeDecodeError:
                pass
        return part, start + count

    def array(count, start):
        items = []
        for _ in range(count):
            item, start = unpack(data, start)
            items.append(item)
        return items, start

    def mapping(count, start):
        items, start = array(2 * count, start)
        return dict(zip(items[::2], items[1::2])), start

    if code < 0x80:
        return code, at
    if code < 0x90:
        return mapping(code & 15, at)
    if code < 0xa0:
        return array(code & 15, at)
    if code < 0xc0:
        return raw(code & 31, at, True)
    if code >= 0xe0:
        return code - 0x100, at
    if code in (0xc0, 0xc2, 0xc3):
        return {0xc0: None, 0xc2: False, 0xc3: True}[code], at
    if code in (0xc4, 0xc5, 0xc6):
        count, start = number(1 << (code - 0xc4))
        return raw(count, start, False)
    if code in (0xcc, 0xcd, 0xce, 0xcf):
        return number(1 << (code - 0xcc))
    if code in (0xd0, 0xd1, 0xd2, 0xd3):
        return number(1 << (code - 0xd0), True)
    if code in (0xd9, 0xda, 0xdb):
        count, start = number(1 << (code - 0xd9))
        return raw(count, start, True)
    if code in (0xdc, 0xdd):
        count, start = number(2 << (code - 0xdc))
        return array(count, start)
    if code in (0xde, 0xdf):
        count, start = number(2 << (code - 0xde))
        return mapping(count, start)
    raise AssertionError(f"no MessagePack of ours: {code:#x}")


def refuse_syscalls(*names):
    """What a new process calls (preexec) so that the kernel does not know these system calls any more, as an older one or a
    container engine's filter does: seccomp(2), ENOSYS."""
    numbers = {"open_tree": 428, "move_mount": 429, "pidfd_open": 434, "clone3": 435, "close_range": 436, "openat2": 437, "mount_setattr": 442,
               "landlock_create_ruleset": 444}  # the same on every architecture
    PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
    LOAD, JUMP_IF_EQUAL, RETURN, ALLOW, REFUSE = 0x20, 0x15, 0x06, 0x7fff0000, 0x00050000 | errno.ENOSYS
    code = [struct.pack("HBBI", LOAD, 0, 0, 0)]  # the number
    for left, name in zip(range(len(names), 0, -1), names):
        code.append(struct.pack("HBBI", JUMP_IF_EQUAL, left, 0, numbers[name]))
    code += [struct.pack("HBBI", RETURN, 0, 0, ALLOW), struct.pack("HBBI", RETURN, 0, 0, REFUSE)]
    text = ctypes.create_string_buffer(b"".join(code))
    program = ctypes.create_string_buffer(struct.pack("HP", len(code), ctypes.addressof(text)))
    libc = ctypes.CDLL(None, use_errno=True)

    def preexec(_kept=text):
        if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0):
            raise OSError(ctypes.get_errno(), "no seccomp filter is to be had")
    return preexec


def adopt_orphans():
    """From now on this process stands in for a container's first one that does not reap: it gets every orphan and leaves
    it a zombie. Returns what ends that."""
    PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0, os.strerror(ctypes.get_errno())

    def end():
        libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
    return end


def processes(token, name=None, known=None):
    """{pid: command line} of everything that carries the token in its environment or its arguments, and of what that started, though
    its parent may be gone by now: an ordinary user cannot read the runner's environment; of one program by name. `known` keeps
    what was found from one call to the next."""
    known = {} if known is None else known
    token, all_of_them, ours = token.encode(), {}, set()
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            process = Process(int(entry))
        except OSError:
            continue
        if process.state != "Z":
            all_of_them[process.pid] = process
            if token in process.environ or token in process.cmdline or known.get(process.pid) == process.start:
                ours.add(process.pid)
    while more := {pid for pid, process in all_of_them.items() if process.parent in ours} - ours:
        ours |= more
    known.clear()
    known.update({pid: all_of_them[pid].start for pid in ours})
    found = [all_of_them[pid] for pid in sorted(ours)]
    return {process.pid: process.line for process in found if name is None or process.has_name(name)}


def wait_gone(token, seconds=None, but=(), known=None):
    """Waits until nothing that carries the token runs any more. Returns what is left at the deadline."""
    clock = Clock(seconds or 30 * SLOWER)
    known = {} if known is None else known
    while True:
        left = {pid: line for pid, line in processes(token, None, known).items() if pid not in but}
        if not left:
            return {}
        for pid in left:
            try:
                fd = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            try:
                wait_pidfd(fd, "the end of everything", clock)
            except Timeout:
                return {pid: line for pid, line in processes(token, None, known).items() if pid not in but}


def at_once(count, function):
    """Calls function(0 … count-1) in as many threads that begin together; what they return or raise, in that order."""
    results, barrier = [None] * count, threading.Barrier(count)

    def run(number):
        barrier.wait()
        try:
            results[number] = function(number)
        except Exception as wrong:
            results[number] = wrong
    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def wait_pidfd(fd, what, clock=None):
    clock = clock or Clock()
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if not poll.poll(clock.left(what) * 1000):
            raise Timeout(f"waited in vain for {what}")
    finally:
        os.close(fd)


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def remove(root):
    """Removes a tree, whatever the modes in it. Nothing above the root is ever touched, nor what a link points at."""
    if os.path.islink(root) or not os.path.isdir(root):
        return
    os.chmod(root, stat.S_IRWXU)
    for folder, names, _ in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                os.chmod(path, stat.S_IRWXU)
    shutil.rmtree(root, ignore_errors=True)


def main():
    unittest.main(verbosity=2 if "-v" in sys.argv else 1)
