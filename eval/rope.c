#include "eval/rope.h"

#include <math.h>

#define TWO_PI 6.283185307179586

static double clamp(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

// The i-th of dim/2 angular speeds for a base, in f32 as transformers computes them.
static float speed(double base, int64_t i, int64_t dim) {
    return 1.0f / (float)pow(base, (double)((float)(2 * i) / (float)dim));
}

// Llama 3.1: long wavelengths are slowed by `factor`, short ones kept, those between blended.
static float speed_llama3(const Rope *r, float plain) {
    double wavelength = TWO_PI / (double)plain, context = (double)r->original_context;
    double low = context / r->low_freq_factor, high = context / r->high_freq_factor;
    if (wavelength < high) return plain;
    if (wavelength > low) return (float)((double)plain / r->factor);
    double blend = (context / wavelength - r->low_freq_factor) / (r->high_freq_factor - r->low_freq_factor);
    return (float)((1 - blend) * (double)plain / r->factor + blend * (double)plain);
}

// YaRN: the dimension at which a position turns `turns` times over the original context.
static double yarn_dimension(const Rope *r, double turns, int64_t dim) {
    return (double)dim * log((double)r->original_context / (turns * TWO_PI)) / (2 * log(r->theta));
}

static float speed_yarn(const Rope *r, float plain, int64_t i, int64_t dim) {
    double low = yarn_dimension(r, r->beta_fast, dim), high = yarn_dimension(r, r->beta_slow, dim);
    if (r->truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, (double)dim - 1);
    if (low == high) high += 0.001; // as the reference does, against a division by zero
    double slowed = clamp(((double)i - low) / (high - low), 0, 1);
    return (float)((double)plain / r->factor * slowed + (double)plain * (1 - slowed));
}

static double yarn_mscale(double factor, double mscale) { return factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1; }

static double attention_factor(const Rope *r) {
    bool factors = r->scaling == ROPE_LONGROPE || r->scaling == ROPE_FACTORS;
    if (factors && r->attention_factor > 0) return r->attention_factor;
    if (r->scaling != ROPE_YARN) return 1;
    if (r->attention_factor > 0) return r->attention_factor;
    if (r->mscale != 0 && r->mscale_all_dim != 0)
        return yarn_mscale(r->factor, r->mscale) / yarn_mscale(r->factor, r->mscale_all_dim);
    return yarn_mscale(r->factor, 1);
}

static float scaled_speed(const Rope *r, int64_t i, int64_t dim, int64_t length) {
    float plain = speed(r->theta, i, dim);
    switch (r->scaling) {
    case ROPE_LINEAR: return (float)((double)plain / r->factor);
    case ROPE_DYNAMIC: {
        double n = fmax((double)length, (double)r->original_context), d = (double)dim;
        double stretch = r->factor * n / (double)r->original_context - (r->factor - 1);
        return speed(r->theta * pow(stretch, d / (d - 2)), i, dim);
    }
    case ROPE_YARN: return speed_yarn(r, plain, i, dim);
    case ROPE_LLAMA3: return speed_llama3(r, plain);
    default: return plain;
    }
}

void rope_table(const Rope *rope, const float *factors, int64_t dims, int64_t length, int64_t first, int64_t count,
                float *cosine, float *sine) {
    int64_t half = dims / 2;
    double scale = attention_factor(rope);
    for (int64_t i = 0; i < half; i++) {
        float w = scaled_speed(rope, i, dims, length);
        if (factors) w /= factors[i];
        for (int64_t p = 0; p < count; p++) {
            double angle = (double)((float)(first + p) * w); // the product in f32, as the reference rounds it
            cosine[p * half + i] = (float)(cos(angle) * scale);
            sine[p * half + i] = (float)(sin(angle) * scale);
        }
    }
}
