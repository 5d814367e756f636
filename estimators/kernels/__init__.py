"""Similarity of paired representations (HSIC, CKA, SVCCA, neighbours) and distance of unpaired ones (MMD).

Which to use. The *debiased* CKA: the biased one tends to 1 as n / d falls, whatever the data (independent Gaussians,
d = 1000: n = 16 gives 0.984, n = 64 gives 0.940, n = 2 always 1). The debiased one needs n >= 4, may be negative, and
is undefined (NaN with a reason) where HSIC(K, K) comes out at or below 0.

No n x n matrix is ever held: linear kernels work on d x d moments, the others on blocks of rows.
"""
