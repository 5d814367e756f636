"""Capacity: how much a class of predictors, or a set of features, could fit.

Rademacher complexities of linear classes are computed, not guessed: they come with Monte-Carlo intervals and analytic
checks. Norm products of deep networks and bracketing numbers are offered for ranking and are labelled vacuous where
they are, which at the sizes of this field is nearly always. Dimensions and ranks are covariates, not bounds.

The complexity is that of the features at hand (conditional on them); the expectation over features is above it by at
most ``B sqrt(log(1 / delta) / 2n)`` for functions in [0, B] [STD].
"""
