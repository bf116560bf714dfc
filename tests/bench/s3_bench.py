"""The workload `s3` of scripts/bench: transfers beside rclone, aws and s5cmd, and runs beside the dir store, all on one
server of its own that is gone at the end.

--disk=GIB (6): how much may be taken below TMPDIR. Large transfers go in rounds that fit, every client in turn in each;
the large object is as large as fits, and its line is not met when that is less than it asks for.
"""
import collections
import contextlib
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
import s3server  # noqa: E402

MIB, GIB = 1 << 20, 1 << 30
FILE_BYTES = 64 * MIB
AT_ONCE = 16  # requests under way of each peer that can be told
LIMIT_BYTES = 256 * MIB


def cost_of(bench, command, env, keep=None):
    """The cost of one command and what it waited for; other children, the server among them, live on. Its standard
    output goes to the list `keep`."""
    cost = bench.Cost()
    start = time.monotonic()
    with tempfile.TemporaryFile("w+") as out:
        child = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=out)
        _, status, usage = os.wait4(child.pid, 0)
        cost.wall = time.monotonic() - start
        child.returncode = cost.exit = os.waitstatus_to_exitcode(status)
        out.seek(0)
        said = out.read()
    cost.cpu = usage.ru_utime + usage.ru_stime
    cost.peak = usage.ru_maxrss / 1024
    if cost.exit:
        sys.exit(f"scripts/bench: {' '.join(command)} ended with {cost.exit}")
    if keep is not None:
        keep.append(said)
    return cost


# ---- clients: each has a bucket of its own, so that the gateway's log tells whose a request was

class Ours:
    name = "ours"

    def __init__(self, bench, server):
        self.program, self.store = os.path.join(bench.BUILD, "tests", "objects_bench"), server.store(self.name, "bench")
        self.made, self.said = {}, []

    def up(self, source, prefix):
        return [self.program, self.store, "up", source]

    def note(self, prefix, said):
        self.made[prefix], self.said = said.splitlines()[0].split(), said

    def down(self, prefix, target):
        return [self.program, self.store, "down", *self.made[prefix], target]


class Rclone:
    name = "rclone"

    def __init__(self, bench, server):
        self.command = ["rclone", "copy", "--transfers", str(AT_ONCE), "--checkers", str(AT_ONCE)]

    def up(self, source, prefix):
        return [*self.command, source, f"peer:{self.name}/{prefix}"]

    def down(self, prefix, target):
        return [*self.command, f"peer:{self.name}/{prefix}", target]


class Aws:
    name = "aws"

    def __init__(self, bench, server):
        self.command = ["aws", "--endpoint-url", server.endpoint, "s3", "cp", "--recursive", "--only-show-errors"]

    def up(self, source, prefix):
        return [*self.command, source, f"s3://{self.name}/{prefix}"]

    def down(self, prefix, target):
        return [*self.command, f"s3://{self.name}/{prefix}", target]


class S5cmd:
    name = "s5cmd"

    def __init__(self, bench, server):
        self.command = ["s5cmd", "--endpoint-url", server.endpoint, "cp"]

    def up(self, source, prefix):
        return [*self.command, source + "/", f"s3://{self.name}/{prefix}/"]

    def down(self, prefix, target):
        return [*self.command, f"s3://{self.name}/{prefix}/*", target + "/"]


PEERS = (Rclone, Aws, S5cmd)


