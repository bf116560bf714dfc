#include "base/node.h"

#include "base/mp.h"

struct sc_digest sc_tree_node_encode(const struct sc_tree_entry *entries, uint32_t count, struct sc_buf *out)
{
    size_t start = out->len;
    sc_mp_put_array(out, 2);
    sc_mp_put_cstr(out, "dir/1");
    sc_mp_put_array(out, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct sc_tree_entry *entry = &entries[i];
        char kind = (char)entry->kind;
        sc_mp_put_array(out, 4);
        sc_mp_put_bin(out, entry->name);
        sc_mp_put_str(out, sc_slice(&kind, 1));
        if (entry->kind == SC_ENTRY_LINK)
            sc_mp_put_bin(out, entry->target);
        else
            sc_mp_put_digest(out, &entry->digest);
        sc_mp_put_uint(out, entry->bytes);
    }
    return sc_digest_of(sc_slice(out->ptr + start, out->len - start));
}
