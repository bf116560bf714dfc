#!/usr/bin/env python3
"""Where a program in a cloud gets its credentials from, on this machine: instance metadata (IMDSv2), the endpoints of ECS
and EKS containers, and STS. Each notes what it was asked.

    with cloudendpoints.CloudEndpoints(lifetime_s=2) as cloud:
        env = cloud.env("imds")              or ecs, eks, web; for a client that is to find them there
        cloud.fail("role", status=500, times=2)
        …
        cloud.asked                          [Asked(what, method, path, headers, form)] in order

    cloudendpoints.py exec KIND [--real] -- COMMAND …    the command with those variables; what was asked goes to stderr as JSON
                                                         --real: in a network of its own, at the clouds' own addresses

What is asked is token, roles, role, region (IMDS), ecs, eks, and the STS actions by name. Credentials are numbered, no two
are alike, and `issued` has them all; `issue` may bring others, for instance those of a real server's STS.
"""
import argparse
import collections
import contextlib
import datetime
import fcntl
import http.server
import json
import os
import re
import secrets
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import urllib.parse
import xml.sax.saxutils

import s3client

Asked = collections.namedtuple("Asked", "what method path headers form")
Failure = collections.namedtuple("Failure", "status code body hang")
IMDS, ECS, EKS = "169.254.169.254", "169.254.170.2", "169.254.170.23"
STS_NAME = "https://sts.amazonaws.com/doc/2011-06-15/"
STS_SECONDS = range(900, 43201)
TOKEN_SECONDS = range(1, 21601)


class Refused(Exception):
    """status, code and message of an answer that says no."""


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def text_of(when):
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


