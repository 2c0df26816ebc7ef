#include "cli/bench.h"

#include "core/cpu.h"
#include "core/mem.h"
#include "core/memory_available.h"
#include "core/threads.h"
#include "quant/kernels/kernels.h"
#include <cblas.h>
#include <omp.h>
#include <string.h>

enum {
    STREAM_BYTES = 1 << 30, // read from memory; less where so much is not available
    PIECE = 4096,           // floats that a thread reads at a time, with as many that stay in its cache
};

typedef struct Stream {
    const float *data, *with;
    int64_t pieces;
    int threads;
    double sum; // of what was read, so that it is
} Stream;

static void stream_read(void *context) {
    Stream *s = context;
    double sum = 0;
    DotF32Fn dot = kernels_get()->dot_f32[DT_F32];
#pragma omp parallel for schedule(static) reduction(+ : sum) num_threads(s->threads)
    for (int64_t i = 0; i < s->pieces; i++) sum += (double)dot(s->data + i * PIECE, s->with, PIECE);
    s->sum = sum;
}

static bool measure_bandwidth(Bench *b, Error *err) {
    static float with[PIECE];
    uint64_t available = memory_available() / 4, bytes = available < STREAM_BYTES ? available : STREAM_BYTES;
    Stream s = {.with = with, .pieces = (int64_t)(bytes / sizeof(float) / PIECE)};
    float *data = mem_alloc((size_t)s.pieces, sizeof *data * PIECE, err);
    if (!data) return false;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < s.pieces; i++)
        memset(data + i * PIECE, 1, PIECE * sizeof *data); // pages where they are read
    s.data = data;
    s.threads = threads_count();
    double total = (double)s.pieces * PIECE * sizeof *data;
    b->bandwidth = total / bench_shortest(b, stream_read, &s);
    s.threads = 1;
    b->bandwidth_one = total / bench_shortest(b, stream_read, &s);
    mem_free(data);
    return true;
}

// y [N, ROWS] = x [N, COLS] W^T in f32, each thread its share of the inputs.
enum { N = 2048, ROWS = 1536, COLS = 576 };

typedef struct Matmul {
    const Gemm *gemm; // NULL: OpenBLAS
    const float *x, *w;
    const void *packed;
    float *y;
} Matmul;

static void multiply(void *context) {
    const Matmul *m = context;
    enum { SHARE = 256 };
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < N; i += SHARE) {
        const float *x = m->x + i * COLS;
        float *y = m->y + i * ROWS;
        if (m->gemm)
            m->gemm->multiply(x, SHARE, COLS, m->packed, ROWS, COLS, y, ROWS, false);
        else
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, SHARE, ROWS, COLS, 1, x, COLS, m->w, COLS, 0, y, ROWS);
    }
}

static void pack(const Gemm *gemm, const float *w, void *packed) {
    for (int64_t r = 0; r < ROWS; r += GEMM_ROWS)
        for (int64_t c = 0; c < COLS; c += GEMM_COLS) {
            GemmPiece piece = {r, GEMM_ROWS, c, COLS - c < GEMM_COLS ? COLS - c : GEMM_COLS};
            gemm->pack(w + r * COLS + c, COLS, piece, ROWS, COLS, packed);
        }
}

static bool measure_matmul(Bench *b, const Gemm *gemm, const char *name, Error *err) {
    float *x = mem_alloc(N * COLS, sizeof *x, err), *w = mem_alloc(ROWS * COLS, sizeof *w, err);
    float *y = mem_alloc(N * ROWS, sizeof *y, err);
    void *packed = gemm ? mem_alloc(1, gemm->bytes(ROWS, COLS), err) : NULL;
    bool ok = x && w && y && (!gemm || packed);
    if (ok) {
        // All bits in use: a multiply of ours is faster for numbers that are short.
        for (int i = 0; i < N * COLS; i++) x[i] = (float)(i % 1013) / 1013;
        for (int i = 0; i < ROWS * COLS; i++) w[i] = (float)(i % 997) / 997;
        if (gemm) pack(gemm, w, packed);
        Matmul m = {gemm, x, w, packed, y};
        double flops = 2.0 * N * ROWS * COLS / bench_shortest(b, multiply, &m);
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "name", name);
        cJSON_AddNumberToObject(o, "gflops", flops / 1e9);
        cJSON_AddItemToArray(cJSON_GetObjectItem(b->json, "matmul"), o);
        if (b->table) fprintf(b->table, "matmul f32, %-12s %9.1f GFLOP/s\n", name, flops / 1e9);
    }
    mem_free(x);
    mem_free(w);
    mem_free(y);
    mem_free(packed);
    return ok;
}

bool bench_machine(Bench *b, Error *err) {
    const Kernels *k = kernels_get();
    if (!measure_bandwidth(b, err)) return false;
    cJSON *o = cJSON_AddObjectToObject(b->json, "machine");
    cJSON_AddStringToObject(o, "instruction_set", k->name);
    cJSON_AddStringToObject(o, "int8", k->int8->name);
    cJSON_AddNumberToObject(o, "threads", threads_count());
    cJSON_AddNumberToObject(o, "read_gb_per_second", b->bandwidth / 1e9);
    cJSON_AddNumberToObject(o, "read_gb_per_second_one_thread", b->bandwidth_one / 1e9);
    cJSON_AddArrayToObject(b->json, "matmul");
    if (b->table)
        fprintf(b->table, "%s (int8: %s), %d threads; memory read at %.1f GB/s, %.1f by one thread\n", k->name,
                k->int8->name, threads_count(), b->bandwidth / 1e9, b->bandwidth_one / 1e9);
    return measure_matmul(b, NULL, "OpenBLAS", err) && (!k->gemm || measure_matmul(b, k->gemm, k->gemm->name, err)) &&
           (!k->gemm_bf16 || measure_matmul(b, k->gemm_bf16, k->gemm_bf16->name, err));
}
