#include "agent/shell/python_probe.h"

#include "base/memory.h"
#include "base/os/child.h"

#include <jansson.h>
#include <sys/wait.h>

enum { OUTPUT_BYTES = 16 << 20 };

// A distribution that stands in two folders of sys.path counts as the first, which is the one that is imported.
// Watched is what could be on sys.path, whether it is there or not: `site` drops folders that do not exist yet.
// A line of a .pth that is code, and a customize module, may compute a path from files that nobody knows of. Believed are
// those of the system, and what setuptools and virtualenv write everywhere, which put nothing on sys.path.
static const char script[] =
    "SHIM = r\"\"\"import _virtualenv$|import os; var = 'SETUPTOOLS_USE_DISTUTILS'; enabled = "
    "os\\.environ\\.get\\(var, '\\w+'\\) == 'local'; enabled and "
    "__import__\\('_distutils_hack'\\)(\\.add_shim\\(\\))?;?$\"\"\"\n"
    "NAMESPACE = (r'import sys, types, os;has_mfs = sys\\.version_info > \\(3, 5\\);p = "
    "os\\.path\\.join\\(sys\\._getframe\\(1\\)\\.f_locals\\[X\\], Y\\);'\n"
    "    r'importlib = has_mfs and __import__\\(X\\);has_mfs and __import__\\(X\\);'\n"
    "    r'm = has_mfs and sys\\.modules\\.setdefault\\(X, "
    "importlib\\.util\\.module_from_spec\\(importlib\\.machinery\\.PathFinder\\.find_spec\\(X, "
    "\\[os\\.path\\.dirname\\(p\\)\\]\\)\\)\\);'\n"
    "    r'm = m or sys\\.modules\\.setdefault\\(X, types\\.ModuleType\\(X\\)\\);mp = \\(m or \\[\\]\\) and "
    "m\\.__dict__\\.setdefault\\(X,\\[\\]\\);\\(p not in mp\\) and mp\\.append\\(p\\)(;m and "
    "setattr\\(sys\\.modules\\[X\\], X, m\\))?$')\n"
    "import importlib.util, json, os, re, site, sys\n"
    "found, watch, loose, whole = {}, set(), set(), True\n"
    "def add(name, version, path):\n"
    "    if path:\n"
    "        watch.add(path)\n"
    "        for f in ('METADATA', 'PKG-INFO'):\n"
    "            if os.path.exists(os.path.join(path, f)): watch.add(os.path.join(path, f))\n"
    "    if name and version: found.setdefault(re.sub(r'[-_.]+', '-', str(name)).lower(), str(version))\n"
    "try:\n"
    "    from importlib.metadata import distributions\n"
    "except ImportError:\n"
    "    distributions = None\n"
    "if distributions:\n"
    "    for d in distributions():\n"
    "        path = getattr(d, '_path', None)\n"
    "        add(d.metadata['Name'], d.version, str(path) if path else None)\n"
    "else:\n"
    "    for p in sys.path:\n"
    "        for n in sorted(os.listdir(p)) if os.path.isdir(p) else []:\n"
    "            m = re.match(r'(.+?)-([^-]+)(-py[^-]*)?\\.(dist|egg)-info$', n)\n"
    "            if m: add(m.group(1), m.group(2), os.path.join(p, n))\n"
    "python = 'python%d.%d' % sys.version_info[:2]\n"
    "prefixes = set(getattr(site, 'PREFIXES', ())) | {sys.prefix, sys.exec_prefix}\n"
    "sites = {os.path.join(p, l, python, d) for p in prefixes for l in ('lib', 'lib64') for d in "
    "('site-packages', 'dist-packages')}\n"
    "if hasattr(site, 'getsitepackages'): sites.update(site.getsitepackages())\n"
    "if '/usr' in prefixes: sites.update(('/usr/local/lib/' + python + '/dist-packages', "
    "'/usr/lib/python3/dist-packages'))\n"
    "def see(p):\n"
    "    own = p in sites or p.startswith(os.path.dirname(os.__file__)) or not os.path.isdir(p)\n"
    "    (watch if own else loose).add(p)\n"
    "def is_system(f):\n"
    "    st, real = os.stat(f), os.path.realpath(f)\n"
    "    return st.st_uid == 0 and not st.st_mode & 0o22 and real.startswith(('/usr/lib/', '/usr/lib64/', "
    "'/etc/'))\n"
    "known, code = set(), set()\n"
    "def is_known(line):\n"
    "    if line in known or re.match(SHIM, line): return True\n"
    "    line = re.sub(r\"'[\\w.]*'\", 'X', line)\n"
    "    return re.match(NAMESPACE, re.sub(r'\\*\\((X,? ?)+\\)', 'Y', line)) is not None\n"
    "def read(f):\n"
    "    watch.add(f)\n"
    "    try:\n"
    "        with open(f, encoding='utf-8-sig', errors='surrogateescape') as file: lines = "
    "file.read().splitlines()\n"
    "    except OSError:\n"
    "        return\n"
    "    for line in lines:\n"
    "        line = line.rstrip()\n"
    "        if line.startswith(('import ', 'import\\t')):\n"
    "            (known if is_system(f) else code).add(line)\n"
    "        elif line.strip() and not line.startswith('#'):\n"
    "            see(os.path.join(os.path.dirname(f), line))\n"
    "for p in sites | {p for p in sys.path if p}:\n"
    "    see(p)\n"
    "    for n in os.listdir(p) if os.path.isdir(p) else ():\n"
    "        if n.endswith('.pth'): read(os.path.join(p, n))\n"
    "        elif n.endswith('.egg-link'): watch.add(os.path.join(p, n))\n"
    "        elif n.endswith('.start'): whole = False\n"
    "for name in ('sitecustomize', 'usercustomize'):\n"
    "    try:\n"
    "        spec = importlib.util.find_spec(name)\n"
    "        f = spec and spec.origin\n"
    "        if spec and not (f and is_system(f)): whole = False\n"
    "        if f: watch.update((f, os.path.realpath(f)))\n"
    "    except (OSError, ValueError):\n"
    "        whole = False\n"
    "exe = sys.executable or ''\n"
    "if exe:\n"
    "    watch.update((exe, os.path.realpath(exe)))\n"
    "    for p in (os.path.dirname(exe), os.path.dirname(os.path.dirname(exe))): watch.add(os.path.join(p, "
    "'pyvenv.cfg'))\n"
    "version = sys.version.split()[0]\n"
    "if sys.implementation.name != 'cpython': version = sys.implementation.name + ' ' + version\n"
    "odd = {w for w in watch | loose if re.search('[\\0\\ud800-\\udfff]', w)}\n"
    "json.dump({'version': version, 'executable': os.readlink('/proc/self/exe'),\n"
    "           'packages': sorted(k + '==' + v for k, v in found.items()),\n"
    "           'watch': sorted({os.path.abspath(w) for w in watch - odd}),\n"
    "           'loose': sorted({os.path.abspath(w) for w in loose - odd}),\n"
    "           'whole': whole and not odd and all(map(is_known, code))}, sys.stdout)\n";