class CloudEndpoints:
    """`issue(what)` returns s3client.Credentials; `lifetime_s` is how long each claims to be good for, rounded down to
    whole seconds. May be changed while it runs: lifetime_s, role (None: the instance has none), v1 (metadata without a
    token too), region, known {key: secret} (who may call AssumeRole)."""

    def __init__(self, issue=None, lifetime_s=3600, real=False):
        self.issue, self.lifetime_s = issue or self.invent, lifetime_s
        self.role, self.v1, self.region, self.known = "agent-role", False, "eu-central-1", {}
        self.asked, self.issued, self.failures, self.tokens = [], [], collections.defaultdict(list), {}
        self.lock, self.over, self.real = threading.Lock(), threading.Event(), real
        self.folder = tempfile.mkdtemp(prefix="cloud.")
        self.web_token, self.eks_token = secrets.token_urlsafe(), secrets.token_urlsafe()
        for name, token in (("web", self.web_token), ("eks", self.eks_token)):
            self.write_token(name, token)
        places = [(address, 80) for address in (IMDS, ECS, EKS)] if real else [("127.0.0.1", 0)]
        self.servers = [http.server.ThreadingHTTPServer(place, self.handler()) for place in places]
        self.url = f"http://127.0.0.1:{self.servers[0].server_port}"
        for server in self.servers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def write_token(self, name, token):
        """The file that web identity ("web") or an EKS pod ("eks") reads its token from."""
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(token)

    def env(self, kind):
        """The variables by which a client finds the endpoint of that kind, and no other."""
        calm = {"AWS_EC2_METADATA_DISABLED": "true"}
        if kind == "imds":
            return {} if self.real else {"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.url}
        if kind == "ecs":
            return {**calm, **({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/0"} if self.real else
                               {"AWS_CONTAINER_CREDENTIALS_FULL_URI": self.url + "/v2/credentials/0"})}
        if kind == "eks":
            return {**calm, "AWS_CONTAINER_CREDENTIALS_FULL_URI": (f"http://{EKS}" if self.real else self.url) + "/v1/credentials",
                    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": os.path.join(self.folder, "eks")}
        assert kind == "web", kind
        return {**calm, "AWS_WEB_IDENTITY_TOKEN_FILE": os.path.join(self.folder, "web"), "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/agent",
                "AWS_ROLE_SESSION_NAME": "agent-1", "AWS_ENDPOINT_URL_STS": f"http://{IMDS}" if self.real else self.url}

    def fail(self, what, status=500, times=1, code="InternalFailure", body=None, hang=False):
        """The next so many questions of that sort are answered so; `hang`: not at all, until the end. "any" is any."""
        self.failures[what] += [Failure(status, code, body, hang)] * times

    def what(self, *names):
        """What was asked, by its names alone; of these names if any are given."""
        return [each.what for each in self.asked if not names or each.what in names]

    def invent(self, what):
        number = len(self.issued) + 1
        return s3client.Credentials(f"ASIA{what.upper():0<8.8}{number:08d}", f"secret/{number:+}".ljust(40, "s"), f"token/{number:+}==")

    def credentials(self, what):
        """New ones, and when they run out."""
        with self.lock:
            found = self.issue(what)
            self.issued.append(found)
            self.known[found.key] = found.secret
        return found, text_of(now() + datetime.timedelta(seconds=self.lifetime_s))

    # ---- what is answered: (what, function that returns (status, headers, body) or raises Refused)

    def route(self, method, path):
        path = path.rstrip("/") or "/"
        if method == "PUT" and path == "/latest/api/token":
            return "token", self.imds_token
        if method == "GET" and path.startswith("/latest/"):
            return self.route_imds(path)
        if method == "GET" and path.startswith("/v2/credentials"):
            return "ecs", lambda headers, form: self.container("ecs")
        if method == "GET" and path == "/v1/credentials":
            return "eks", self.eks
        return "other", self.nothing

    def route_imds(self, path):
        roles = "/latest/meta-data/iam/security-credentials"
        texts = {roles: ("roles", self.role), "/latest/meta-data/placement/region": ("region", self.region),
                 "/latest/dynamic/instance-identity/document": ("region", json.dumps({"region": self.region}))}
        if path in texts:
            what, text = texts[path]
            return what, self.with_token(lambda: self.plain(text))
        if path.startswith(roles + "/"):
            return "role", self.with_token(lambda: self.imds_role(path[len(roles) + 1:]))
        return "other", self.with_token(lambda: self.nothing(None, None))

    def imds_token(self, headers, _):
        seconds = headers.get("x-aws-ec2-metadata-token-ttl-seconds", "")
        if "x-forwarded-for" in headers:
            raise Refused(403, "Forbidden", "this came through a proxy")
        if not seconds.isdigit() or int(seconds) not in TOKEN_SECONDS:
            raise Refused(400, "BadRequest", "no time to live")
        token = secrets.token_urlsafe(40) + "=="
        self.tokens[token] = now() + datetime.timedelta(seconds=int(seconds))
        return 200, {"x-aws-ec2-metadata-token-ttl-seconds": seconds}, token.encode()

    def with_token(self, answer):
        def checked(headers, _):
            token = headers.get("x-aws-ec2-metadata-token")
            if (token or not self.v1) and self.tokens.get(token, now()) <= now():
                raise Refused(401, "Unauthorized", "no token, or an old one")
            return answer()
        return checked

    def drop_tokens(self):
        """Every token of the metadata is refused from now on, as after a move of the instance."""
        self.tokens.clear()

    @staticmethod
    def plain(text):
        if text is None:
            raise Refused(404, "NotFound", "no role")
        return 200, {"Content-Type": "text/plain"}, text.encode()

    @staticmethod
    def nothing(*_):
        raise Refused(404, "NotFound", "nothing is there")

    def imds_role(self, role):
        if role != self.role:
            raise Refused(404, "NotFound", "no such role")
        return self.as_json("role", Code="Success", Type="AWS-HMAC", LastUpdated=text_of(now()))

    def container(self, what):
        return self.as_json(what, RoleArn="arn:aws:iam::123456789012:role/agent")

    def eks(self, headers, _):
        if headers.get("authorization") != self.eks_token:
            raise Refused(401, "AccessDenied", "another token than the pod's")
        return self.container("eks")

    def as_json(self, what, **more):
        found, until = self.credentials(what)
        fields = {**more, "AccessKeyId": found.key, "SecretAccessKey": found.secret, "Token": found.token, "Expiration": until}
        return 200, {"Content-Type": "application/json"}, json.dumps(fields).encode()

    def sts(self, method, target, headers, body, form):
        """AssumeRole, signed by somebody known, or AssumeRoleWithWebIdentity, with the right token."""
        action, seconds = form.get("Action", ""), form.get("DurationSeconds", "3600")
        if action == "AssumeRole":
            key = re.search("Credential=([^/]+)/", headers.get("authorization", ""))
            if not key or key.group(1) not in self.known:
                raise Refused(403, "InvalidClientTokenId", "The security token included in the request is invalid.")
            if not s3client.verify(method, target, headers, body, self.known[key.group(1)]):
                raise Refused(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")
        elif action == "AssumeRoleWithWebIdentity":
            if form.get("WebIdentityToken") != self.web_token:
                raise Refused(400, "InvalidIdentityToken", "The web identity token that was passed is <not> valid & never was.")
        else:
            raise Refused(400, "InvalidAction", "Could not find operation")
        if not re.fullmatch(r"arn:aws:iam::\d{12}:role/.+", form.get("RoleArn", "")) or not re.fullmatch(r"[\w+=,.@-]{2,64}", form.get("RoleSessionName", "")) \
                or not seconds.isdigit() or int(seconds) not in STS_SECONDS or form.get("Version") != "2011-06-15":
            raise Refused(400, "ValidationError", "RoleArn, RoleSessionName, DurationSeconds or Version")
        found, until = self.credentials(action)
        user = form["RoleArn"].replace(":iam:", ":sts:").replace(":role/", ":assumed-role/") + "/" + form["RoleSessionName"]
        return 200, {"Content-Type": "text/xml"}, xml_of(f"{action}Response", {f"{action}Result": {
            "AssumedRoleUser": {"AssumedRoleId": "AROA:" + form["RoleSessionName"], "Arn": user},
            "Credentials": {"AccessKeyId": found.key, "SecretAccessKey": found.secret, "SessionToken": found.token, "Expiration": until}},
            "ResponseMetadata": {"RequestId": "00000000-0000-0000-0000-000000000000"}})

    def answer(self, method, target, headers, body):
        """Notes what is asked; (status, headers, body) of the answer, None where there is to be none."""
        path = target.partition("?")[0]
        form = dict(urllib.parse.parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)) if method == "POST" else {}
        is_sts = method == "POST" and path == "/"
        what, function = (form.get("Action", "sts"), None) if is_sts else self.route(method, path)
        with self.lock:
            self.asked.append(Asked(what, method, target, headers, form))
            failures = self.failures[what] or self.failures["any"]
            failure = failures.pop(0) if failures else None
        try:
            if failure and failure.hang:
                self.over.wait()
                return None
            if failure and failure.body is not None:
                return failure.status, {}, failure.body
            if failure:
                raise Refused(failure.status, failure.code, "as the test wants it")
            return self.sts(method, target, headers, body, form) if is_sts else function(headers, form)
        except Refused as no:
            status, code, message = no.args
            if is_sts:
                return status, {"Content-Type": "text/xml"}, xml_of("ErrorResponse", {
                    "Error": {"Type": "Sender", "Code": code, "Message": message}, "RequestId": "00000000-0000-0000-0000-000000000000"})
            return status, {"Content-Type": "application/json"}, json.dumps({"code": code, "message": message}).encode()

    def handler(self):
        cloud = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_any(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                answer = cloud.answer(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, body = answer
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_POST = do_any

            def handle(self):
                with contextlib.suppress(ConnectionError):  # a client may leave when it likes
                    super().handle()

            def log_message(self, *_):
                pass

        return Handler

    def stop(self):
        self.over.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def xml_of(name, value, space=f' xmlns="{STS_NAME}"'):
    inner = b"".join(xml_of(each, inside, "") for each, inside in value.items()) if isinstance(value, dict) else xml.sax.saxutils.escape(value).encode()
    return f"<{name}{space}>".encode() + inner + f"</{name}>".encode()


def own_addresses():
    """Inside a network namespace of its own: loopback up, and all of 169.254.0.0/16 on it."""
    up, set_address, set_flags = 1, 0x8916, 0x8914  # IFF_UP, SIOCSIFADDR, SIOCSIFFLAGS
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, set_flags, struct.pack("16sh14x", b"lo", up))
        fcntl.ioctl(control, set_address, struct.pack("16sHH4s8x", b"lo:1", socket.AF_INET, 0, socket.inet_aton(IMDS)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("do", choices=["exec", "exec-inside"])
    parser.add_argument("kind", choices=["imds", "ecs", "eks", "web"])
    parser.add_argument("--real", action="store_true")
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()
    if args.do == "exec" and args.real:
        inside = ["unshare", "-n" if os.geteuid() == 0 else "-rn", sys.executable, os.path.abspath(__file__), "exec-inside", args.kind, "--real", "--"]
        os.execvp("unshare", inside + args.command)
    if args.real:
        own_addresses()
    with CloudEndpoints(real=args.real) as cloud:
        code = subprocess.run(args.command, env={**os.environ, **cloud.env(args.kind)}, check=False).returncode
        for asked in cloud.asked:
            print(json.dumps(asked._asdict()), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
