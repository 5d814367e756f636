"""Total variation TV(P, Q) = sup_A |P(A) - Q(A)| between two laws in one space, from samples, and its relatives.

What can be known. No estimator of TV is consistent without smoothness: two samples of continuous laws share no point,
so their empirical TV is 1 always. Hence no assumption-free *upper* confidence bound exists. Lower bounds do (any
held-out classifier, threshold or witness gives one), and so do two-sided intervals for the distance after Gaussian
smoothing.

What is not offered, and why. Figures are simulations; where nothing else is said P = Q, so that the truth is 0:

* An in-sample classifier (fit and scored on the same rows), d = 256: logistic regression on 200 rows a side, "TV" 0.99;
  on 400 rows a side 0.51, and a small network 1.00.
* Histograms beyond one dimension: the null bias is about sqrt(k / (pi n)) for k cells and n rows a side, 0.18 at
  k = 20, n = 200, and k grows as a power of d.
* The plug-in of a Gaussian fit: d = 256, n = 400, "TV" 0.51.
* Nearest-neighbour brackets: d = 256, true TV 0.68, "interval" [0.14, 0.37].
"""
