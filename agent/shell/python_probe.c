#include "agent/shell/python_probe.h"

#include "agent/shell/child.h"
#include "base/memory.h"

#include <jansson.h>
#include <sys/wait.h>

enum { OUTPUT_BYTES = 16 << 20 };

// A distribution that stands in two folders of sys.path counts as the first, which is the one that is imported.
static const char script[] =
    "import json, os, re, sys\n"
    "found, watch = {}, set()\n"
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
    "for p in sys.path:\n"
    "    if not p: continue\n"
    "    watch.add(p)\n"
    "    if os.path.isdir(p):\n"
    "        watch.update(os.path.join(p, n) for n in os.listdir(p) if n.endswith(('.pth', '.egg-link')))\n"
    "for name in ('sitecustomize', 'usercustomize'):\n"
    "    f = getattr(sys.modules.get(name), '__file__', None)\n"
    "    if f: watch.add(f)\n"
    "exe = sys.executable or ''\n"
    "if exe:\n"
    "    watch.update((exe, os.path.realpath(exe)))\n"
    "    for p in (os.path.dirname(exe), os.path.dirname(os.path.dirname(exe))): watch.add(os.path.join(p, "
    "'pyvenv.cfg'))\n"
    "version = sys.version.split()[0]\n"
    "if sys.implementation.name != 'cpython': version = sys.implementation.name + ' ' + version\n"
    "json.dump({'version': version, 'executable': os.readlink('/proc/self/exe'), 'packages': sorted(k + '==' "
    "+ v for k, v in found.items()),\n"
    "           'watch': sorted(os.path.abspath(w) for w in watch if not re.search('[\\ud800-\\udfff]', "
    "w))}, sys.stdout)\n";

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

enum sc_rc sc_python_ask(const char *program, const char *const *env, int64_t timeout_ms,
                         struct sc_arena *arena, struct sc_python *ret_python, struct sc_error *err)
{
    const char *const argv[] = {program, "-I", "-c", script, NULL};
    struct sc_child child = {.argv = argv, .env = env, .timeout_ms = timeout_ms, .max_bytes = OUTPUT_BYTES};
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
                copy_list(answer, "watch", arena, &python.watch.items, &python.watch.count);
    if (good) {
        python.version = sc_arena_copy(arena, sc_slice_str(version));
        python.executable = sc_arena_copy(arena, sc_slice_str(executable));
    }
    json_decref(answer);
    if (!good)
        return sc_error_set(err, SC_MALFORMED, "%s printed something else than its distributions", program);
    *ret_python = python;
    return SC_OK;
}
