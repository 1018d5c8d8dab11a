/*
 * The same functions by C++ libraries, each compiled on its own, with PEER_<name> defined, for
 * each instruction set. native.py names them, and leaves out what is not installed.
 * Of NaN, -0 and subnormals they make what they make.
 *
 *   eigen     one expression of arrays
 *   highway   vectors, as its documentation has them: whole ones, and a masked one for the rest
 *   onednn    primitives, made once for each length and parameter and kept
 *   xnnpack   operators, made once for each parameter and kept; told of the buffers at each call
 */
#include <cstddef>
#include <cstdint>

#if defined(PEER_eigen)
#include <Eigen/Core>

template <typename T> using In = Eigen::Map<const Eigen::Array<T, Eigen::Dynamic, 1>>;
template <typename T> using Out = Eigen::Map<Eigen::Array<T, Eigen::Dynamic, 1>>;

/* `bits`: how a T is passed. */
#define FUNCTIONS(dtype, T, bits)                                                                \
    extern "C" {                                                                                 \
    void eigen_relu_##dtype(const T *x, T *y, std::ptrdiff_t n)                                  \
    {                                                                                            \
        Out<T>(y, n) = In<T>(x, n).cwiseMax(T(0));                                               \
    }                                                                                            \
    void eigen_relu_grad_##dtype(const T *dy, const T *x, T *dx, std::ptrdiff_t n)               \
    {                                                                                            \
        Out<T>(dx, n) = (In<T>(x, n) > T(0)).select(In<T>(dy, n), T(0));                         \
    }                                                                                            \
    void eigen_leaky_relu_##dtype(const T *x, bits slope, T *y, std::ptrdiff_t n)                \
    {                                                                                            \
        const In<T> in(x, n);                                                                    \
        Out<T>(y, n) = (in > T(0)).select(in, in * Eigen::numext::bit_cast<T>(slope));           \
    }                                                                                            \
    void eigen_clipped_relu_##dtype(const T *x, bits ceiling, T *y, std::ptrdiff_t n)            \
    {                                                                                            \
        Out<T>(y, n) = In<T>(x, n).cwiseMax(T(0)).cwiseMin(                                      \
            Eigen::numext::bit_cast<T>(ceiling));                                                \
    }                                                                                            \
    void eigen_add_relu_##dtype(const T *a, const T *b, T *y, std::ptrdiff_t n)                  \
    {                                                                                            \
        Out<T>(y, n) = (In<T>(a, n) + In<T>(b, n)).cwiseMax(T(0));                               \
    }                                                                                            \
    }
FUNCTIONS(f32, float, float)
FUNCTIONS(f64, double, double)
FUNCTIONS(i8, std::int8_t, std::int8_t)
FUNCTIONS(f16, Eigen::half, std::uint16_t)
FUNCTIONS(bf16, Eigen::bfloat16, std::uint16_t)

#elif defined(PEER_highway)
#include <hwy/highway.h>

namespace hn = hwy::HWY_NAMESPACE;

