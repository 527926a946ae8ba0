/* One rule of the arithmetic replaced, for studies of what the rule is worth (docs/accuracy.md):
 * compile the portable kernels with one of these macros. Without them the law of docs/numerics.md
 * holds; no product is ever built with them. */
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
#define MT_HEADROOM 2        /* the law, and one bit more */
#define MT_PREVIOUS_SAMPLE 3 /* what the tensor of the sample before would have needed */
#ifndef MT_STUDY_EXPONENT
#define MT_STUDY_EXPONENT MT_ADAPTED_OFFSET
#endif

/* exact / 2^16, int32_t or int64_t */
#if MT_STUDY_WEIGHTS == MT_STOCHASTIC
#define MT_ROUND_WEIGHT(exact, r16) (((exact) + (r16)) >> 16)
#elif MT_STUDY_WEIGHTS == MT_NEAREST
#define MT_ROUND_WEIGHT(exact, r16) ((void)(r16), ((exact) + 32768) >> 16)
#else
#define MT_ROUND_WEIGHT(exact, r16) ((void)(r16), (exact) / 65536)
#endif

#endif
