#!/usr/bin/env python3
"""A real S3 server for tests: a Ceph RADOS Gateway of one's own, on 127.0.0.1, gone when the test is gone.

    s3server.py start DIR [--store memstore|bluestore] [--size GIB] [--tls] [--bucket NAME] [--set CEPH_NAME=VALUE …]
                       starts (or starts again) the server in DIR; prints its environment as lines of the shell
    s3server.py env DIR [--user main|reader|nolist] [--bucket NAME]    those lines again
    s3server.py kill|pause|resume|restart DIR rgw|osd|mon              kill -9, SIGSTOP, SIGCONT, an end and a start
    s3server.py stop DIR [--wipe]                                      all gone; --wipe: the data too

In a test:

    with s3server.Server(tls=True) as server:
        server.bucket("data")
        server.client().put("/data/key", b"bytes")

memstore keeps everything in memory and comes up in 2 s, but a killed osd loses all; bluestore is a sparse file and does
not. Users: main owns the buckets; reader may get and list; nolist may get, put and delete but not list, so that a key
that is not there is a 403; any other name has no rights at all. Facts worth knowing: If-None-Match has one winner in an
unversioned bucket only, and x-amz-checksum-* is not looked at.
"""
import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse

import cephnode
import s3client
import side

REGION = "us-east-1"
HELPERS = ("reader", "nolist")
RIGHTS = {"reader": ["s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketLocation"],
          "nolist": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
          "main": ["s3:*"]}  # what nolist has put is its own: the owner of the bucket would not be let at it
READ_ONLY = ["s3:GetObject", "s3:ListBucket"]