template <typename T, class F> void transform(const T *a, const T *b, T *y, std::size_t n, F f)
{
    const hn::ScalableTag<T> d;
    const std::size_t lanes = hn::Lanes(d);
    std::size_t i = 0;
    for (; i + lanes <= n; i += lanes)
        hn::StoreU(f(d, hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, y + i);
    if (i < n) {
        const auto rest = hn::FirstN(d, n - i);
        const auto at_a = hn::MaskedLoad(rest, d, a + i), at_b = hn::MaskedLoad(rest, d, b + i);
        hn::BlendedStore(f(d, at_a, at_b), rest, d, y + i);
    }
}

#define FUNCTIONS(dtype, T)                                                                      \
    extern "C" {                                                                                 \
    void highway_relu_##dtype(const T *x, T *y, std::size_t n)                                   \
    {                                                                                            \
        transform(x, x, y, n, [](auto d, auto a, auto) { return hn::Max(a, hn::Zero(d)); });     \
    }                                                                                            \
    void highway_relu_grad_##dtype(const T *dy, const T *x, T *dx, std::size_t n)                \
    {                                                                                            \
        transform(dy, x, dx, n, [](auto d, auto a, auto b) {                                     \
            return hn::IfThenElseZero(hn::Gt(b, hn::Zero(d)), a);                                \
        });                                                                                      \
    }                                                                                            \
    void highway_clipped_relu_##dtype(const T *x, T ceiling, T *y, std::size_t n)                \
    {                                                                                            \
        transform(x, x, y, n, [ceiling](auto d, auto a, auto) {                                  \
            return hn::Min(hn::Max(a, hn::Zero(d)), hn::Set(d, ceiling));                        \
        });                                                                                      \
    }                                                                                            \
    void highway_add_relu_##dtype(const T *a, const T *b, T *y, std::size_t n)                   \
    {                                                                                            \
        transform(a, b, y, n, [](auto d, auto a_at, auto b_at) {                                 \
            return hn::Max(hn::Add(a_at, b_at), hn::Zero(d));                                    \
        });                                                                                      \
    }                                                                                            \
    }
#define LEAKY(dtype, T)                                                                          \
    extern "C" void highway_leaky_relu_##dtype(const T *x, T slope, T *y, std::size_t n)         \
    {                                                                                            \
        transform(x, x, y, n, [slope](auto d, auto a, auto) {                                    \
            return hn::IfThenElse(hn::Gt(a, hn::Zero(d)), a, hn::Mul(a, hn::Set(d, slope)));     \
        });                                                                                      \
    }
FUNCTIONS(f32, float)
FUNCTIONS(f64, double)
FUNCTIONS(i8, std::int8_t)
LEAKY(f32, float)
LEAKY(f64, double)

#elif defined(PEER_onednn)
#include <dnnl.hpp>
#include <map>
#include <unordered_map>
#include <utility>

using namespace dnnl;

static engine cpu(engine::kind::cpu, 0);
static stream order(cpu);

struct Call {
    primitive run;
    std::unordered_map<int, memory> arguments;
};

/* What `make` makes, kept, with these buffers. */
template <class Make>
static void execute(std::size_t n, float parameter, Make make,
                    std::initializer_list<std::pair<int, const void *>> buffers)
{
    static std::map<std::pair<std::size_t, float>, Call> calls;
    auto found = calls.find({n, parameter});
    if (found == calls.end()) {
        const memory::desc vector({(memory::dim)n}, memory::data_type::f32, memory::format_tag::a);
        Call call{make(vector), {}};
        for (const auto &buffer : buffers)
            call.arguments[buffer.first] = memory(vector, cpu, nullptr);
        found = calls.emplace(std::make_pair(n, parameter), std::move(call)).first;
    }
    for (const auto &buffer : buffers)
        found->second.arguments[buffer.first].set_data_handle(const_cast<void *>(buffer.second));
    found->second.run.execute(order, found->second.arguments);
    order.wait();
}

static primitive forward(const memory::desc &vector, algorithm kind, float alpha, float beta)
{
    return eltwise_forward({{prop_kind::forward_inference, kind, vector, alpha, beta}, cpu});
}

extern "C" {
void onednn_relu_f32(const float *x, float *y, std::size_t n)
{
    execute(n, 0, [](auto v) { return forward(v, algorithm::eltwise_relu, 0, 0); },
            {{DNNL_ARG_SRC, x}, {DNNL_ARG_DST, y}});
}

void onednn_relu_grad_f32(const float *dy, const float *x, float *dx, std::size_t n)
{
    execute(n, 0,
            [](auto v) {
                const auto kind = algorithm::eltwise_relu;
                const eltwise_forward::primitive_desc hint(
                    {prop_kind::forward_training, kind, v, 0, 0}, cpu);
                return eltwise_backward({{kind, v, v, 0, 0}, cpu, hint});
            },
            {{DNNL_ARG_DIFF_DST, dy}, {DNNL_ARG_SRC, x}, {DNNL_ARG_DIFF_SRC, dx}});
}

void onednn_leaky_relu_f32(const float *x, float slope, float *y, std::size_t n)
{
    execute(n, slope, [=](auto v) { return forward(v, algorithm::eltwise_relu, slope, 0); },
            {{DNNL_ARG_SRC, x}, {DNNL_ARG_DST, y}});
}

void onednn_clipped_relu_f32(const float *x, float ceiling, float *y, std::size_t n)
{
    execute(n, ceiling, [=](auto v) { return forward(v, algorithm::eltwise_clip, 0, ceiling); },
            {{DNNL_ARG_SRC, x}, {DNNL_ARG_DST, y}});
}

void onednn_add_relu_f32(const float *a, const float *b, float *y, std::size_t n)
{
    execute(n, 0,
            [](auto v) {
                post_ops after;
                after.append_eltwise(1, algorithm::eltwise_relu, 0, 0);
                primitive_attr attributes;
                attributes.set_post_ops(after);
                return binary({{algorithm::binary_add, v, v, v}, attributes, cpu});
            },
            {{DNNL_ARG_SRC_0, a}, {DNNL_ARG_SRC_1, b}, {DNNL_ARG_DST, y}});
}
}

#elif defined(PEER_xnnpack)
#include <cstdlib>
#include <limits>
#include <map>
#include <xnnpack.h>

/* What has failed is not to be timed. */
static void succeed(xnn_status status)
{
    if (status != xnn_status_success)
        std::abort();
}

/* What `create` creates, kept. */
template <class Create> static xnn_operator_t kept(float parameter, Create create)
{
    static std::map<float, xnn_operator_t> operators;
    auto found = operators.find(parameter);
    if (found == operators.end()) {
        xnn_operator_t made = nullptr;
        succeed(xnn_initialize(nullptr));
        succeed(create(&made));
        found = operators.emplace(parameter, made).first;
    }
    return found->second;
}

/* n rows of one channel, which it treats as one row of n. */
#define CLAMP(name, dtype, T, most)                                                         \
    extern "C" void xnnpack_relu_##name(const T *x, T *y, std::size_t n)                    \
    {                                                                                       \
        const auto op = kept(0, [](auto made) {                                             \
            return xnn_create_clamp_nc_##dtype(1, 1, 1, 0, most, 0, made);                  \
        });                                                                                 \
        succeed(xnn_setup_clamp_nc_##dtype(op, n, x, y, nullptr));                          \
        succeed(xnn_run_operator(op, nullptr));                                             \
    }                                                                                       \
    extern "C" void xnnpack_clipped_relu_##name(const T *x, T ceiling, T *y, std::size_t n) \
    {                                                                                       \
        const auto op = kept(ceiling, [=](auto made) {                                      \
            return xnn_create_clamp_nc_##dtype(1, 1, 1, 0, ceiling, 0, made);               \
        });                                                                                 \
        succeed(xnn_setup_clamp_nc_##dtype(op, n, x, y, nullptr));                          \
        succeed(xnn_run_operator(op, nullptr));                                             \
    }
CLAMP(f32, f32, float, std::numeric_limits<float>::infinity())
CLAMP(i8, s8, std::int8_t, std::numeric_limits<std::int8_t>::max())

extern "C" {
void xnnpack_leaky_relu_f32(const float *x, float slope, float *y, std::size_t n)
{
    const auto op = kept(
        slope, [=](auto made) { return xnn_create_leaky_relu_nc_f32(1, 1, 1, slope, 0, made); });
    succeed(xnn_setup_leaky_relu_nc_f32(op, n, x, y, nullptr));
    succeed(xnn_run_operator(op, nullptr));
}

void xnnpack_add_relu_f32(const float *a, const float *b, float *y, std::size_t n)
{
    const auto op = kept(0, [](auto made) {
        return xnn_create_add_nd_f32(0, std::numeric_limits<float>::infinity(), 0, made);
    });
    succeed(xnn_setup_add_nd_f32(op, 1, &n, 1, &n, a, b, y, nullptr));
    succeed(xnn_run_operator(op, nullptr));
}
}
#endif