class Stage:
    """A server with the clients that are on this machine, and their environment; `ours` is the first of them."""

    def __init__(self, bench, scratch, gib):
        self.bench = bench
        self.server = s3server.Server(store="bluestore", size_gib=gib)
        try:
            self.clients = [kind(bench, self.server) for kind in (Ours, *PEERS) if kind is Ours or shutil.which(kind.name)]
            for client in self.clients:
                self.server.bucket(client.name)
            aws = os.path.join(scratch, "aws.conf")
            with open(aws, "w", encoding="utf-8") as file:
                file.write(f"[default]\ns3 =\n  max_concurrent_requests = {AT_ONCE}\n")
            bare = {name: value for name, value in os.environ.items() if not name.startswith("AWS_") and not name.lower().endswith("_proxy")}
            self.env = dict(bare, **self.server.env(bucket="ours"), HOME=scratch, RCLONE_CONFIG="", AWS_CONFIG_FILE=aws,
                            AWS_REQUEST_CHECKSUM_CALCULATION="when_required", RCLONE_CONFIG_PEER_TYPE="s3",
                            RCLONE_CONFIG_PEER_PROVIDER="Ceph", RCLONE_CONFIG_PEER_ENV_AUTH="true",
                            RCLONE_CONFIG_PEER_ENDPOINT=self.server.endpoint, RCLONE_CONFIG_PEER_REGION=s3server.REGION)
        except BaseException:
            self.server.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.stop()

    @property
    def ours(self):
        return self.clients[0]

    def seen(self, bucket):
        """How many requests of each method the gateway has answered for a bucket."""
        return collections.Counter(method for _, method, target, _ in self.server.requests() if re.match(rf"/{bucket}(/|\?|$)", target))

    def up(self, client, source, prefix, wrap=()):
        said, before = [], self.seen(client.name)
        cost = cost_of(self.bench, [*wrap, *client.up(source, prefix)], self.env, said)
        cost.requests = self.seen(client.name) - before
        if client is self.ours:
            client.note(prefix, said[0])
        return cost

    def down(self, client, prefix, target, wrap=()):
        if client is not self.ours:
            os.mkdir(target)
        return cost_of(self.bench, [*wrap, *client.down(prefix, target)], self.env)


# ---- transfers

def write_random(folder, count, size):
    os.makedirs(folder)
    for i in range(count):
        with open(f"{folder}/{i}", "wb") as file:
            for at in range(0, size, MIB):
                file.write(os.urandom(min(MIB, size - at)))


def same(bench, a, b):
    if subprocess.run(["diff", "-r", a, b], check=False).returncode:
        sys.exit(f"scripts/bench: {b} is not what {a} is")


def bench_large(bench, scratch, disk_gib):
    files = bench.scaled(64)
    fit = int(disk_gib * GIB / FILE_BYTES / (len(PEERS) + 3))  # a source, what each client puts, what one gets
    rounds = max(2, math.ceil(files / max(1, fit)))
    each = math.ceil(files / rounds)
    costs = collections.defaultdict(lambda: collections.defaultdict(bench.Cost))  # way -> client -> sum
    for turn in range(rounds):
        folder = f"{scratch}/round"
        write_random(folder + "/source", each, FILE_BYTES)
        with Stage(bench, scratch, disk_gib) as stage:
            names = [client.name for client in stage.clients]
            at = turn % len(stage.clients)
            for client in stage.clients[at:] + stage.clients[:at]:
                cost = {"up": stage.up(client, folder + "/source", "large"), "down": stage.down(client, "large", folder + "/got")}
                same(bench, folder + "/source", folder + "/got")
                shutil.rmtree(folder + "/got")
                for way, one in cost.items():
                    costs[way][client.name].wall += one.wall
                    costs[way][client.name].cpu += one.cpu
        shutil.rmtree(folder)
    gib = rounds * each * FILE_BYTES / GIB
    for way, of in costs.items():
        ours = of.pop("ours")
        what = f"{way}load of {gib:.2f} GiB in files of 64 MiB, in {rounds} rounds, hashing included"
        if not of:
            print(f"s3        {what}: no peer is installed ({', '.join(names)})")
            continue
        for unit, limit, mine, theirs in (
                ("s wall", 1, ours.wall, {name: cost.wall for name, cost in of.items()}),
                ("s CPU a GiB", 0.35, ours.cpu / gib, {name: cost.cpu / gib for name, cost in of.items()})):
            ratio = mine / min(theirs.values())
            others = ", ".join(f"{name} {value:.2f}" for name, value in theirs.items())
            bench.report("s3", what, f"{mine:.2f} {unit} beside {others}: {ratio:.2f} x the best", f"at most {limit} x", ratio <= limit)


