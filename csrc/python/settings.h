/*
 * All the floating-point settings of a thread, x87's as well, which NumPy calculates with
 * for long double. float_env.h is what the kernels need of it.
 *
 *     struct relu_ext_settings before;
 *     relu_ext_settings_default(&before);
 *     ...
 *     relu_ext_settings_restore(&before);
 *
 * In between IEEE 754's defaults hold. Where they do already, both cost next to nothing,
 * and flags that are raised stay.
 */
#ifndef RELU_EXT_SETTINGS_H
#define RELU_EXT_SETTINGS_H

#include <fenv.h>
#include <stdbool.h>

#include "relu_ext/float_env.h"

struct relu_ext_settings {
    bool changed;
    relu_ext_float_env of_kernels;
    fenv_t all;
};

static inline void relu_ext_settings_default(struct relu_ext_settings *before)
{
    before->changed = !relu_ext_float_env_is_default() || fegetround() != FE_TONEAREST;
    if (!before->changed)
        return;
    /* Not all C libraries know of flush-to-zero: the other one sets it right. */
    before->of_kernels = relu_ext_float_env_default();
    fegetenv(&before->all);
    fesetenv(FE_DFL_ENV);
}

static inline void relu_ext_settings_restore(const struct relu_ext_settings *before)
{
    if (!before->changed)
        return;
    fesetenv(&before->all);
    relu_ext_float_env_restore(before->of_kernels);
}

#endif
