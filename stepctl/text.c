#include "stepctl/text.h"

#include <time.h>
#include <wchar.h>

uint32_t sc_text_decode(struct sc_slice text, uint32_t *ret_char)
{
    uint8_t first = text.ptr[0];
    if (first < 0x80) {
        *ret_char = first;
        return 1;
    }
    uint32_t length = first >= 0xf0 && first < 0xf8 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 0;
    if (length == 0 || first >= 0xf8 || text.len < length)
        return 0;
    uint32_t c = first & (0xffu >> (length + 1));
    for (uint32_t i = 1; i < length; i++) {
        if ((text.ptr[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (text.ptr[i] & 0x3f);
    }
    bool overlong = (length == 3 && c < 0x800) || (length == 4 && c < 0x10000);
    if (overlong || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    *ret_char = c;
    return length;
}

// C1 controls move the cursor as ESC does; bidirectional controls and line separators make a line read as another.
static bool is_dangerous(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069) || c == 0x200e || c == 0x200f || c == 0x061c || c == 0x2028 ||
           c == 0x2029 || c == 0xfeff;
}

static bool is_plain(struct sc_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < 0x20 || text.ptr[i] >= 0x7f)
            return false;
    return true;
}

static void escape_char(struct sc_buf *out, uint32_t c)
{
    if (c == '\n')
        sc_buf_add_str(out, "\\n");
    else if (c == '\t')
        sc_buf_add_str(out, "\\t");
    else if (c == '\r')
        sc_buf_add_str(out, "\\r");
    else if (c < 0x80)
        sc_buf_printf(out, "\\x%02x", c);
    else
        sc_buf_printf(out, "\\u%04x", c);
}

static void escape(struct sc_buf *out, struct sc_slice text, bool log)
{
    if (is_plain(text)) {
        sc_buf_add_slice(out, text);
        return;
    }
    while (text.len) {
        uint32_t c;
        uint32_t n = sc_text_decode(text, &c);
        if (n == 0)
            sc_buf_printf(out, "\\x%02x", text.ptr[0]);
        else if (is_dangerous(c) && !(log && (c == '\n' || c == '\t')))
            escape_char(out, c);
        else
            sc_buf_add(out, text.ptr, n);
        text = sc_slice_from(text, n ? n : 1);
    }
}

void sc_text_escape(struct sc_buf *out, struct sc_slice text)
{
    escape(out, text, false);
}

void sc_text_escape_log(struct sc_buf *out, struct sc_slice text)
{
    escape(out, text, true);
}

static uint32_t char_width(uint32_t c)
{
    if (c < 0x80)
        return 1;
    int width = wcwidth((wchar_t)c);
    return width < 0 ? 1 : (uint32_t)width;
}

uint32_t sc_text_width(struct sc_slice text)
{
    if (is_plain(text))
        return (uint32_t)text.len;
    uint32_t width = 0;
    while (text.len) {
        uint32_t c;
        uint32_t n = sc_text_decode(text, &c);
        width += n ? char_width(c) : 1;
        text = sc_slice_from(text, n ? n : 1);
    }
    return width;
}

uint32_t sc_text_fit(struct sc_buf *out, struct sc_slice text, uint32_t width, bool ascii)
{
    if (width == 0)
        return 0;
    // No character is narrower than a fourth of its bytes, so what lies far behind the width need not be looked at.
    if (text.len > (size_t)width * 16 + 64)
        text.len = (size_t)width * 16 + 64;
    SC_AUTO_BUF struct sc_buf escaped;
    sc_buf_init(&escaped, 0);
    sc_text_escape(&escaped, text);
    struct sc_slice rest = sc_buf_slice(&escaped);
    uint32_t whole = sc_text_width(rest);
    if (whole <= width) {
        sc_buf_add_slice(out, rest);
        return whole;
    }
    uint32_t mark = ascii ? (width < 2 ? width : 2) : 1, used = 0;
    while (rest.len) {
        uint32_t c;
        uint32_t n = sc_text_decode(rest, &c);
        uint32_t columns = n ? char_width(c) : 1;
        if (used + columns > width - mark)
            break;
        sc_buf_add(out, rest.ptr, n ? n : 1);
        used += columns;
        rest = sc_slice_from(rest, n ? n : 1);
    }
    if (ascii)
        sc_buf_add(out, "..", mark);
    else
        sc_buf_add_str(out, "…");
    return used + mark;
}

void sc_text_uint(struct sc_buf *out, uint64_t value)
{
    uint8_t digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (uint8_t)('0' + value % 10);
        value /= 10;
    } while (value);
    sc_buf_add(out, digits + at, sizeof digits - at);
}

void sc_text_duration(struct sc_buf *out, uint64_t ms)
{
    uint64_t s = ms / 1000;
    if (ms < 1000) {
        sc_text_uint(out, ms);
        sc_buf_add_str(out, "ms");
    } else if (ms < 10000) {
        sc_buf_printf(out, "%llu.%llus", (unsigned long long)s, (unsigned long long)(ms % 1000 / 100));
    } else if (s < 100) {
        sc_buf_printf(out, "%llus", (unsigned long long)s);
    } else if (s < 600) {
        sc_buf_printf(out, "%llum %02llus", (unsigned long long)(s / 60), (unsigned long long)(s % 60));
    } else if (s < 6000) {
        sc_buf_printf(out, "%llum", (unsigned long long)(s / 60));
    } else if (s < 172800) {
        sc_buf_printf(out, "%lluh %02llum", (unsigned long long)(s / 3600),
                      (unsigned long long)(s % 3600 / 60));
    } else {
        sc_buf_printf(out, "%llud %lluh", (unsigned long long)(s / 86400),
                      (unsigned long long)(s % 86400 / 3600));
    }
}

void sc_text_ago(struct sc_buf *out, int64_t then_ms, int64_t now_ms)
{
    static const struct {
        int64_t s;
        const char *unit;
    } units[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};
    int64_t s = (now_ms - then_ms) / 1000;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        int64_t count = s / units[i].s;
        // Two days are said in hours no more, one and a half still are.
        if (count < (i == 3 ? 2 : i == 0 ? 2 : 1))
            continue;
        sc_buf_printf(out, "%lld %s%s ago", (long long)count, units[i].unit, count == 1 ? "" : "s");
        return;
    }
    sc_buf_add_str(out, "just now");
}

