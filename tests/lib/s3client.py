"""A small S3 client of the tests' own: SigV4 from its description, http.client as transport, the standard library only.

It shares no line with the store's client, so that the two can bear witness for each other. One Client is one set of
credentials at one endpoint; each call is one request on the thread's own kept connection, never tried again: what the
server or a proxy did to it is what the caller sees.
"""
import datetime
import hashlib
import hmac
import http.client
import re
import ssl
import threading
import urllib.parse
from typing import NamedTuple

import side

EMPTY = hashlib.sha256(b"").hexdigest()


class Credentials(NamedTuple):
    key: str
    secret: str
    token: str | None = None


class Answer(NamedTuple):
    status: int
    headers: dict  # names in small letters
    body: bytes

    @property
    def code(self):
        """S3's code of an error, "" if there is none."""
        return self.field("Code")

    def field(self, name):
        """The text of the first XML element of that name."""
        found = re.search(rf"<{name}>([^<]*)</{name}>".encode(), self.body)
        return found.group(1).decode() if found else ""


def quote(text, safe=""):
    return urllib.parse.quote(text, safe=safe + "-._~")


def canonical_query(query):
    """A query as it is signed and sent: encoded, sorted, each name with its "="."""
    pairs = query.items() if isinstance(query, dict) else query
    return "&".join("=".join(pair) for pair in sorted((quote(str(name)), quote(str(value))) for name, value in pairs))


def signature(method, path, query, headers, signed, payload, secret, scope):
    """The SigV4 signature of a request. `path` and `query` as they are sent (the query sorted), `headers` by small
    names, `signed` the names of those that count, `scope` DATE/REGION/SERVICE/aws4_request."""
    lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in signed)
    request = "\n".join((method, path, query, lines, ";".join(signed), payload))
    text = "\n".join(("AWS4-HMAC-SHA256", headers["x-amz-date"], scope, hashlib.sha256(request.encode()).hexdigest()))
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def sign(method, path, query, headers, payload, credentials, region, service="s3", when=None):
    """Puts the headers of a SigV4 signature into `headers`, which must hold the host already."""
    when = when or datetime.datetime.now(datetime.timezone.utc)
    headers["x-amz-date"] = when.strftime("%Y%m%dT%H%M%SZ")
    headers["x-amz-content-sha256"] = payload
    if credentials.token:
        headers["x-amz-security-token"] = credentials.token
    scope = f"{when:%Y%m%d}/{region}/{service}/aws4_request"
    signed = sorted(headers)
    found = signature(method, path, query, headers, signed, payload, credentials.secret, scope)
    headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={credentials.key}/{scope}, "
                                f"SignedHeaders={';'.join(signed)}, Signature={found}")


def verify(method, target, headers, body, secret):
    """Whether a request as it came in (`headers` by small names) is signed with this secret."""
    found = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=[^/]+/([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})",
                         headers.get("authorization", ""))
    if not found or "host" not in (signed := found.group(2).split(";")) or not set(signed) <= set(headers):
        return False
    path, _, query = target.partition("?")
    query = "&".join(sorted(part if "=" in part else part + "=" for part in query.split("&"))) if query else ""
    payload = hashlib.sha256(body).hexdigest()
    return hmac.compare_digest(found.group(3), signature(method, path, query, headers, signed, payload, secret, found.group(1)))


class Client:
    """Requests with one set of credentials (None: unsigned) to one endpoint."""

    def __init__(self, endpoint, credentials=None, region="us-east-1", ca=None, timeout=60):
        self.url = urllib.parse.urlsplit(endpoint)
        self.credentials, self.region, self.ca, self.timeout = credentials, region, ca, timeout
        self.kept, self.connections = threading.local(), []

    def connect(self):
        """This thread's connection, which is http.client's to open; another if the server has closed it meanwhile."""
        kept = getattr(self.kept, "connection", None)
        if kept and kept.sock and side.readable([kept.sock], 0):
            self.close()
        if not getattr(self.kept, "connection", None):
            kind = http.client.HTTPConnection
            options = {"timeout": self.timeout}
            if self.url.scheme == "https":
                kind, options["context"] = http.client.HTTPSConnection, ssl.create_default_context(cafile=self.ca)
            self.kept.connection = kind(self.url.hostname, self.url.port, **options)
            self.connections.append(self.kept.connection)
        return self.kept.connection

    def send(self, method, path, query=(), body=b"", headers=None, service="s3", when=None):
        """Sends a request; returns the http.client response, its body still to be read."""
        headers = {name.lower(): str(value) for name, value in (headers or {}).items()}
        headers.setdefault("host", self.url.netloc)
        path, query = quote(path, "/"), canonical_query(query)
        if self.credentials:
            sign(method, path, query, headers, hashlib.sha256(body).hexdigest() if body else EMPTY, self.credentials, self.region,
                 service, when)
        connection = self.connect()
        try:
            connection.request(method, path + ("?" + query if query else ""), body or None, headers)
            return connection.getresponse()
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def call(self, method, path, query=(), body=b"", headers=None, **options):
        """One request and its whole answer, whatever its status."""
        answer = self.send(method, path, query, body, headers, **options)
        try:
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def close(self):
        """Drops this thread's connection."""
        if getattr(self.kept, "connection", None):
            self.kept.connection.close()
            self.connections.remove(self.kept.connection)
            self.kept.connection = None

    def __del__(self):
        for connection in self.connections:
            connection.close()

    def get(self, path, **headers):
        return self.call("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def head(self, path):
        return self.call("HEAD", path)

    def put(self, path, body=b"", **headers):
        return self.call("PUT", path, body=body, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def delete(self, path):
        return self.call("DELETE", path)
