/* Rules of the arithmetic replaced, for studies of what each is worth (docs/accuracy.md): compile
 * the overlaid sources with some of these macros. Without them the rules of docs/numerics.md hold.
 * A replaced rule exists in the portable and the AVX2 kernels; on a chip all kernels are then the
 * portable ones. */
#ifndef MT_STUDY_H
#define MT_STUDY_H

/* How weights of the backbone, and how gradients are rounded. */
#define MT_STOCHASTIC 0
#define MT_NEAREST 1
#define MT_TOWARDS_ZERO 2 /* what a cast does */
#ifndef MT_STUDY_WEIGHTS
#define MT_STUDY_WEIGHTS MT_STOCHASTIC
#endif
#ifndef MT_STUDY_GRADIENTS
#define MT_STUDY_GRADIENTS MT_STOCHASTIC
#endif

/* Where the exponent of a gradient comes from. */
#define MT_ADAPTED_OFFSET 0  /* the entering maximum, and an offset that follows the maxima */
#define MT_FIXED_OFFSET 1    /* the offset stays as calibrated */
#define MT_HEADROOM 2        /* the reference rule, and one bit more */
#define MT_PREVIOUS_SAMPLE 3 /* what the tensor of the sample before would have needed */
#define MT_EXACT_MAXIMUM 4   /* the tensor's own maximum: needs it whole in int32 */
#ifndef MT_STUDY_EXPONENT
#define MT_STUDY_EXPONENT MT_ADAPTED_OFFSET
#endif

/* What the weight gradient multiplies with: codes without their zero point, or raw ones. */
#define MT_CENTRED_CODES 0
#define MT_RAW_CODES 1
#ifndef MT_STUDY_INPUTS
#define MT_STUDY_INPUTS MT_CENTRED_CODES
#endif

/* What becomes of the gradient that flows over a residual's shortcut. */
#define MT_SUMMED 0
#define MT_LOST 1
#ifndef MT_STUDY_SHORTCUTS
#define MT_STUDY_SHORTCUTS MT_SUMMED
#endif

/* The loss sees logits so many times too large: logits in codes of a scale of 1/n. */
#ifndef MT_STUDY_LOGIT_GAIN
#define MT_STUDY_LOGIT_GAIN 1
#endif

/* Bits of a head weight, at most 16. */
#ifndef MT_STUDY_HEAD_BITS
#define MT_STUDY_HEAD_BITS 16
#endif

/* Whether the gradient waits for its maximum (mt_study_exact.c), and whether any rule differs. */
#define MT_ROUND_HELD (MT_STUDY_EXPONENT == MT_EXACT_MAXIMUM)
#define MT_STUDY_REPLACES                                                                          \
    (MT_STUDY_WEIGHTS || MT_STUDY_GRADIENTS || MT_STUDY_EXPONENT || MT_STUDY_INPUTS ||             \
     MT_STUDY_SHORTCUTS || MT_STUDY_LOGIT_GAIN != 1 || MT_STUDY_HEAD_BITS != 16)

/* exact / 2^16, int32_t or int64_t */
#if MT_STUDY_WEIGHTS == MT_STOCHASTIC
#define MT_ROUND_WEIGHT(exact, r16) (((exact) + (r16)) >> 16)
#elif MT_STUDY_WEIGHTS == MT_NEAREST
#define MT_ROUND_WEIGHT(exact, r16) ((void)(r16), ((exact) + 32768) >> 16)
#else
#define MT_ROUND_WEIGHT(exact, r16) ((void)(r16), (exact) / 65536)
#endif

#endif
