// A set of digests that keeps the first eight bytes of each, sorted: 128 MiB for ten million. What shares those bytes with
// one that was added counts as added, too: who removes what is not in the set removes too little, never too much.
// One thread.
#pragma once

#include "base/digest.h"

enum { SC_MARKS_MOST = 1 << 28 }; // 2 GiB

struct sc_marks {
    uint64_t *items;
    size_t count, sorted, room; // items: the first `sorted` ones in order, each once
    bool full; // almost SC_MARKS_MOST different ones were added: it does not tell any more what is in it
};

void sc_marks_done(struct sc_marks *marks);
void sc_marks_add(struct sc_marks *marks, const struct sc_digest *digest);
bool sc_marks_has(struct sc_marks *marks, const struct sc_digest *digest);
// How many different ones.
size_t sc_marks_count(struct sc_marks *marks);
