#!/usr/bin/env python3
"""The step key, computed a second time, from its description in docs/FORMATS alone.

    keycheck.py check FILE.json …    recompute the encoding and the key of each case and compare
    keycheck.py write FILE.json …    put the computed encoding and key into each case

A case is a JSON object: "step" (what the plan says), "instance" (the values of its matrix), "inputs" (what each input
is), "environment" (what an agent told), "encoding" and "key" in hex. Nothing but the standard library is used.
"""
import hashlib
import json
import sys

LONGEST_SHOWN = 4096  # digits of an encoding that stand in a case; a longer one is pinned by its key

def pack(value):
    """Canonical MessagePack: the shortest form of each value."""
    if value is None:
        return b"\xc0"
    if value is True:
        return b"\xc3"
    if value is False:
        return b"\xc2"
    if isinstance(value, int):
        if value < 0:
            raise ValueError("no key holds a negative number")
        if value < 0x80:
            return bytes([value])
        for head, size in ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)):
            if value < 1 << (8 * size):
                return bytes([head]) + value.to_bytes(size, "big")
        raise ValueError("more than 64 bits")
    if isinstance(value, str):
        data = value.encode("utf-8")
        if len(data) < 32:
            return bytes([0xA0 | len(data)]) + data
        return sized(data, ((0xD9, 1), (0xDA, 2), (0xDB, 4)))
    if isinstance(value, bytes):
        return sized(value, ((0xC4, 1), (0xC5, 2), (0xC6, 4)))
    if isinstance(value, (list, tuple)):
        count = len(value)
        if count < 16:
            head = bytes([0x90 | count])
        elif count < 0x10000:
            head = b"\xdc" + count.to_bytes(2, "big")
        else:
            head = b"\xdd" + count.to_bytes(4, "big")
        return head + b"".join(pack(item) for item in value)
    raise TypeError(f"no key holds {type(value)}")


def sized(data, forms):
    for head, size in forms:
        if len(data) < 1 << (8 * size):
            return bytes([head]) + len(data).to_bytes(size, "big") + data
    raise ValueError("too long")


def encode(fields):
    """The bytes that are hashed, from {label: value}."""
    labels = sorted(fields, key=lambda label: label.encode("utf-8"))
    return pack(["stepcache.key/1", [[label, fields[label]] for label in labels]])


def key_of(fields):
    return hashlib.sha256(encode(fields)).hexdigest()


def word(segments, instance, script):
    """[segments]: neighbouring texts are one, empty ones none."""
    out = []
    for segment in segments:
        (kind, text), = segment.items()
        if kind == "repeat":
            kind, text = "text", text[0] * text[1]
        if kind == "matrix":
            kind, text = ("value" if script else "text"), instance[text]
        if kind == "value":
            out.append(["v", text])
        elif kind != "text":
            out.append([kind, text])
        elif out and isinstance(out[-1], str):
            out[-1] += text
        elif text:
            out.append(text)
    return out


def artifact(what):
    if "file" in what:
        return ["file", bytes.fromhex(what["file"]), what.get("exec", False), what.get("ext", "")]
    if "dir" in what:
        return ["dir", bytes.fromhex(what["dir"])]
    if "version" in what:
        return ["version", *what["version"]]
    if "versions" in what:
        bucket, prefix, digest, *server = what["versions"]
        return ["versions", bucket, prefix, bytes.fromhex(digest), *server]
    return ["value", what["value"]]


def fields_of(case):
    step, instance = case["step"], case.get("instance", {})
    ignored = set(step.get("ignored", []))
    script = step.get("script", False)
    words = [word(segments, instance, script) for segments in step["command"]]
    fields = {"command": [("sh" if script else "argv")] + words}
    if "code" in step:
        fields["code"] = bytes.fromhex(step["code"])
    for name, segments in step.get("env", {}).items():
        if f"env.{name}" not in ignored:
            fields[f"env.{name}"] = word(segments, instance, False)
    for name, what in case.get("inputs", {}).items():
        if f"inputs.{name}" in ignored:
            continue
        fields[f"input.{name}"] = artifact(what)
        if what.get("metadata"):
            fields[f"input.{name}.metadata"] = what["metadata"]
    for name, path in step.get("outputs", {}).items():
        fields[f"output.{name}"] = [path.rstrip("/"), "dir" if path.endswith("/") else "file"]
    for name, (output, pointer) in step.get("values", {}).items():
        fields[f"value.{name}"] = [output, pointer]
    for part, value in case.get("environment", {}).items():
        if f"environment.{part}" not in ignored:
            fields[f"environment.{part}"] = value
    if step.get("salt"):
        fields["salt"] = step["salt"]
    if ignored:
        fields["ignored"] = sorted(ignored, key=lambda name: name.encode("utf-8"))
    for name, amount in step.get("resources", {}).items():
        fields[f"resources.{name}"] = amount
    return fields


def main(arguments):
    if len(arguments) < 2 or arguments[0] not in ("check", "write"):
        print(__doc__, file=sys.stderr)
        return 2
    wrong = 0
    for path in arguments[1:]:
        with open(path, encoding="utf-8") as file:
            case = json.load(file)
        fields = fields_of(case)
        computed = {"encoding": encode(fields).hex(), "key": key_of(fields)}
        if arguments[0] == "write":
            case.update(computed)
            if len(case["encoding"]) > LONGEST_SHOWN:
                del case["encoding"]
            with open(path, "w", encoding="utf-8") as file:
                json.dump(case, file, indent=1, ensure_ascii=False)
                file.write("\n")
        elif any(case.get(name, computed["encoding"]) != computed[name] for name in computed):
            wrong += 1
            print(f"{path}: computed {computed['key']}, the file says {case.get('key')}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
