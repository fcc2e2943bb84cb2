/* Index statements against numpy: tests/support/values.h says what the parameters hold. */
#include "tests/support/values.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

Test(index_statements, sums_over_missing_indices)
{
    expect_values_and_gradient(
        "", "q: f32[B, 2, 3, 4], k: f32[B, 2, 3, 4]",
        "let s[b,h,t,u] = q[b,h,t,d] * k[b,h,u,d] / sqrt(8/2)\n sum(s, axis=[0, 1])",
        "f64[3, 3] -0.29705 3.83785 -0.7585 -1.46965 -1.8057 0.9245 3.559 -1.248 1.24625 ");
    expect_values_and_gradient(
        "", "a: f32[2, 3], b: f32[3, 4]", "let y[j, i] = a[i, k] * b[k, j]\n y",
        "f64[4, 2] 1.237 -0.2194 -0.9927 2.4393 -1.1049 -0.347 1.5054 -0.4108 ");
}

Test(index_statements, orders_several_factors)
{
    expect_values_and_gradient("", "a: f32[2, 3], b: f32[3, 4], v: f32[4]",
                               "let y[i] = -a[i, k] * (b[k, j] * v[j]) * 3.0\n y",
                               "f64[2] 0.113964 6.678588 ");
    expect_values_and_gradient(
        "", "a: f32[2, 3], b: f32[3, 4], v: f32[4], c: f32[2]",
        "let y[i, j] = a[i, k] * b[k, j] * v[j] / c[i]\n y",
        "f64[2, 4] 0.30925 0.734598 -1.126998 0.045162 -5.485 -180.5082 -35.394 -1.2324 ");
    expect_values_and_gradient("", "a: f32[2, 3], b: f32[3, 4], v: f32[4], c: f32[3]",
                               "let y[i] = a[i, k] * b[k, j] * v[j] / c[k] + 1.0\n y",
                               "f64[2] -33.5730510204 -19.6418365714 ");
    expect_values_and_gradient("", "a: f32[2, 2], b: f32[2, 2], c: f32[2, 2], d: f32[2, 2]",
                               "let y[i, m] = a[i, j] * b[j, k] * c[k, l] * d[l, m]\n y",
                               "f64[2, 2] -1.18015828 -0.50358161 -0.94097472 -0.38783136 ");
}

Test(index_statements, each_term_is_summed_by_itself)
{
    expect_values_and_gradient("", "x: f32[B, 3], w: f32[3]",
                               "let y[b] = x[b, i] * w[i] + x[b, 0] - w[j] * w[j]\n y",
                               "f64[2] -2.0225 -1.0941 ");
    expect_values_and_gradient("", "x: f32[B, 3], w: f32[3]",
                               "let y[b] = (x[b, i] + w[i]) * w[i]\n y", "f64[2] 3.0485 1.4469 ");
    expect_values_and_gradient("", "x: f32[B, 3], w: f32[3]",
                               "let y[b, i] = x[b, i] + w[i] / 2.0\n y",
                               "f64[2, 3] -1.5 1.14 -0.345 1.03 0.92 -0.565 ");
}

Test(index_statements, functions_work_element_by_element)
{
    expect_values_and_gradient(
        "", "x: f32[B, 3]",
        "let e[b, t] = exp(x[b, t] - max(x[b, u]))\n let p[b, t] = e[b, t] / sum(e[b, u])\n p",
        "f64[2, 3] 0.111455339091 0.647827180737 0.240717480172 0.66240697983 0.246134993675 "
        "0.0914580264946 ");
    expect_values_and_gradient("from nn import relu", "x: f32[B, 3], w: f32[3]",
                               "let y[b] = relu(x[b, i]) * w[i] + mean(x[b, j])\n y",
                               "f64[2] 0.235933333333 0.0154 ");
    expect_values_and_gradient(
        "", "x: f32[B, 3], w: f32[3]", "let y[b, i] = maximum(x[b, i], w[i]) |> tanh\n y",
        "f64[2, 3] -0.46211715726 0.851064109668 0.263624835472 0.856484915472 0.851064109668 "
        "0.263624835472 ");
    expect_values_and_gradient("", "x: f32[B, 3], w: f32[3]",
                               "let y[i, b] = where(x[b, i] < w[i], x[b, i], 0.5)\n y",
                               "f64[3, 2] -1.25 0.5 0.51 0.29 -0.48 -0.7 ");
    expect_values_and_gradient("", "x: f32[3, 3]",
                               "let y[i, j] = where(i >= j, x[i, j], 0.0) + f32(i - j) * 0.5\n y",
                               "f64[3, 3] -1.25 -0.5 -1 1.78 0.29 -0.5 2.06 0.57 -0.92 ");
}

