"""What each number of the gap table means, in two lines: what it is, then how to read it."""

EXPLANATIONS = {
    "tv_classifier": (
        "Total variation, from below: how well a classifier tells source from target on groups it never saw.\n"
        "The true distance is at least `low`; 0 means that nothing was proved, not that the laws agree."
    ),
    "tv_threshold": (
        "Total variation, from below: the widest gap between the two distributions of one learned score.\n"
        "All thresholds count at once (DKW band), so it is safe where the classifier's own threshold is ill placed."
    ),
    "tv_witness": (
        "Total variation, from below: the mean difference of a bounded soft score, source against target.\n"
        "Pairs are compared with themselves, so what a pair shares cancels: strong where content varies a lot."
    ),
    "tv_modality_gap": (
        "Total variation, from below: half the distance between the mean directions of the two modalities.\n"
        "It sees shifted means alone; modalities that differ in any other way leave it at 0."
    ),
    "tv_jensen_shannon": (
        "Total variation, from below: through the Jensen-Shannon divergence and a held-out cross-entropy.\n"
        "Loose by about a square root for small gaps; close to the truth for large ones."
    ),
    "henze_penrose": (
        "Henze-Penrose divergence, which total variation exceeds, from below: through a held-out Brier score.\n"
        "At least `low`; the total variation itself lies between the divergence and its square root."
    ),
    "tv_smoothed": (
        "Total variation after Gaussian blur of the stated sigma, from both sides; blur only lowers the distance.\n"
        "The low end sees the gap between modalities, the high end how close the pairs are: both are certified."
    ),
    "tv_gibbs": (
        "The paper-style distance: between softmax similarity rows of the two encoders, tau 0.1, held-out bank.\n"
        "Small without any alignment at low tau or high dimension: read it only with tv_gibbs_normalised."
    ),
    "modality_gap": (
        "Distance between the mean unit vectors of the two modalities, 0 to 2, corrected for noise.\n"
        "A large gap is compatible with well-aligned pairs: it describes where modalities sit, not what they share."
    ),
    "mmd2": (
        "Squared maximum mean discrepancy, rbf kernel of median width: 0 only for equal laws, may be negative.\n"
        "Its scale has no absolute meaning; compare between methods on the same data, or test it."
    ),
    "tv_gibbs_normalised": (
        "One minus tv_gibbs over its value with shuffled pairs: 0 for no alignment, 1 for identical similarities.\n"
        "The null takes out what temperature, dimension and bank size put into tv_gibbs."
    ),
    "cka": (
        "Debiased linear CKA: agreement of the two encoders' similarities, up to rotation and scale; at most about 1.\n"
        "0 means unrelated, below 0 is noise; unlike plain CKA it does not grow when rows are few."
    ),
    "cka_rbf": (
        "Debiased CKA with an rbf kernel of median width: as cka, but sensitive to neighbourhoods as well.\n"
        "Well above linear CKA: what the encoders share is curved in at least one of them."
    ),
    "svcca": (
        "Mean canonical correlation of the directions that hold 99% of each side's variance.\n"
        "Large without any relation when rows are few: compare it with the permuted value in the note."
    ),
    "mutual_knn": (
        "Share of a row's 10 nearest neighbours on which both encoders agree, other groups only.\n"
        "Chance is in the note; it sees local structure alone and needs no common space."
    ),
    "retrieval_to_target": (
        "How often a source row's most similar target row is its own pair's (recall at 1).\n"
        "Falls as the gallery grows, whose size is in the name; exact interval for this gallery."
    ),
    "retrieval_to_source": (
        "How often a target row's most similar source row is its own pair's (recall at 1).\n"
        "Falls as the gallery grows, whose size is in the name; exact interval for this gallery."
    ),
    "effective_rank_source": (
        "Number of directions that the source features use, by the entropy of their spectrum.\n"
        "A covariate: far below the width, the features have collapsed; it bounds nothing."
    ),
    "effective_rank_target": (
        "Number of directions that the target features use, by the entropy of their spectrum.\n"
        "Well below the source's, the target encoder has lost part of what the source tells apart."
    ),
    "twonn_source": (
        "Intrinsic dimension of the source features, from the two nearest neighbours of each row.\n"
        "Too low above about 20 dimensions; read it beside the target's at equal n."
    ),
    "twonn_target": (
        "Intrinsic dimension of the target features, from the two nearest neighbours of each row.\n"
        "Too low above about 20 dimensions; read it beside the source's at equal n."
    ),
}
