#include "pipeline/suggest.h"

#include "base/limits.h"

#include <limits.h>

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c == '-' ? '_' : c;
}

unsigned sc_suggest_distance(struct sc_slice a, struct sc_slice b)
{
    enum { MOST = SC_LIMIT_NAME_BYTES };
    unsigned n = (unsigned)(a.len < MOST ? a.len : MOST), m = (unsigned)(b.len < MOST ? b.len : MOST);
    unsigned rows[3][MOST + 1];
    for (unsigned j = 0; j <= m; j++)
        rows[0][j] = j;
    for (unsigned i = 1; i <= n; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *second = rows[(i + 1) % 3];
        row[0] = i;
        for (unsigned j = 1; j <= m; j++) {
            bool same = lower(a.ptr[i - 1]) == lower(b.ptr[j - 1]);
            row[j] = least(least(above[j] + 1, row[j - 1] + 1), above[j - 1] + !same);
            if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1])
                row[j] = least(row[j], second[j - 2] + 1);
        }
    }
    return rows[n % 3][m];
}

void sc_suggest_begin(struct sc_suggest *suggest, struct sc_slice wanted)
{
    *suggest = (struct sc_suggest){.wanted = wanted, .distance = UINT_MAX};
}

void sc_suggest_try(struct sc_suggest *suggest, struct sc_slice candidate)
{
    unsigned distance = sc_suggest_distance(suggest->wanted, candidate);
    if (distance < suggest->distance) {
        suggest->distance = distance;
        suggest->best = candidate;
    }
}

bool sc_suggest_found(const struct sc_suggest *suggest)
{
    return suggest->best.len > 0 && suggest->distance <= 1 + suggest->wanted.len / 4 &&
           suggest->distance < suggest->wanted.len;
}