Test(index_statements, gathers_follow_shared_indices)
{
    expect_values_and_gradient(
        "", "x: f32[B, 4, 3], idx: i32[B, 2]", "let y[b, k, c] = x[b, idx[b, k], c]\n y",
        "f64[2, 2, 3] 1.28 0.29 -0.7 -1.25 0.51 -0.48 0.18 -0.81 0.95 0.4 -0.59 1.17 ");
    expect_values_and_gradient("", "x: f32[B, 4, 3], idx: i32[B, 2]",
                               "let y[k, b] = x[b, idx[b, k] + 1, c]\n y",
                               "f64[2, 2] 0.21 -0.34 0.87 0.32 ");
    expect_values_and_gradient(
        "", "w: f32[4, 3], idx: i32[5]", "let y[n, c] = w[idx[n], c]\n y",
        "f64[5, 3] 1.28 0.29 -0.7 -1.25 0.51 -0.48 1.06 0.07 -0.92 1.28 0.29 -0.7 -1.25 0.51 "
        "-0.48 ");
    expect_values_and_gradient("", "w: f32[4, 3], i: i32[5], j: i32[5]",
                               "let y[n] = w[i[n], j[n]] * w[3, j[n]]\n y",
                               "f64[5] 0.798 -0.0765 0.8904 0.798 -0.0765 ");
    expect_values_and_gradient("", "x: f32[B, 4, 3], y: i32[B]", "let p[b] = x[b, 1, y[b]]\n p",
                               "f64[2] 0.29 0.4 ");
}

Test(index_statements, shifts_and_strides)
{
    expect_values_and_gradient("", "x: f32[B, 5]",
                               "let y[b, t] = x[b, t] - x[b, t - 1 else 0.0]\n y",
                               "f64[2, 5] -1.25 1.76 -0.99 1.76 -0.99 -0.7 1.76 -0.99 -0.99 1.76 ");
    expect_values_and_gradient("", "x: f32[B, 5]", "let y[b, t] = x[b, t + 1] * 2.0\n y",
                               "f64[2, 4] 1.02 -0.96 2.56 0.58 2.12 0.14 -1.84 1.68 ");
    expect_values_and_gradient("", "x: f32[B, 5]", "let y[b, t] = x[b, 2 * t + 1]\n y",
                               "f64[2, 2] 0.51 1.28 1.06 -0.92 ");
    expect_values_and_gradient("", "x: f32[B, 5]", "let y[b, t] = x[b, 2 * t - 1 else -1.0]\n y",
                               "f64[2, 3] -1 0.51 1.28 -1 1.06 -0.92 ");
    expect_values_and_gradient(
        "", "x: f32[B, 5], z: f32[5]", "let y[b, t] = x[b, 4 - t] * z[t]\n y",
        "f64[2, 5] -0.145 1.6128 -0.1296 -0.3672 -1.3 -0.42 -1.1592 0.0189 -0.7632 -0.728 ");
    expect_values_and_gradient("", "x: f32[B, 5], z: f32[3]",
                               "let y[b, t] = x[b, 4 - 2 * t] * z[t]\n y",
                               "f64[2, 3] -0.145 -0.6048 -0.3375 -0.42 0.0882 -0.189 ");
    expect_values_and_gradient("", "x: f32[B, 5], w: f32[3]",
                               "let y[b, t] = x[b, t + k] * w[k]\n y",
                               "f64[2, 3] 1.138 -0.5142 1.9311 1.7045 -0.6902 -0.9674 ");
    expect_values_and_gradient(
        "", "x: f32[B, 5], w: f32[3]", "let y[b, t] = x[b, t - k else 0.0] * w[k]\n y",
        "f64[2, 5] 0.625 -1.83 0.5451 -1.1071 1.3382 0.35 -1.412 1.1116 0.8344 -1.5603 ");
    expect_values_and_gradient(
        "", "x: f32[B, 4, 4], w: f32[3, 3]",
        "let y[b, i, j] = x[b, 2*i + u - 1 else 0.0, 2*j + v - 1 else 0.0] * w[u, v]\n y",
        "f64[2, 2, 2] -0.9177 0.7129 -0.1671 2.3063 0.2307 -1.6268 1.9911 -2.6811 ");
    expect_values_and_gradient("", "x: f32[T, 3]",
                               "let y[t, c] = x[t - 1 else 0.0, c] + x[t, c]\n y",
                               "f64[2, 3] -1.25 0.51 -0.48 0.03 0.8 -1.18 ");
    expect_values_and_gradient("", "x: f32[B, 5]", "let y[b, t] = x[b, t + 1] - x[b, t + 0]\n y",
                               "f64[2, 4] 1.76 -0.99 1.76 -0.99 1.76 -0.99 -0.99 1.76");
}