static int by_bytes(const void *a, const void *b)
{
    return sc_slice_cmp(*(const struct sc_slice *)a, *(const struct sc_slice *)b);
}

// A list of texts under a key; sorted by bytes, since Python sorts by code points of another kind.
static bool copy_list(const json_t *answer, const char *key, struct sc_arena *arena,
                      struct sc_slice **ret_items, uint32_t *ret_count)
{
    const json_t *list = json_object_get(answer, key), *item;
    size_t index, count = json_array_size(list);
    if (!json_is_array(list) || count > 1000000)
        return false;
    struct sc_slice *items = SC_NEW_ARRAY(arena, count, struct sc_slice);
    json_array_foreach(list, index, item)
    {
        if (!json_is_string(item))
            return false;
        items[index] = sc_arena_copy(arena, sc_slice(json_string_value(item), json_string_length(item)));
    }
    if (count)
        qsort(items, count, sizeof *items, by_bytes);
    *ret_items = items;
    *ret_count = (uint32_t)count;
    return true;
}

enum sc_rc sc_python_ask(const char *program, const char *const *env, int64_t timeout_ms, int stop_fd,
                         struct sc_arena *arena, struct sc_python *ret_python, struct sc_error *err)
{
    const char *const argv[] = {program, "-I", "-c", script, NULL};
    struct sc_child child = {.argv = argv,
                             .env = env,
                             .timeout_ms = timeout_ms,
                             .max_bytes = OUTPUT_BYTES,
                             .stop_fd = stop_fd,
                             .sweeps = true};
    SC_AUTO_BUF struct sc_buf out, errs;
    sc_buf_init(&out, OUTPUT_BYTES + 1);
    sc_buf_init(&errs, OUTPUT_BYTES + 1);
    int status;
    enum sc_rc rc = sc_child_run(&child, &out, &errs, &status, err);
    if (rc != SC_OK)
        return sc_error_wrap(err, rc, "ask %s for its distributions", program);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        struct sc_slice tail = sc_buf_slice(&errs);
        if (tail.len > 400)
            tail = sc_slice_from(tail, tail.len - 400);
        return sc_error_set(err, SC_INVALID, "%s could not tell its distributions (status %d): " SC_SLICE_FMT,
                            program, status, SC_SLICE_ARG(tail));
    }
    json_t *answer = json_loadb((const char *)out.ptr, out.len, 0, NULL);
    const char *version = json_string_value(json_object_get(answer, "version"));
    struct sc_python python = {0};
    const char *executable = json_string_value(json_object_get(answer, "executable"));
    bool good = version && executable &&
                copy_list(answer, "packages", arena, &python.packages.items, &python.packages.count) &&
                copy_list(answer, "watch", arena, &python.watch.items, &python.watch.count) &&
                copy_list(answer, "loose", arena, &python.loose.items, &python.loose.count);
    if (good) {
        python.whole = json_is_true(json_object_get(answer, "whole"));
        python.version = sc_arena_copy(arena, sc_slice_str(version));
        python.executable = sc_arena_copy(arena, sc_slice_str(executable));
    }
    json_decref(answer);
    if (!good)
        return sc_error_set(err, SC_MALFORMED, "%s printed something else than its distributions", program);
    *ret_python = python;
    return SC_OK;
}
