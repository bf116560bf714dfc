// The instances of a step: the combinations of its matrix, their labels and the way back from a label.
#include "pipeline/plan.h"

#include "pipeline/plan_check.h"

#include "base/limits.h"
#include "base/memory.h"

uint64_t sc_plan_combinations(const struct sc_plan_step *step)
{
    uint64_t product = 1;
    for (uint32_t i = 0; i < step->matrix.count; i++) {
        product *= step->matrix.items[i].values.count; // both below 2^32
        if (product > UINT32_MAX)
            return UINT64_MAX;
    }
    return product;
}

uint32_t sc_plan_instances(const struct sc_plan_step *step)
{
    uint64_t count = sc_plan_combinations(step);
    SC_ASSERT(count <= UINT32_MAX);
    return (uint32_t)count;
}

// The last key counts fastest.
static uint32_t value_index(const struct sc_plan_step *step, uint32_t instance, uint32_t axis)
{
    uint32_t below = 1;
    for (uint32_t i = axis + 1; i < step->matrix.count; i++)
        below *= step->matrix.items[i].values.count;
    return instance / below % step->matrix.items[axis].values.count;
}

struct sc_slice sc_plan_matrix_value(const struct sc_plan_step *step, uint32_t instance, uint32_t axis)
{
    SC_ASSERT(axis < step->matrix.count);
    return step->matrix.items[axis].values.items[value_index(step, instance, axis)];
}

static bool is_escaped(uint8_t c)
{
    return c == ',' || c == '=' || c == '[' || c == ']' || c == '/' || c == '%';
}

static void add_escaped(struct sc_buf *out, struct sc_slice s)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.len; i++) {
        if (!is_escaped(s.ptr[i])) {
            sc_buf_add_byte(out, s.ptr[i]);
            continue;
        }
        const uint8_t code[3] = {'%', (uint8_t)digits[s.ptr[i] >> 4], (uint8_t)digits[s.ptr[i] & 15]};
        sc_buf_add(out, code, sizeof code);
    }
}

static size_t escaped_bytes(struct sc_slice s)
{
    size_t bytes = s.len;
    for (size_t i = 0; i < s.len; i++)
        bytes += is_escaped(s.ptr[i]) ? 2 : 0;
    return bytes;
}

size_t sc_plan_label_bytes(const struct sc_plan_step *step)
{
    size_t total = 0;
    for (uint32_t i = 0; i < step->matrix.count; i++) {
        const struct sc_plan_axis *axis = &step->matrix.items[i];
        size_t longest = 0;
        for (uint32_t k = 0; k < axis->values.count; k++) {
            size_t bytes = escaped_bytes(axis->values.items[k]);
            longest = bytes > longest ? bytes : longest;
        }
        total += axis->name.len + 1 + longest + (i > 0);
    }
    return total;
}

void sc_plan_instance_label(const struct sc_plan_step *step, uint32_t instance, struct sc_buf *out)
{
    for (uint32_t i = 0; i < step->matrix.count; i++) {
        if (i > 0)
            sc_buf_add_byte(out, ',');
        sc_buf_add_slice(out, step->matrix.items[i].name);
        sc_buf_add_byte(out, '=');
        add_escaped(out, sc_plan_matrix_value(step, instance, i));
    }
}

void sc_plan_instance_name(const struct sc_plan_step *step, uint32_t instance, struct sc_buf *out)
{
    sc_buf_add_slice(out, step->name);
    if (step->matrix.count == 0)
        return;
    sc_buf_add_byte(out, '[');
    sc_plan_instance_label(step, instance, out);
    sc_buf_add_byte(out, ']');
}

// Whether s is the value, escaped.
static bool is_escaped_value(struct sc_slice s, struct sc_slice value)
{
    SC_AUTO_BUF struct sc_buf escaped = {0};
    add_escaped(&escaped, value);
    return sc_slice_eq(s, sc_buf_slice(&escaped));
}

// label: "depth=3,lr=0.1", all keys in their order.
static bool find_instance(const struct sc_plan_step *step, struct sc_slice label, uint32_t *ret_instance)
{
    uint32_t instance = 0;
    for (uint32_t i = 0; i < step->matrix.count; i++) {
        const struct sc_plan_axis *axis = &step->matrix.items[i];
        const uint8_t *comma = label.len ? memchr(label.ptr, ',', label.len) : NULL;
        struct sc_slice pair = comma ? sc_slice(label.ptr, (size_t)(comma - label.ptr)) : label;
        bool last = i + 1 == step->matrix.count;
        if (last == (comma != NULL) || pair.len <= axis->name.len || pair.ptr[axis->name.len] != '=' ||
            !sc_slice_eq(sc_slice(pair.ptr, axis->name.len), axis->name))
            return false;
        uint32_t k = 0;
        while (k < axis->values.count &&
               !is_escaped_value(sc_slice_from(pair, axis->name.len + 1), axis->values.items[k]))
            k++;
        if (k == axis->values.count)
            return false;
        instance = instance * axis->values.count + k;
        if (!last)
            label = sc_slice_from(label, pair.len + 1);
    }
    *ret_instance = instance;
    return true;
}

bool sc_plan_find(const struct sc_plan *plan, struct sc_slice name, uint32_t *ret_step,
                  uint32_t *ret_instance, bool *ret_all)
{
    const uint8_t *bracket = name.len ? memchr(name.ptr, '[', name.len) : NULL;
    struct sc_slice bare = bracket ? sc_slice(name.ptr, (size_t)(bracket - name.ptr)) : name;
    uint32_t i = 0, instance = 0;
    while (i < plan->steps.count && !sc_slice_eq(plan->steps.items[i].name, bare))
        i++;
    if (i == plan->steps.count)
        return false;
    const struct sc_plan_step *step = &plan->steps.items[i];
    if (bracket) {
        struct sc_slice label = sc_slice_from(name, bare.len + 1);
        if (step->matrix.count == 0 || label.len == 0 || label.ptr[label.len - 1] != ']')
            return false;
        label.len--;
        if (!find_instance(step, label, &instance))
            return false;
    }
    *ret_step = i;
    *ret_instance = instance;
    *ret_all = !bracket && step->matrix.count > 0;
    return true;
}