def bench_small(bench, scratch, stage):
    files, folder = bench.scaled(20000), f"{scratch}/small"
    for i in range(0, files, 500):
        write_random(f"{folder}/{i}", min(500, files - i), 4096)
    costs = {client.name: stage.up(client, folder, "small") for client in stage.clients}
    ours, what = costs.pop("ours"), f"{files} files of 4 KiB as one output"
    requests = sum(ours.requests.values())
    if costs:
        fewest, fastest = min(sum(c.requests.values()) for c in costs.values()), min(c.wall for c in costs.values())
        bench.report("s3", what, f"{requests} requests beside " + ", ".join(f"{name} {sum(c.requests.values())}" for name, c in costs.items()),
                     "at least 20 x fewer than the best", requests * 20 <= fewest)
        bench.report("s3", what, f"{ours.wall:.2f} s beside " + ", ".join(f"{name} {c.wall:.2f}" for name, c in costs.items()) +
                     f": {fastest / ours.wall:.1f} x less", "at least 10 x less than the best", ours.wall * 10 <= fastest)
    again = stage.up(stage.ours, folder, "small")
    sent = int(re.search(r"sent (\d+) bytes", stage.ours.said).group(1))
    requests = sum(again.requests.values())
    bench.report("s3", "the same output again", f"{requests} requests, {sent} bytes of bodies, {again.wall:.2f} s", "under 50 requests, no bytes",
                 requests < 50 and sent == 0 and not again.requests["PUT"] and not again.requests["POST"])
    stage.down(stage.ours, "small", f"{scratch}/got")
    same(bench, folder, f"{scratch}/got")
    shutil.rmtree(folder)
    shutil.rmtree(f"{scratch}/got")


@contextlib.contextmanager
def memory_limit():
    """The beginning of a command that limits the memory of the rest of it; None where no control group can be made."""
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        own = {controllers: path for _, controllers, path in (line.strip().split(":", 2) for line in file)}
    group = "/sys/fs/cgroup/memory" + own.get("memory", "") + f"/stepcache-bench-{os.getpid()}"
    if "memory" in own and os.access(os.path.dirname(group), os.W_OK):
        os.mkdir(group)
        try:
            for name, value in (("limit_in_bytes", LIMIT_BYTES), ("swappiness", 0)):
                with open(f"{group}/memory.{name}", "w", encoding="utf-8") as file:
                    file.write(str(value))
            yield ["sh", "-c", f"echo $$ >{group}/cgroup.procs && exec \"$@\"", "limited"]
        finally:
            os.rmdir(group)
    elif shutil.which("systemd-run") and os.path.isdir("/run/systemd/system"):
        yield ["systemd-run", "--scope", "--quiet", *([] if os.geteuid() == 0 else ["--user"]), "-p", f"MemoryMax={LIMIT_BYTES}", "-p", "MemorySwapMax=0"]
    else:
        yield None


