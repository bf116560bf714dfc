"""The daemons behind s3server: one monitor, one object store daemon and one RADOS Gateway of Ceph, as plain processes.

All state is in one folder, every port is of 127.0.0.1; no cephx, no manager, no systemd, no root. This file knows Ceph
and nothing of buckets. It runs in the keeper (s3server's side process), which is the daemons' parent and reaps them.
Why each setting is there stands beside it: what is not listed is Ceph's default.
"""
import http.client
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import uuid

import side

NAMES = ("mon", "osd", "rgw")  # in the order of starting
NEEDED = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
START_WITHIN_S = 120
LOOK_AGAIN_S = 0.02  # how often a daemon that does not answer yet is asked again
PORTS = range(10000, 32000)  # below what Linux gives to connections, so that a killed gateway finds its port again
ADMIN_CAPS = "users=*;buckets=*;roles=*;user-policy=*;usage=*;metadata=*"


def is_free(port):
    """Whether nobody listens on that port of 127.0.0.1 just now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count):
    found = list(itertools.islice(filter(is_free, random.SystemRandom().sample(PORTS, len(PORTS))), count))
    if len(found) < count:
        raise side.Failed("no free ports on 127.0.0.1")
    return found


def configuration(folder, options):
    """ceph.conf as {name: value}; `options` as in Node."""
    first = options["osd_port"]
    bytes_max = options["size_gib"] << 30
    frontend = f"beast endpoint=127.0.0.1:{options['port']} tcp_nodelay=1"  # without it a small GET waits 40 ms for an ACK
    if options["tls_port"]:
        frontend += (f" ssl_endpoint=127.0.0.1:{options['tls_port']} ssl_certificate={folder}/tls/server.pem"
                     f" ssl_private_key={folder}/tls/server.key")
    return {
        "fsid": options["fsid"], "mon_host": f"[v2:127.0.0.1:{options['mon_port']}]",
        "public_addr": "127.0.0.1", "cluster_addr": "127.0.0.1", "ms_bind_msgr1": "false",
        "ms_bind_retry_delay": 1,  # for a port that somebody else has
        "ms_bind_port_min": first, "ms_bind_port_max": first + 200,  # the osd takes four that are free
        # Nobody proves who they are; the gateway then has to be told not to ask the monitor for encryption.
        "auth_cluster_required": "none", "auth_service_required": "none", "auth_client_required": "none",
        "ms_mon_client_mode": "crc", "keyring": f"{folder}/keyring",
        # Nothing outside the folder; no admin sockets, whose paths might be too long.
        "run_dir": folder, "crash_dir": folder, "admin_socket": "", "log_file": f"{folder}/log/$name.log",
        "mon_cluster_log_file": f"{folder}/log/cluster.log", "mon_data": f"{folder}/mon", "osd_data": f"{folder}/osd",
        "rgw_data": f"{folder}/rgw",
        # One copy of everything on the one osd.
        "osd_pool_default_size": 1, "osd_pool_default_min_size": 1, "osd_pool_default_pg_num": 4, "osd_pool_default_pgp_num": 4,
        "osd_pool_default_pg_autoscale_mode": "off", "osd_crush_chooseleaf_type": 0, "mon_allow_pool_size_one": "true",
        "mon_max_pg_per_osd": 1000, "mon_data_avail_warn": 1, "mon_data_avail_crit": 1,
        # A fresh node makes a dozen pools: no second of waiting for each change of the map.
        "paxos_propose_interval": 0.02, "paxos_min_wait": 0.01, "objecter_tick_interval": 0.2, "osd_mclock_skip_benchmark": "true",
        "osd_objectstore": options["store"], "bluestore_block_size": bytes_max, "memstore_device_bytes": bytes_max,
        "bluestore_fsck_on_mkfs": "false", "bluestore_cache_autotune": "false", "bluestore_cache_size": 128 << 20,
        "osd_fast_shutdown": "false",  # memstore writes itself down at an orderly end only
        "osd_client_watch_timeout": 2,  # so long a killed gateway holds up what its successor does to users and buckets
        "bdev_flock_retry": 50,  # an osd that was killed may hold its lock a little longer
        "rgw_frontends": frontend, "rgw_dns_name": "localhost", "rgw_thread_pool_size": 64,
        "rgw_sts_key": "0123456789abcdef", "rgw_s3_auth_use_sts": "true",
        "rgw_s3_auth_order": "local, sts",  # the other way round a wrong secret is AccessDenied
        "rgw_sts_min_session_duration": 1,  # credentials that run out while a test looks
        **options["settings"],
    }


class Node:
    """`options`: store (memstore | bluestore), size_gib, port, tls_port (or None), osd_port, mon_port, fsid, key, secret,
    settings {Ceph's name: value}, made (whether the making came to
    its end). They lie in node.json from the first start on."""

    def __init__(self, folder, owner):
        self.folder, self.owner, self.daemons = folder, owner, {}
        self.file = self.path("node.json")
        self.options = None
        if os.path.exists(self.file):
            with open(self.file, encoding="utf-8") as file:
                self.options = json.load(file)
            if not self.options["made"]:  # its maker was killed
                self.options = None
        missing = [name for name in NEEDED if not shutil.which(name, path=self.env()["PATH"])]
        if missing:
            raise side.Failed(f"not installed: {' '.join(missing)}: scripts/deps test")

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def env(self):
        return {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8", "HOME": self.folder}

    def write(self, **changes):
        self.options = {**self.options, **changes}
        with open(self.file, "w", encoding="utf-8") as file:
            json.dump(self.options, file)
        with open(self.path("ceph.conf"), "w", encoding="utf-8") as file:
            file.write("[global]\n")
            file.writelines(f"{name} = {value}\n" for name, value in configuration(self.folder, self.options).items())

    # ---- processes

    def spawn(self, name, command):
        """Starts a program that dies with this process; what it says goes to log/NAME.out."""
        parent = os.getpid()
        with open(self.path("log", name + ".out"), "ab") as out:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.env(), cwd=self.folder,
                                    start_new_session=True, preexec_fn=lambda: side.die_with_parent(parent))

    def ended(self, processes, seconds):
        """Waits so long for one of them to end; whether one has."""
        fds = [os.pidfd_open(process.pid) for process in processes if process.returncode is None]
        try:
            return len(fds) < len(processes) or bool(self.owner.wait(fds, seconds))
        finally:
            for fd in fds:
                os.close(fd)

    def run(self, name, *arguments):
        """Runs a program of Ceph to its end, or to that of a daemon that it may be waiting for."""
        command = (name, "-c", self.path("ceph.conf"), *arguments)
        process = self.spawn(name, command)
        try:
            self.ended([process, *self.daemons.values()], START_WITHIN_S)
            self.check_alive()
        finally:  # it must not write into a folder that is being removed
            if process.poll() is None:
                process.kill()
            process.wait()
        if process.returncode != 0:
            raise side.Failed(f"{' '.join(command)}: {process.returncode}\n{self.last_words(name)}")

    def check_alive(self):
        for name, daemon in self.daemons.items():
            if daemon.poll() is not None:
                why = os.strerror(daemon.returncode) if daemon.returncode > 0 else "a signal"  # they exit with an errno
                raise side.Failed(f"{name} ended with {daemon.returncode} ({why})\n{self.last_words(name)}")

    def last_words(self, name):
        with open(self.path("log", name + ".out"), encoding="utf-8", errors="replace") as out:
            return out.read()[-2000:]

    def start(self, name):
        if name in self.daemons and self.daemons[name].poll() is None:
            raise side.Failed(f"{name} runs already")
        command = {"mon": ("ceph-mon", "-i", "a"), "osd": ("ceph-osd", "-i", "0"), "rgw": ("radosgw", "-n", "client.rgw.a")}[name]
        self.daemons[name] = self.spawn(name, (*command, "-f", "-c", self.path("ceph.conf")))

    def kill(self, name, number=signal.SIGKILL):
        """Ends a daemon, a paused one too, and waits until it is gone, whatever the owner does meanwhile."""
        process = self.daemons[name]
        if process.poll() is None:
            process.send_signal(number)
            if number != signal.SIGKILL:
                process.send_signal(signal.SIGCONT)
                try:
                    process.wait(START_WITHIN_S)
                except subprocess.TimeoutExpired:
                    process.kill()
            process.wait()

    def end(self, orderly):
        """Ends all of them, paused ones too. `orderly`: so that a memstore can come again."""
        for daemon in self.daemons.values():  # all before the first is asked: a gateway waits for what its osd does not do
            if daemon.poll() is None:
                daemon.send_signal(signal.SIGCONT)
        for name in reversed(NAMES):
            if name in self.daemons:
                self.kill(name, signal.SIGTERM if orderly else signal.SIGKILL)

    # ---- the node

    def make(self, options):
        """The folder, the monitor's and the osd's stores, and all of them started. Ports that somebody else took
        between looking and listening are chosen again."""
        for last_time in (False, False, False, True):
            for name in (*NAMES, "log"):
                shutil.rmtree(self.path(name), ignore_errors=True)
                os.makedirs(self.path(name), mode=0o700)
            chosen = mon, port, tls = free_ports(3)
            self.options = {**options, "fsid": str(uuid.uuid4()), "mon_port": mon, "port": port, "tls_port": tls if options["tls"] else None,
                            "osd_port": random.SystemRandom().choice(PORTS), "made": False}
            self.write()
            try:
                self.make_once()
                self.write(made=True)
                return
            except side.Failed:
                self.end(orderly=False)
                self.daemons.clear()
                if last_time or all(map(is_free, chosen)):
                    raise

    def make_once(self):
        osd, fsid = str(uuid.uuid4()), self.options["fsid"]
        with open(self.path("keyring"), "wb"):
            pass  # is looked for, and nothing is read from it
        self.run("monmaptool", "--create", "--clobber", "--fsid", fsid, "--addv", "a", f"[v2:127.0.0.1:{self.options['mon_port']}]",
                 self.path("monmap"))
        self.run("ceph-mon", "-i", "a", "--mkfs", "--monmap", self.path("monmap"), "--keyring", self.path("keyring"))
        self.start("mon")
        self.run("ceph", "--connect-timeout", "20", "osd", "new", osd, "0")
        self.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self.start("osd")
        self.start("rgw")
        self.run("radosgw-admin", "user", "create", "--uid=main", "--display-name=main", f"--caps={ADMIN_CAPS}",
                 f"--access-key={self.options['key']}", f"--secret-key={self.options['secret']}")
        self.wait_answer()

    def up(self):
        """Starts what lies in the folder from an earlier time."""
        self.write()
        for name in NAMES:
            self.start(name)
        self.wait_answer()

    def wait_answer(self):
        """Waits until the gateway answers, which it does when the monitor and the osd do."""
        gateway = self.daemons["rgw"]
        for _ in range(int(START_WITHIN_S / LOOK_AGAIN_S)):
            connection = http.client.HTTPConnection("127.0.0.1", self.options["port"], timeout=10)
            try:
                connection.request("GET", "/")
                if connection.getresponse().status == 200:
                    return
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            self.check_alive()
            self.ended([gateway], LOOK_AGAIN_S)
        raise side.Failed(f"no answer on port {self.options['port']}\n{self.last_words('rgw')}")