Test(index_statements, diagonals_constants_and_positions)
{
    expect_values_and_gradient("", "x: f32[3, 3]", "let y[i] = x[i, i]\n y",
                               "f64[3] -1.25 0.29 -0.92 ");
    expect_values_and_gradient("", "x: f32[3, 3]",
                               "let d = 1\n let y[i] = x[i, d] + x[-1, i] * 2.0\n y",
                               "f64[3] 2.63 0.43 -1.77 ");
    expect_values_and_gradient("", "x: f32[B, 3]", "let z[b, i] = f32(i) * x[b, i] + f32(b)\n z",
                               "f64[2, 3] 0 0.51 -0.96 1 1.29 -0.4 ");
    expect_values("", "x: f32[B, 3]", "let c[b] = f32(sum(x[b, i] > 0.0))\n c", "f64[2] 1 2 ");
    expect_values_and_gradient(
        "", "x: f32[3, 3]", "let y[i, j] = x[k, k] * x[i, j]\n y",
        "f64[3, 3] 2.35 -0.9588 0.9024 -2.4064 -0.5452 1.316 -1.9928 -0.1316 1.7296 ");
}

Test(index_statements, stand_in_bodies_of_loops)
{
    expect_values_and_gradient(
        "module F { fn (x: f32[2, 3, 2], w: f32[2, 2], i: i32[2]) {\n"
        "  let hs, last = scan t in x over 3 with h = zeros(2, 2) {\n"
        "    let y[b, c] = t[b, d] * w[d, c] + h[b, i[b] % 2] + h[b, c - 1 else 0.5]\n"
        "    h = tanh(y)\n    yield h\n  }\n  hs\n} }\n",
        NULL, NULL,
        "f64[2, 3, 2] 0.85180676401718 -0.95970808593056 0.95932786399914 "
        "0.17538143044628 0.80941416368792 0.99245405077108 -0.011099544145466 "
        "0.85786421469152 0.96705095446914 -0.72458689732141 -0.42795206930892 "
        "0.70353411595322 ");
}

/* ---- Random statements against loops ---- */

enum { INDICES = 6, FACTORS = 4, AXES = 3, TEXT = 4000 };

typedef struct {
    int rank;
    int index[AXES], shift[AXES], size[AXES]; /* shift 0: the index alone */
} Factor;

typedef struct {
    uint64_t state;
    int size[INDICES];
    bool plain[INDICES]; /* stands alone somewhere: has a size */
    bool used[INDICES];
    Factor factors[FACTORS];
    int count;
    int left[INDICES], left_count;
} Statement;

static int draw(Statement *s, int bound)
{
    s->state = s->state * 6364136223846793005u + 1442695040888963407u;
    return (int)((s->state >> 33) % (uint64_t)bound);
}

