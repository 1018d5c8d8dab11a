/*
 * Parts of a line, in plain C: see isa.h. Copied as two pieces, the first and the last, which may
 * overlap, and lie side by side in the line: a memcpy of any length would take longer than what is
 * done to the elements. A piece's size is a power of two.
 */
#ifndef RELU_EXT_PARTS_H
#define RELU_EXT_PARTS_H

RELU_EXT_INLINE void relu_ext_copy_pieces(char *to, const char *from, size_t bytes, size_t piece,
                                          bool load)
{
    const size_t last = bytes - piece;
    memcpy(to, from, piece);
    memcpy(to + (load ? piece : last), from + (load ? last : piece), piece);
}

RELU_EXT_INLINE void relu_ext_copy_part(char *to, const char *from, size_t bytes, bool load)
{
    if (bytes >= 32)
        relu_ext_copy_pieces(to, from, bytes, 32, load);
    else if (bytes >= 16)
        relu_ext_copy_pieces(to, from, bytes, 16, load);
    else if (bytes >= 8)
        relu_ext_copy_pieces(to, from, bytes, 8, load);
    else if (bytes >= 4)
        relu_ext_copy_pieces(to, from, bytes, 4, load);
    else if (bytes >= 2)
        relu_ext_copy_pieces(to, from, bytes, 2, load);
    else if (bytes > 0)
        relu_ext_copy_pieces(to, from, bytes, 1, load);
}

static inline void relu_ext_load_part_baseline(char *to, const char *from, size_t bytes)
{
    memset(to, 0, 64);
    relu_ext_copy_part(to, from, bytes, true);
}

static inline void relu_ext_store_part_baseline(char *to, const char *from, size_t bytes)
{
    relu_ext_copy_part(to, from, bytes, false);
}

#endif