void sc_text_bytes(struct sc_buf *out, uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) {
        sc_buf_printf(out, "%llu B", (unsigned long long)bytes);
        return;
    }
    size_t unit = 0;
    uint64_t rest = bytes;
    for (; rest >= (1u << 20) && unit + 1 < sizeof units / sizeof *units; unit++)
        rest >>= 10;
    uint64_t tenths = rest * 10 / 1024;
    if (tenths < 1000)
        sc_buf_printf(out, "%llu.%llu %s", (unsigned long long)(tenths / 10),
                      (unsigned long long)(tenths % 10), units[unit]);
    else
        sc_buf_printf(out, "%llu %s", (unsigned long long)(tenths / 10), units[unit]);
}

void sc_text_time(struct sc_buf *out, int64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm local;
    char text[32];
    if (!localtime_r(&seconds, &local) || strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local) == 0)
        return;
    sc_buf_add_str(out, text);
}

static bool json_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void json_char(struct sc_buf *out, uint32_t c)
{
    static const char shorts[] = "\bb\ff\nn\rr\tt\"\"\\\\";
    for (size_t i = 0; i + 1 < sizeof shorts; i += 2)
        if ((uint32_t)(unsigned char)shorts[i] == c) {
            sc_buf_add_byte(out, '\\');
            sc_buf_add_byte(out, (uint8_t)shorts[i + 1]);
            return;
        }
    sc_buf_printf(out, "\\u%04x", c);
}

void sc_text_json(struct sc_buf *out, struct sc_slice text)
{
    sc_buf_add_byte(out, '"');
    while (text.len) {
        size_t n = 0;
        while (n < text.len && json_plain(text.ptr[n]))
            n++;
        sc_buf_add(out, text.ptr, n);
        text = sc_slice_from(text, n);
        if (text.len == 0)
            break;
        uint32_t c;
        uint32_t length = sc_text_decode(text, &c);
        if (length == 0)
            sc_buf_add_str(out, "\xef\xbf\xbd");
        else if (c < 0x20 || c == '"' || c == '\\' || c == 0x7f)
            json_char(out, c);
        else
            sc_buf_add(out, text.ptr, length);
        text = sc_slice_from(text, length ? length : 1);
    }
    sc_buf_add_byte(out, '"');
}

void sc_text_pad(struct sc_buf *out, uint32_t columns)
{
    static const char blanks[] = "                                                                ";
    while (columns) {
        uint32_t n = columns < sizeof blanks - 1 ? columns : (uint32_t)sizeof blanks - 1;
        sc_buf_add(out, blanks, n);
        columns -= n;
    }
}