def bench_object(bench, scratch, stage, disk_gib):
    wanted = (800 if bench.QUICK else 8192) * MIB
    size = min(wanted, int(disk_gib * GIB / 2.2) // MIB * MIB)  # on the server, and got again
    source = f"{scratch}/object"
    with open(source, "wb") as file:  # sparse, with another block in each MiB
        for at in range(0, size, MIB):
            file.seek(at)
            file.write(at.to_bytes(8, "big"))
        file.truncate(size)
    with memory_limit() as wrap:
        if wrap is None:
            bench.report("s3", "a large object through 256 MiB of memory", "no control group can be made here", "run", False)
            return
        up = stage.up(stage.ours, source, "object", wrap)
        os.unlink(source)
        down = stage.down(stage.ours, "object", f"{scratch}/got", wrap)  # checks the digest itself
        whole = os.path.getsize(f"{scratch}/got") == size
    os.unlink(f"{scratch}/got")
    bench.report("s3", f"an object of {size / MIB:.0f} MiB through 256 MiB of memory, limited by a control group",
                 f"up in {up.wall:.1f} s with {up.peak:.0f} MiB, down in {down.wall:.1f} s with {down.peak:.0f} MiB", f"{wanted / MIB:.0f} MiB, whole",
                 whole and size == wanted)


# ---- runs

class Team:
    """A place with a store; what of a coordinator and an agent lies in it stays when they end."""

    def __init__(self, bench, stage, place, prefix):
        self.bench, self.stage, self.place = bench, stage, place
        self.store = stage.server.store("ours", prefix) if prefix else place.dir + "/store"
        place.env.update(stage.server.env(bucket="ours"))

    def run(self, document):
        """Starts both anew; the cost of one run, and the requests from the start on."""
        before = self.stage.seen("ours")
        with self.bench.started(self.place, self.store, f"cpus: {self.bench.CORES}\n") as (env, _):
            cost = cost_of(self.bench, [self.bench.STEPCTL, "submit", "--watch", "--quiet", document], env)
        cost.requests = self.stage.seen("ours") - before
        return cost


def bench_hits(bench, stage):
    layers, width = 100, bench.scaled(100)
    with contextlib.ExitStack() as stack:
        places = [stack.enter_context(bench.Place()) for _ in range(4)]
        document = places[0].write("pipeline.yaml", bench.dag(layers, width))
        Team(bench, stage, places[0], "hits").run(document)
        empty, warm = [], []
        for place in places[1:]:
            team = Team(bench, stage, place, "hits")
            empty.append(team.run(document))
            warm.append(team.run(document))
    wall, requests = (bench.median([of(a) - of(b) for a, b in zip(empty, warm)]) for of in (lambda c: c.wall, lambda c: sum(c.requests.values())))
    bench.report("s3", f"{layers * width} steps in {layers} layers, all hits, on an empty coordinator",
                 f"{bench.median([c.wall for c in empty]):.2f} s and {bench.median([sum(c.requests.values()) for c in empty])} requests: {wall:.2f} s and "
                 f"{requests} requests beyond a warm index", "at most 20 requests and 1 s beyond", requests <= 20 and wall <= 1)


def bench_misses(bench, stage):
    steps = bench.scaled(1000)
    lines = ["stepcache: 1", "name: flat", "steps:"] + [f"  s{i}: {{run: 'echo {i} > \"${{outputs.o}}\"', outputs: {{o: o}}}}" for i in range(steps)]
    said = []
    cost_of(bench, [os.path.join(bench.BUILD, "tests", "store_bench"), stage.server.store("ours", "rate"), "small", str(steps), "200"], stage.env, said)
    rate = bench.figures(said[0], r"put .*? s, (\d+)/s")[0]
    ours, folder = [], []
    with contextlib.ExitStack() as stack:
        for turn in range(3):
            for prefix, costs in ((f"misses-{turn}", ours), (None, folder)):
                place = stack.enter_context(bench.Place())
                costs.append(Team(bench, stage, place, prefix).run(place.write("pipeline.yaml", "\n".join(lines) + "\n")))
    requests = bench.median([sum(c.requests.values()) for c in ours])
    what = f"{steps} missed steps with a small output each, {bench.CORES} slots"
    bench.report("s3", what, f"{requests} requests ({', '.join(f'{method} {count}' for method, count in sorted(ours[-1].requests.items()))} in the last)",
                 f"at most {6 * steps}", requests <= 6 * steps)
    wall, dir_wall = bench.median([c.wall for c in ours]), bench.median([c.wall for c in folder])
    puts = bench.median([c.requests["PUT"] + c.requests["POST"] for c in ours])
    limit = 1.5 * dir_wall + puts / rate
    bench.report("s3", what, f"{wall:.2f} s beside the dir store's {dir_wall:.2f} s; {puts} puts at the server's {rate:.0f}/s cost {puts / rate:.2f} s",
                 f"at most 1.5 x and that ({limit:.2f} s)", wall <= limit)


def run(bench, disk_gib):
    missing = [name for name in ("ceph-mon", "ceph-osd", "radosgw") if not shutil.which(name)]
    if missing:
        print(f"s3        not run: {', '.join(missing)} not installed; scripts/deps test installs them")
        return
    with tempfile.TemporaryDirectory(prefix="stepcache-bench-s3-") as scratch:
        bench_large(bench, scratch, disk_gib)
        with Stage(bench, scratch, disk_gib) as stage:
            bench_small(bench, scratch, stage)
            bench_hits(bench, stage)
            bench_misses(bench, stage)
        with Stage(bench, scratch, max(disk_gib, 2)) as stage:  # another one: what the last has, it keeps
            bench_object(bench, scratch, stage, disk_gib)