def make_tls(folder):
    """A CA and a certificate of localhost, *.localhost and 127.0.0.1 by it: ca.pem, server.pem, server.key."""
    os.makedirs(folder, mode=0o700)

    def openssl(*args):
        done = subprocess.run(["openssl", *args], cwd=folder, capture_output=True, stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            raise side.Failed(f"openssl {' '.join(args)}: {done.stderr.decode(errors='replace')}")
    new = ("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(*new, "-x509", "-days", "30", "-subj", "/CN=a CA of the tests", "-keyout", "ca.key", "-out", "ca.pem",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
    openssl(*new, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr")
    with open(os.path.join(folder, "names"), "w", encoding="utf-8") as file:
        file.write("subjectAltName=DNS:localhost,DNS:*.localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30",
            "-extfile", "names", "-out", "server.pem")


class Server:
    """A server that this process starts, and that ends with it; or, by `attach`, one that runs already.

    `folder`: where it keeps everything (default: a new one, removed at the end, whoever ends). `settings`: Ceph's own
    names, for instance rgw_max_concurrent_requests=4 for real 503 SlowDown."""

    def __init__(self, folder=None, store="memstore", size_gib=16, tls=False, **settings):
        self.own_folder = folder is None
        self.folder = os.path.abspath(folder) if folder else tempfile.mkdtemp(prefix="s3.")
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        self.side = None
        begun = time.monotonic()
        try:
            self.side = side.Side(keep_command(self.folder, store, size_gib, tls, settings, wipe=self.own_folder), self.socket,
                                  os.path.join(self.folder, "keeper.log") if folder else None)
            self.took_s = time.monotonic() - begun
            self._learn(self.side.told)
        except BaseException:
            self.stop()
            raise

    @classmethod
    def attach(cls, folder):
        server = cls.__new__(cls)
        server.folder, server.side, server.own_folder = os.path.abspath(folder), None, False
        server._learn(server.ask("describe"))
        return server

    def _learn(self, told):
        self.options = told
        self.endpoint = f"http://127.0.0.1:{told['port']}"
        self.tls_endpoint = f"https://127.0.0.1:{told['tls_port']}" if told["tls_port"] else None
        self.ca = os.path.join(self.folder, "tls", "ca.pem") if told["tls_port"] else None
        self.users = {"main": s3client.Credentials(told["key"], told["secret"])}

    @property
    def socket(self):
        return os.path.join(self.folder, "keeper.sock")

    def ask(self, call, /, **arguments):
        return side.ask(self.socket, call, **arguments)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Everything gone, at once."""
        if self.side:
            self.side.end()
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)  # also when the keeper was killed

    # ---- users, buckets, sessions

    def user(self, name="main"):
        """The credentials of a user, who is made at the first asking."""
        if name not in self.users:
            made = s3client.Credentials(f"TEST{name.upper():0<16.16}", f"secret-of-{name}".ljust(40, "."))
            answer = self.client().call("PUT", "/admin/user", {"uid": name, "display-name": name, "access-key": made.key,
                                                               "secret-key": made.secret, "format": "json"})
            if answer.status != 200 and answer.code != "UserAlreadyExists" and b"Exist" not in answer.body:
                raise side.Failed(f"user {name}: {answer}")
            self.users[name] = made
        return self.users[name]

    def client(self, user="main", tls=False, endpoint=None):
        """A client of a user (None: unsigned), straight or through a proxy's endpoint."""
        return s3client.Client(endpoint or (self.tls_endpoint if tls else self.endpoint), user and self.user(user), REGION,
                               self.ca if tls else None)

    def admin(self, method, path, query=(), body=b"", service="s3"):
        headers = {"content-type": "application/x-www-form-urlencoded"} if method == "POST" else {}
        answer = self.client().call(method, path, query, body, headers, service=service)
        if answer.status >= 300:
            raise side.Failed(f"{method} {path} {dict(query)}: {answer}")
        return answer

    def bucket(self, name, versioned=False, public=False, max_bytes=None, max_objects=None):
        """Makes a bucket, or changes it. `public`: anybody may read it, unsigned."""
        self.admin("PUT", f"/{name}")
        for helper in HELPERS:
            self.user(helper)
        resources = [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]
        rights = [({"AWS": [f"arn:aws:iam:::user/{user}"]}, actions) for user, actions in RIGHTS.items()]
        rights += [("*", READ_ONLY)] if public else []
        self.admin("PUT", f"/{name}", {"policy": ""}, policy({"Principal": who, "Action": actions, "Resource": resources} for who, actions in rights))
        if versioned:
            self.admin("PUT", f"/{name}", {"versioning": ""}, b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
        self.quota(name, max_bytes, max_objects)

    def quota(self, name, max_bytes=None, max_objects=None):
        """What the bucket may hold (None: anything), in whole KiB; more is 403 QuotaExceeded."""
        self.admin("PUT", "/admin/bucket", {"quota": "", "uid": "main", "bucket": name, "quota-scope": "bucket",
                                            "max-size-kb": -1 if max_bytes is None else max_bytes >> 10,
                                            "max-objects": -1 if max_objects is None else max_objects,
                                            "enabled": "false" if max_bytes is max_objects is None else "true"})

    def role(self, name="agent"):
        """Makes a role that main may assume and that may do everything in S3; returns its ARN."""
        trust = policy([{"Principal": {"AWS": ["arn:aws:iam:::user/main"]}, "Action": ["sts:AssumeRole"]}]).decode()
        answer = self.client().call("POST", "/", {"Action": "CreateRole", "RoleName": name, "Path": "/", "AssumeRolePolicyDocument": trust},
                                    service="iam")
        if answer.status != 200 and answer.code != "EntityAlreadyExists":
            raise side.Failed(f"role {name}: {answer}")
        self.admin("POST", "/", {"Action": "PutRolePolicy", "RoleName": name, "PolicyName": "all",
                                 "PolicyDocument": policy([{"Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}]).decode()}, service="iam")
        return f"arn:aws:iam:::role/{name}"

    def session(self, seconds=900):
        """Credentials with a session token, from the gateway's own STS."""
        form = urllib.parse.urlencode({"Action": "AssumeRole", "RoleArn": self.role(), "RoleSessionName": "test", "DurationSeconds": seconds,
                                       "Version": "2011-06-15"}).encode()
        answer = self.admin("POST", "/", body=form, service="sts")
        return s3client.Credentials(answer.field("AccessKeyId"), answer.field("SecretAccessKey"), answer.field("SessionToken"))

    # ---- faults for real: rgw, osd, mon

    def kill(self, name):
        """kill -9; it is gone on return."""
        self.ask("kill", name=name)

    def pause(self, name):
        self.ask("signal", name=name, number=signal.SIGSTOP)

    def resume(self, name):
        self.ask("signal", name=name, number=signal.SIGCONT)

    def restart(self, name, **settings):
        """Starts a daemon, after an orderly end if it runs, with changed settings; waits until the server answers."""
        self.ask("restart", name=name, settings=settings)
        self.client().get("/")

    def pids(self):
        return self.ask("describe")["pids"]

    # ---- what a client is told, what the gateway saw

    def env(self, user="main", bucket="stepcache", prefix="", endpoint=None):
        """The environment of a client of ours or of anybody's."""
        credentials, endpoint = self.user(user), endpoint or self.tls_endpoint or self.endpoint
        found = {"STEPCACHE_S3": self.store(bucket, prefix, endpoint), "AWS_ACCESS_KEY_ID": credentials.key,
                 "AWS_SECRET_ACCESS_KEY": credentials.secret, "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION,
                 "AWS_ENDPOINT_URL": endpoint, "AWS_EC2_METADATA_DISABLED": "true"}
        return {**found, "AWS_CA_BUNDLE": self.ca} if endpoint.startswith("https:") else found

    def store(self, bucket, prefix="", endpoint=None):
        """The string that opens a store."""
        endpoint = endpoint or self.tls_endpoint or self.endpoint
        query = {"endpoint": endpoint, "region": REGION, "style": "path", **({"ca": self.ca} if endpoint.startswith("https:") else {})}
        return f"s3://{bucket}/{prefix}?" + "&".join(f"{name}={s3client.quote(value, '/:')}" for name, value in query.items())

    def requests(self):
        """Every request that the gateway has answered, by its own log: [(user, method, target, status)]. The last of
        them is the one that this call makes, to know that the log is written as far as here."""
        mark = f"/?mark={time.monotonic_ns()}"
        s3client.Client(self.endpoint).call("GET", "/", {"mark": mark.partition("=")[2]})
        line = re.compile(r'beast: \S+ \S+ - (\S+) \[[^]]*\] "(\S+) (\S+) HTTP/[0-9.]+" (\d+) ')
        for _ in range(1000):
            with open(os.path.join(self.folder, "log", "client.rgw.a.log"), encoding="utf-8", errors="replace") as log:
                found = [(user, method, target, int(status)) for user, method, target, status in line.findall(log.read())]
            if any(row[2] == mark for row in found):
                return found
            side.readable([], 0.01)
        raise side.Failed("the gateway's log does not show the last request")


def policy(statements):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **each} for each in statements]}).encode()


def keep_command(folder, store, size_gib, tls, settings, wipe):
    options = {"store": store, "size_gib": size_gib, "tls": tls, "key": "TESTMAIN000000000001", "secret": "secret-of-main".ljust(40, "."),
               "settings": settings}
    return [os.path.abspath(__file__), "keep", folder, json.dumps(options), *(["--wipe"] if wipe else [])]


# ---- the keeper: the daemons' parent

def keep(folder, options, wipe, owned):
    """Makes or starts the node in the folder, answers calls, and leaves nothing running."""
    owner = side.Owner(owned)
    listener = side.listen(os.path.join(folder, "keeper.sock"))
    node = None
    try:
        node = cephnode.Node(folder, owner)
        if node.options:
            node.options["settings"].update(options["settings"])
            node.up()
        else:
            if options["tls"]:
                shutil.rmtree(node.path("tls"), ignore_errors=True)
                make_tls(node.path("tls"))
            node.make(options)
        side.serve(listener, keeper_calls(node), owner, describe(node))
    except side.Orphaned:
        pass
    except side.Failed as wrong:
        side.tell({"error": str(wrong)})
    finally:
        if node:
            node.end(orderly=not wipe)
        os.unlink(os.path.join(folder, "keeper.sock"))
        if wipe:
            shutil.rmtree(folder, ignore_errors=True)


def describe(node):
    return {**node.options, "pids": {name: daemon.pid for name, daemon in node.daemons.items() if daemon.poll() is None}}


def keeper_calls(node):
    def restart(name, settings):
        node.kill(name, signal.SIGTERM)
        node.write(settings={**node.options["settings"], **settings})
        node.start(name)
        node.wait_answer()

    return {"describe": lambda: describe(node), "kill": node.kill, "restart": restart,
            "signal": lambda name, number: node.daemons[name].send_signal(number)}


# ---- the command line

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("do", choices=["start", "env", "kill", "pause", "resume", "restart", "stop", "keep"])
    parser.add_argument("folder")
    parser.add_argument("what", nargs="?")
    parser.add_argument("--store", choices=["memstore", "bluestore"], default="bluestore")
    parser.add_argument("--size", type=int, default=32, help="GiB")
    parser.add_argument("--user", default="main")
    parser.add_argument("--bucket", default="stepcache")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    for flag in ("--tls", "--wipe", side.OWNED):
        parser.add_argument(flag, action="store_true")
    args = parser.parse_args()
    folder, settings = os.path.abspath(args.folder), dict(each.split("=", 1) for each in args.set)
    if args.do == "keep":
        keep(folder, json.loads(args.what), args.wipe, args.owned)
    elif args.do != "start" and not os.path.exists(os.path.join(folder, "keeper.sock")):
        raise side.Failed(f"no server runs in {folder}: start it first")
    elif args.do == "stop":
        side.ask(os.path.join(folder, "keeper.sock"), "stop")
        if args.wipe:
            shutil.rmtree(folder)
    elif args.do == "start":
        start_by_hand(folder, args, settings)
        print_env(folder, args)
    elif args.do == "env":
        print_env(folder, args)
    else:
        getattr(Server.attach(folder), args.do)(args.what)


def start_by_hand(folder, args, settings):
    os.makedirs(folder, mode=0o700, exist_ok=True)
    begun = time.monotonic()
    command = keep_command(folder, args.store, args.size, args.tls, settings, wipe=False)
    side.start([sys.executable, *command], owned=False, log=os.path.join(folder, "keeper.log"))
    Server.attach(folder).bucket(args.bucket)
    print(f"up in {time.monotonic() - begun:.1f} s", file=sys.stderr)


def print_env(folder, args):
    for name, value in Server.attach(folder).env(args.user, args.bucket).items():
        print(f"export {name}={shlex.quote(value)}")


if __name__ == "__main__":
    try:
        main()
    except (side.Failed, OSError) as wrong:
        sys.exit(f"s3server: {wrong}")
