"""HTTP/1.1 as a proxy sees it: heads that are passed on byte for byte, bodies in pieces, and what an S3 request is.

A Wire is one end of a connection; blocking, one thread. Nothing here knows of faults.
"""
import re
import socket
import struct
import urllib.parse

import side

BLOCK = 256 << 10  # bytes a read of a body
HEAD_MAX = 64 << 10
AREA = re.compile(r"(?:^|/)v1/[^/]+/(cas|tree|pack|key|seg|void|run|out|gc)(?:/|$)")  # docs/FORMATS: the store's folders
ACCESS_KEY = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/")
# What a request without a body on the object itself is called, by its method.
OBJECT = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
BUCKET = {"GET": "ListObjects", "HEAD": "HeadBucket", "PUT": "CreateBucket", "DELETE": "DeleteBucket"}
UPLOAD = {"GET": "ListParts", "PUT": "UploadPart", "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload"}


class Ended(Exception):
    """The other side closed the connection in the middle of something."""


class Head:
    """A request line or a status line with its fields, and its bytes as they came."""

    def __init__(self, raw):
        self.raw = raw
        lines = raw[:-4].split(b"\r\n")
        self.first = lines[0].decode("latin-1").split(" ", 2)
        self.fields = {}
        for line in lines[1:]:
            name, _, value = line.decode("latin-1").partition(":")
            self.fields[name.lower()] = value.strip()

    def get(self, name):
        return self.fields.get(name, "")

    @property
    def status(self):
        return int(self.first[1])

    @property
    def chunked(self):
        return self.get("transfer-encoding").lower() == "chunked"

    @property
    def length(self):
        """Bytes of the body, None where only its end will tell."""
        return None if self.chunked else int(self.get("content-length") or 0)

    @property
    def closes(self):
        return self.get("connection").lower() == "close" or "HTTP/1.0" in self.first


class Wire:
    def __init__(self, sock):
        self.sock, self.rest, self.block = sock, b"", memoryview(bytearray(BLOCK))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _more(self):
        data = self.sock.recv(BLOCK)
        if not data:
            raise Ended
        self.rest += data

    def _until(self, mark):
        while mark not in self.rest:
            if len(self.rest) > HEAD_MAX:
                raise Ended
            self._more()
        at = self.rest.index(mark) + len(mark)
        found, self.rest = self.rest[:at], self.rest[at:]
        return found

    def head(self):
        """The next head; None if the other side has closed in good order."""
        if not self.rest:
            try:
                self._more()
            except Ended:
                return None
        return Head(self._until(b"\r\n\r\n"))

    def _counted(self, left):
        """So many bytes, in pieces; a piece is valid until the next."""
        while left:
            if self.rest:
                piece, self.rest = self.rest[:left], self.rest[left:]
                piece = memoryview(piece)
            else:
                size = self.sock.recv_into(self.block[:min(left, BLOCK)])
                if not size:
                    raise Ended
                piece = self.block[:size]
            left -= len(piece)
            yield piece

    def body(self, head):
        """The body's bytes in pieces, without their framing."""
        if not head.chunked:
            yield from self._counted(head.length)
            return
        while size := int(self._until(b"\r\n").split(b";")[0], 16):
            yield from self._counted(size)
            self._until(b"\r\n")
        while self._until(b"\r\n") != b"\r\n":  # trailers
            pass

    def send(self, data):
        self.sock.sendall(data)

    def send_piece(self, head, piece):
        """A piece of a body, in the framing that the head announces."""
        if head.chunked:
            self.sock.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        else:
            self.sock.sendall(piece)

    def send_end(self, head):
        if head.chunked:
            self.sock.sendall(b"0\r\n\r\n")

    def stale(self):
        """Whether a kept connection was closed, or says something that nobody asked."""
        return bool(side.readable([self.sock], 0))

    def reset(self):
        """Ends the connection with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()


def describe(head):
    """What an S3 request is: {method, target, op, area, key, region, signed_at, range}. `op` is S3's name of the
    operation, and PutIfAbsent for a PutObject under If-None-Match; `area` the folder of the store that it is about."""
    method, target = head.first[:2]
    path, _, text = target.partition("?")
    query = dict(urllib.parse.parse_qsl(text, keep_blank_values=True))
    host = head.get("host").rpartition(":")[0] or head.get("host")
    if host.endswith(".localhost") or ".s3." in host:  # virtual-host style
        path = "/" + host.split(".")[0] + path
    _, _, name = path[1:].partition("/")
    found = AREA.search(urllib.parse.unquote(name) if name else query.get("prefix", ""))
    signer = ACCESS_KEY.search(head.get("authorization"))
    return {"method": method, "target": target, "op": operation(method, path, name, query, head), "area": found.group(1) if found else "",
            "key": signer.group(1) if signer else "", "region": signer.group(2) if signer else "", "signed_at": head.get("x-amz-date"),
            "range": head.get("range")}


def operation(method, path, name, query, head):
    if path == "/":
        return "ListBuckets" if method == "GET" else "Service"
    copies = bool(head.get("x-amz-copy-source"))
    if not name:
        if query.get("list-type") == "2":
            return "ListObjectsV2"
        for mark, op in (("delete", "DeleteObjects"), ("uploads", "ListMultipartUploads"), ("versions", "ListObjectVersions")):
            if mark in query:
                return op
        settings = set(query) & {"policy", "versioning", "location", "lifecycle", "acl", "tagging", "object-lock", "encryption"}
        return "Bucket:" + settings.pop() if settings else BUCKET.get(method, "Bucket")
    if "uploadId" in query:
        return "UploadPartCopy" if copies else UPLOAD.get(method, "Upload")
    if method == "POST":
        return "CreateMultipartUpload" if "uploads" in query else "PostObject"
    if method == "PUT" and head.get("if-none-match"):
        return "PutIfAbsent"
    return "CopyObject" if copies else OBJECT.get(method, "Object")


def identity(head):
    """What stays the same when a request is made again, in this run or another: method, path and query without the
    names that the server has given."""
    path, _, text = head.first[1].partition("?")
    query = [pair for pair in text.split("&") if not pair.startswith(("uploadId=", "continuation-token=", "X-Amz-"))]
    return f"{head.first[0]} {path}?{'&'.join(sorted(query))}"
