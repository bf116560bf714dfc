"""Side processes of a test: servers and proxies that answer calls on a Unix socket and end when their owner does.

A side process is a program that calls `serve`. Its owner starts it with Side and holds the write end of a pipe that is
the side process's standard input: however the owner ends, kill -9 included, the pipe ends with it, and `serve` returns.
What a side process starts itself it starts with `die_with_parent`, so that the kernel ends it when the side process is
killed. Neither needs an init that reaps. A call is one JSON line on a connection of its own, and so is its answer.
"""
import ctypes
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1
OWNED = "--owned"  # the argument that says: standard input is the owner's pipe
ANSWER_WITHIN_S = 180  # for any call, the making of a whole server included


class Failed(Exception):
    """A call that the side process could not do, in its own words."""


class Orphaned(Exception):
    """The owner is gone, or SIGTERM came: it is time to end."""


def die_with_parent(parent):
    """For preexec_fn: the kernel kills this process when the thread that started it ends, which must be the only one."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def readable(fds, seconds=None):
    """Waits until one of the descriptors is readable or at its end, or the time is over; returns those that are."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return [fd for fd, _ in poll.poll(None if seconds is None else seconds * 1000)]


class Owner:
    """The owner as seen from the side process; `fd` None: there is none, and only a call ends it."""

    def __init__(self, owned):
        self.fd = 0 if owned else None
        signal.signal(signal.SIGTERM, self.terminate)

    @staticmethod
    def terminate(*_):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what follows is the end anyway
        raise Orphaned

    def wait(self, fds=(), seconds=None):
        """Waits for one of the descriptors to be readable; returns those that are. Raises Orphaned."""
        ready = readable([*fds, *([] if self.fd is None else [self.fd])], seconds)
        if self.fd is not None and self.fd in ready:
            raise Orphaned
        return ready


def listen(path):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if os.path.exists(path):
        os.unlink(path)  # of a side process that was killed
    listener.bind(path)
    listener.listen(64)
    return listener


def serve(listener, calls, owner, ready):
    """Tells the starter that all is up (`ready`: any JSON) and answers calls, one at a time, by the functions of `calls`,
    until "stop" is called, or raises Orphaned."""
    tell(ready)
    going = True
    while going:
        owner.wait([listener.fileno()])
        connection, _ = listener.accept()
        going = answer_call(connection, calls)


def answer_call(connection, calls):
    """Answers one call; returns False if it was "stop"."""
    connection.settimeout(ANSWER_WITHIN_S)
    try:
        with connection.makefile("rb") as lines:
            call = json.loads(lines.readline())
        name = call.pop("call")
        if name == "stop":
            connection.close()
            return False
        try:
            reply = {"answer": calls[name](**call)}
        except (Failed, KeyError, TypeError, ValueError, OSError) as wrong:
            reply = {"error": f"{name}: {type(wrong).__name__}: {wrong}" if not isinstance(wrong, Failed) else str(wrong)}
        connection.sendall(json.dumps(reply).encode() + b"\n")
    except (OSError, ValueError):
        pass  # the caller is gone, or was none of ours
    connection.close()
    return True


def tell(value):
    """The first and only line of a side process on its standard output."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def ask(path, call, /, **arguments):
    """Calls a side process by its socket and returns its answer; "stop" returns when the process has ended."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_WITHIN_S)
        connection.connect(path)
        pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        process = os.pidfd_open(pid)
        try:
            connection.sendall(json.dumps({"call": call, **arguments}).encode() + b"\n")
            with connection.makefile("rb") as lines:
                line = lines.readline()
            if call == "stop":
                if not readable([process], ANSWER_WITHIN_S):
                    raise Failed(f"{path}: did not stop")
                return None
        finally:
            os.close(process)
    if not line:
        raise Failed(f"{path}: ended during {call}")
    reply = json.loads(line)
    if "error" in reply:
        raise Failed(reply["error"])
    return reply["answer"]


def start(command, owned=True, log=None):
    """Starts a side process in a session of its own and waits until it is up; returns (its Popen, what it told)."""
    with open(log or os.devnull, "ab") as errors:
        process = subprocess.Popen(command + ([OWNED] if owned else []), stdin=subprocess.PIPE if owned else subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=errors if log else None, start_new_session=True)
    line = process.stdout.readline()
    process.stdout.close()
    told = json.loads(line) if line else {"error": f"{command[1]} ended with {process.wait()} before it was up"}
    if "error" in told:
        if process.stdin:
            process.stdin.close()
        process.wait()
        raise Failed(told["error"])
    return process, told


class Side:
    """A side process of this one: called by `ask`, ended by `end` or by the end of this process."""

    def __init__(self, command, path, log=None):
        self.path = path
        self.process, self.told = start([sys.executable, *command], log=log)

    def ask(self, call, /, **arguments):
        return ask(self.path, call, **arguments)

    def end(self):
        if self.process.returncode is None:
            self.process.stdin.close()
            self.process.wait()
