"""SplitMix64 (Steele et al. 2014, doi:10.1145/2660193.2660195), the generator of dropout and draws.

Output n of a seed is `finalised(seed + (n + 1) * STEP)`, where every round of `ROUNDS` shifts, adds by
exclusive or, and multiplies, and `LAST_SHIFT` ends it. All arithmetic is modulo 2 to the 64th.
"""

# 2 to the 64th divided by the golden ratio, made odd.
STEP = 0x9E3779B97F4A7C15
ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
LAST_SHIFT = 31
