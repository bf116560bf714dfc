#!/usr/bin/env python3
"""treecheck.py FOLDER: the root digest of a folder on disk, recomputed from docs/FORMATS with nothing but the standard library.

A witness of its own: it shares no code with Stepcache, so that a mistake of the one is not a mistake of the other.
  node    ["dir/1", [[name, kind, ref, bytes] ...]], MessagePack in its shortest forms, entries sorted by name bytes
  kind    "f" file, "x" file with the owner's x bit, "d" folder, "l" link
  ref     the 32 bytes of a SHA-256 as bin, or a link's target as bin
  bytes   a file's size, 0 for folders and links
With --list, also each file's path and digest, as sha256sum prints them.
"""
import hashlib
import os
import stat
import sys


def uint(value):
    if value < 0x80:
        return bytes([value])
    for lead, size in ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)):
        if value < 1 << 8 * size:
            return bytes([lead]) + value.to_bytes(size, "big")
    raise ValueError(value)


def text(value):
    assert len(value) < 32
    return bytes([0xA0 | len(value)]) + value


def binary(value):
    for lead, size in ((0xC4, 1), (0xC5, 2), (0xC6, 4)):
        if len(value) < 1 << 8 * size:
            return bytes([lead]) + len(value).to_bytes(size, "big") + value
    raise ValueError(len(value))


def array(count):
    if count < 16:
        return bytes([0x90 | count])
    if count < 1 << 16:
        return b"\xdc" + count.to_bytes(2, "big")
    return b"\xdd" + count.to_bytes(4, "big")


def file_digest(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.digest()


def folder_digest(path, listing):
    names = sorted(os.listdir(path))
    node = array(2) + text(b"dir/1") + array(len(names))
    for name in names:
        below = os.path.join(path, name)
        st = os.lstat(below)
        size = 0
        if stat.S_ISREG(st.st_mode):
            kind, size, ref = b"x" if st.st_mode & stat.S_IXUSR else b"f", st.st_size, file_digest(below)
            listing.append((below, ref))
        elif stat.S_ISDIR(st.st_mode):
            kind, ref = b"d", folder_digest(below, listing)
        elif stat.S_ISLNK(st.st_mode):
            kind, ref = b"l", os.readlink(below)
        else:
            raise SystemExit(f"{below!r}: not a file, folder or link")
        node += array(4) + binary(name) + text(kind) + binary(ref) + uint(size)
    return hashlib.sha256(node).digest()


def main():
    arguments = [a for a in sys.argv[1:] if a != "--list"]
    if len(arguments) != 1:
        raise SystemExit(__doc__)
    root = os.fsencode(arguments[0])
    listing = []
    digest = folder_digest(root, listing)
    if "--list" in sys.argv:
        for path, ref in listing:
            sys.stdout.buffer.write(ref.hex().encode() + b"  " + os.path.relpath(path, root) + b"\n")
    sys.stdout.buffer.write(digest.hex().encode() + b"\n")


if __name__ == "__main__":
    main()