static void draw_factor(Statement *s, Factor *f)
{
    bool taken[INDICES] = {false};
    f->rank = 1 + draw(s, AXES);
    for (int a = 0; a < f->rank; a++) {
        do {
            f->index[a] = draw(s, INDICES);
        } while (taken[f->index[a]]);
        taken[f->index[a]] = true;
        bool shifted = s->plain[f->index[a]] && draw(s, 4) == 0;
        f->shift[a] = shifted ? draw(s, 2) * 2 - 1 : 0;
        f->size[a] = shifted ? 1 + draw(s, 4) : s->size[f->index[a]];
        s->plain[f->index[a]] = s->used[f->index[a]] = true;
    }
}

static void draw_statement(Statement *s, uint64_t seed)
{
    *s = (Statement){.state = seed * 977 + 13};
    for (int i = 0; i < INDICES; i++)
        s->size[i] = 1 + draw(s, 3);
    s->count = 1 + draw(s, FACTORS);
    for (int f = 0; f < s->count; f++)
        draw_factor(s, &s->factors[f]);
    for (int i = INDICES - 1; i >= 0; i--)
        if (s->used[i] && draw(s, 2))
            s->left[s->left_count++] = i;
    for (int i = 0; s->left_count == 0; i++)
        if (s->used[i])
            s->left[s->left_count++] = i;
}

static double value_at(const Statement *s, int k, const int *at)
{
    const Factor *f = &s->factors[k];
    int flat = 0;
    for (int a = 0; a < f->rank; a++) {
        int place = at[f->index[a]] + f->shift[a];
        if (place < 0 || place >= f->size[a])
            return 0.5;
        flat = flat * f->size[a] + place;
    }
    return (double)((7 * flat + 3 * k) % 11 - 5) / 4 + (double)flat / 100;
}

static int left_elements(const Statement *s)
{
    int elements = 1;
    for (int i = 0; i < s->left_count; i++)
        elements *= s->size[s->left[i]];
    return elements;
}

static void sum_by_loops(const Statement *s, double *out)
{
    int at[INDICES] = {0};
    for (int i = 0; i < left_elements(s); i++)
        out[i] = 0;
    for (bool more = true; more;) {
        double product = 1;
        int flat = 0;
        for (int k = 0; k < s->count; k++)
            product *= value_at(s, k, at);
        for (int i = 0; i < s->left_count; i++)
            flat = flat * s->size[s->left[i]] + at[s->left[i]];
        out[flat] += product;
        more = false;
        for (int i = 0; i < INDICES && !more; i++) {
            if (!s->used[i])
                continue;
            more = ++at[i] < s->size[i];
            at[i] = more ? at[i] : 0;
        }
    }
}

static void add(char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(char *text, const char *format, ...)
{
    va_list args;
    size_t length = strlen(text);
    va_start(args, format);
    vsnprintf(text + length, TEXT - length, format, args);
    va_end(args);
}

Test(index_statements, random_ones_agree_with_loops)
{
    for (uint64_t seed = 1; seed <= 250; seed++) {
        Statement s;
        double values[729];
        char parameters[TEXT] = "", body[TEXT] = "let y[", expected[TEXT] = "f64[";
        draw_statement(&s, seed);
        sum_by_loops(&s, values);
        for (int i = 0; i < s.left_count; i++) {
            add(body, "%s%c", i ? ", " : "", 'a' + s.left[i]);
            add(expected, "%s%d", i ? ", " : "", s.size[s.left[i]]);
        }
        add(body, "] = ");
        add(expected, "]");
        for (int k = 0; k < s.count; k++) {
            const Factor *f = &s.factors[k];
            add(parameters, "%sx%d: f32[", k ? ", " : "", k);
            add(body, "%sx%d[", k ? " * " : "", k);
            for (int a = 0; a < f->rank; a++) {
                add(parameters, "%s%d", a ? ", " : "", f->size[a]);
                add(body, "%s%c", a ? ", " : "", 'a' + f->index[a]);
                if (f->shift[a])
                    add(body, " + %d else 0.5", f->shift[a]);
            }
            add(parameters, "]");
            add(body, "]");
        }
        add(body, "\n y");
        for (int i = 0; i < left_elements(&s); i++)
            add(expected, " %.13g", values[i]);
        expect_values("", parameters, body, expected);
    }
}
