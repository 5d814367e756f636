"""The registry of claims: every testable statement of the four papers. A claim is one entry; the engine is `ledger`.

Statements, statistics and thresholds were fixed before any record of this suite was looked at. Those with '(check)' in
their source are not the papers' own words but what their argument rests on. θ in points unless said otherwise.
"""

from xkd_bench.analysis.claims_dense import dense, inference_cost, option_effect, smaller_on_transformers
from xkd_bench.analysis.claims_printed import (
    LARGE,
    TABLE_1,
    How,
    best_mixes,
    both_over_best,
    dense_abstract,
    dense_baseline,
    dense_more_data,
    dense_over_others,
    distinct_distances,
    each,
    few_shot,
    gain_and_distance,
    headline,
    margins,
    mean_of,
    mix_ends,
    mix_spread,
    mixing_over_ends,
    over_best,
    same_sign_in_every_scale,
    shared_cells,
    sketch_over_sound,
    some,
    table_2,
    unpublished,
    versus,
    wider,
)  # fmt: skip
from xkd_bench.analysis.claims_records import FT, LE, beats, best_beats_best, knowledge, pair_drop
from xkd_bench.analysis.claims_records import few_shot as few_shot_records
from xkd_bench.analysis.claims_theory import bound_holds, gap_relation, in_every_scale, label_rate, teacher_width
from xkd_bench.analysis.ledger import Claim
from xkd_bench.analysis.published import DATASETS, cell
from xkd_bench.analysis.study import COMMAND, ESTIMATORS
from xkd_bench.analysis.verdicts import Region

MORE, LESS = Region(low=0), Region(high=0)
R_MORE, R_LESS = Region(low=0, unit=""), Region(high=0, unit="")
EQUAL = Region(-0.01, 0.01)
CLASSIFIED = DATASETS[:3]
BASELINES = ("ssl", "pressl", "cmst", "cmkd", "socket")
SWEEP_1, SWEEP_3, SWEEP_4, PAIRS, SWEEP_DENSE = (
    f"xkd-bench sweep {name}" for name in ("table1", "table3", "table4", "figure1", "dense")
)
"""Commands that make what claims rest on; a test runs each on paper and has the claims evaluated on what it makes."""
# What the sweep has not: a student that is a transformer.
BESIDE = "xkd-bench run --alone -t tabletop:depth -p fine-tune -m af-dcd -m sup-ft --student segformer-mit_b0"
TRANSFORMER = f"{SWEEP_DENSE} && {BESIDE}"
BASES: tuple[tuple[How, str], ...] = (("printed", "as printed"), ("sampled", "given the test items"))
STUDY = COMMAND

PRINTED = [
    Claim("t2-linear", "cmcd", "published", "Table 2", "LE(δ) is CMD + LE minus SSL + LE",
          "largest deviation of 4", Region(-0.015, 0.015), each(table_2("LE"), "CMCD Tables 1, 2", "printed")),
    Claim("t2-tuned", "cmcd", "published", "Table 2", "FT(δ) is CMD + FT minus Sup FT",
          "largest deviation of 4", Region(-0.015, 0.015), each(table_2("FT"), "CMCD Tables 1, 2", "printed")),
    Claim("shared-cells", "cmcd", "published", "Tables 1, 3, 4, 5 (check)", "cells that several tables print are equal",
          "largest deviation of 14", EQUAL, each(shared_cells, "CMCD Tables 1, 3, 4, 5", "printed")),
    Claim("mix-ends", "cmcd", "published", "Table 5", "α = 0 is CMD and α = 1 is CMC",
          "largest deviation of 8", EQUAL, each(mix_ends, "CMCD Tables 1, 5", "printed")),
    Claim("four-distances", "cmcd", "published", "Table 2 (check)", "each data set has a distance of its own",
          "distinct distances", Region(low=4, unit=""), distinct_distances),
    *(
        Claim(f"gap-gain-{protocol.lower()}-{kind}-{len(sets)}", "cmcd", "published", "section 4.1, Table 2",
              f"gains fall as the distance grows: {protocol}, {words}{'' if len(sets) == 4 else ', without NYU'}",
              "Pearson's r", R_LESS, gain_and_distance(protocol, kind, sets))
        for kind, words in (("raw", "points"), ("relative", "relative to the reference"), ("error", "error reduction"),
                            ("margin", "best of ours − best baseline"))
        for protocol in ("LE", "FT") for sets in (DATASETS, DATASETS[:3]) if len(sets) == 4 or kind in ("raw", "error")
    ),
    *(
        Claim(f"gap-sign-{protocol.lower()}", "cmcd", "published", "section 4.1 (check)",
              f"the sign of that relation is the same in points, relative and as error reduction: {protocol}",
              "least favourable r of 3", R_LESS, same_sign_in_every_scale(protocol))
        for protocol in ("LE", "FT")
    ),
    *(
        Claim(f"sketch-over-sound-{protocol.lower()}-{how}", "cmcd", "published", "section 4.1",
              f"improvements are larger for image-sketch than for video-audio: {protocol}, {words}",
              "gain − VGGSound's, in each of 2" if how == "printed" else "mean gain of 2 − VGGSound's", MORE,
              each(sketch_over_sound(protocol), "CMCD Table 1", "printed") if how == "printed"
              else mean_of(sketch_over_sound(protocol, mean=True), "CMCD Table 1"))
        for protocol in ("LE", "FT") for how, words in BASES
    ),
    Claim("outperforms", "cmcd", "published", "abstract, Table 1", "the better of CMD and CMC is above every baseline",
          "margin in each of 8 cells", MORE, each(margins(("LE", "FT")), TABLE_1, "printed")),
    Claim("margin-2", "cmcd", "published", "abstract", "it outperforms consistently by 2 points or more",
          "margin in each of 8 cells", Region(low=1.5), each(margins(("LE", "FT")), TABLE_1, "printed",
          "2 read as 1.5 and more")),
    Claim("margin-2-3", "cmcd", "published", "abstract", "it outperforms consistently by 2 to 3 points, literally",
          "margin in each of 8 cells", Region(2, 3), each(margins(("LE", "FT")), TABLE_1, "printed")),
    Claim("margin-sketch", "cmcd", "published", "section 4.1", "2 points or more on image-sketch",
          "margin in each of 4 cells", Region(low=1.5), each(margins(("LE", "FT"), DATASETS[:2]), TABLE_1, "printed",
          "2 read as 1.5 and more")),
    Claim("margin-sound", "cmcd", "published", "section 4.1", "less than 2 points on video-audio",
          "margin in each of 2 cells", Region(high=2), each(margins(("LE", "FT"), DATASETS[2:3]), TABLE_1, "printed")),
    Claim("both-outperform", "cmcd", "published", "section 4.1 (check)", "CMD and CMC are each above every baseline",
          "margin in each of 16 cells", MORE, each(both_over_best, TABLE_1, "printed")),
    Claim("headline", "cmcd", "published", "section 4.1", "TU-Berlin's 68.72 and 77.86 are of one method",
          "methods needed", Region(1, 1, ""), headline),
    *(
        Claim(f"over-best-{method}-{dataset.split('-')[0]}-{protocol}".lower(), "cmcd", "published", "Table 1",
              f"{method} + {protocol} is above the best baseline on {dataset}, given the test items",
              "difference", MORE, each(over_best(method, dataset, protocol), TABLE_1, "sampled"))
        for dataset in DATASETS for protocol in ("LE", "FT") for method in ("CMD", "CMC")
    ),
    Claim("sound-over-ssl", "cmcd", "published", "section 4.1", "10 points over SSL on VGGSound, linear",
          "CMC − SSL", Region(9.5, 10.5), each(versus("VGGSound", "LE", "SSL"), TABLE_1, "printed",
          "10 read as 9.5 to 10.5")),
    Claim("ssl-not-harmful", "cmcd", "published", "Table 1 (check)", "SSL + FT is not below Sup FT: a sound reference",
          "difference in each of 4", Region(low=-1),
          each(lambda: [cell(d, "SSL", "FT") - cell(d, "Sup", "FT") for d in DATASETS], TABLE_1, "printed")),
    *(
        Claim(f"wider-{student.lower()}-{how}", "cmcd", "published", "section 4.2, Table 3",
              f"a larger teacher makes a better {student}, {words}", "each step in width",
              MORE, each(wider(student), f"CMCD Table 3, teachers {', '.join(name[:12] for name in LARGE)}", how))
        for student in ("ResNet18", "ResNet50")
        for how, words in BASES
    ),
    Claim("few-linear-printed", "cmcd", "published", "section 4.2, Table 4",
          "with 1 and 5 labels linear evaluation is comparable to supervised fine-tuning, as printed",
          "each difference", Region(-1, 1), each(few_shot((1, 5), "Ours=CMC (inferred)", "LE"), "CMCD Table 4",
          "printed")),
    Claim("few-linear-sampled", "cmcd", "published", "section 4.2, Table 4", "the same, given the test items",
          "each difference", Region(-1, 1), each(few_shot((1, 5), "Ours=CMC (inferred)", "LE"), "CMCD Table 4",
          "sampled")),
    Claim("few-tuned", "cmcd", "published", "section 4.2, Table 4",
          "with 1, 5 and 10 labels fine-tuning is above supervised training, given the test items", "each difference",
          MORE, each(few_shot((1, 5, 10), "Ours=CMC (inferred)", "FT"), "CMCD Table 4", "sampled")),
    Claim("no-dominant-alpha", "cmcd", "published", "section 4.2, Table 5", "no α is best everywhere",
          "distinct best α over 4 rows", Region(low=2, unit=""), best_mixes),
    Claim("alpha-matters", "cmcd", "published", "Table 5 (check)", "α matters for TU-Berlin, FT, given the test items",
          "best − worst α", MORE, each(mix_spread, "CMCD Table 5", "sampled")),
    Claim("mixing-helps", "cmcd", "published", "section 4.2, Table 5", "combining helps on some tasks",
          "largest gain of 4 rows over the better end", MORE, some(mixing_over_ends, "CMCD Table 5")),
    Claim("pairs-5-printed", "cmcd", "published", "section 4.2, Figure 1", "5 % of the pairs cost about 3 points",
          "drop", Region(high=3), unpublished("Figure 1's numbers: the text gives 'approximately 3 %'", "Figure 1")),
    Claim("afdcd-abstract", "af-dcd", "published", "abstract", "the gains named there are those of the results",
          "each deviation of 5", Region(-0.02, 0.02), each(dense_abstract, "Af-DCD abstract, README", "printed",
          "the README says that released models are mostly higher")),
    Claim("afdcd-best", "af-dcd", "published", "Key results", "it is above all compared methods",
          "margin in each of 8 rows", MORE, each(dense_over_others, "Af-DCD README", "printed")),
    Claim("afdcd-gains", "af-dcd", "published", "Key results", "consistent gains over the student on five benchmarks",
          "gain in each of 8 rows", MORE, each(dense_baseline, "Af-DCD README", "printed")),
    Claim("afdcd-larger-sets", "af-dcd", "published", "open question 3",
          "gains are larger on larger data sets such as ADE20K", "ADE20K's gain − the largest of 3", MORE,
          dense_more_data),
    Claim("afdcd-imitation", "af-dcd", "published", "Key results", "2.01 points above feature imitation on Cityscapes",
          "difference", Region(low=2), unpublished("the score of feature imitation alone, and any deviation", "")),
    Claim("lix-tables", "lix", "published", "abstract", "above the state of the art on three data sets",
          "margin in each", MORE, unpublished("LIX's tables: only its abstract was available", "")),
    Claim("csk-msrs", "csk-net", "published", "author's page", "2.97 points on MSRS and 2.71 on MVSS over the baseline",
          "gain in each of 2", MORE, unpublished("base values, seeds or test-set errors of MSRS and MVSS", "")),
]  # fmt: skip

CMCD = [
    Claim("H1-lower-bound", "cmcd", "suite", "Theorem 3.3", "excess risk grows with the total variation of modalities",
          "rank correlation within task, classifier's lower bound", R_MORE,
          gap_relation("excess_risk", ESTIMATORS[0]), STUDY),
    Claim("H1-gibbs", "cmcd", "suite", "Theorem 3.3, eq. (9)", "excess risk grows with the distance of the Gibbs laws",
          "rank correlation within task, TV of Gibbs laws over its null", R_MORE,
          gap_relation("excess_risk", ESTIMATORS[1]), STUDY),
    *(
        Claim(f"H1'-{estimator.partition(':')[2]}", "cmcd", "suite", "section 4.1",
              "gains fall as the gap grows, in every scale",
              "least favourable of 3 rank correlations within task", R_LESS, in_every_scale(estimator), STUDY)
        for estimator in ESTIMATORS
    ),
    Claim("H2-linear", "cmcd", "suite", "abstract", "2 points above the best baseline, linear",
          "best of CMD, CMC − best baseline, each picked on other seeds", Region(low=2),
          best_beats_best(("cmc", "cmd"), BASELINES, LE), SWEEP_1),
    Claim("H2-tuned", "cmcd", "suite", "abstract", "2 points above the best baseline, fine-tuned",
          "best of CMD, CMC − best baseline, each picked on other seeds", Region(low=2),
          best_beats_best(("cmc", "cmd"), (*BASELINES, "sup-ft"), FT), SWEEP_1),
    Claim("H2-everywhere", "cmcd", "suite", "abstract", "above the best baseline consistently, linear",
          "the same, in each condition", MORE, best_beats_best(("cmc", "cmd"), BASELINES, LE, in_each=True), SWEEP_1),
    *(
        Claim(f"over-{reference}-{method}", "cmcd", "suite", "Table 1", f"{method} is above {reference}, linear",
              "difference", MORE, beats(method, reference, LE), SWEEP_1)
        for method in ("cmc", "cmd") for reference in BASELINES
    ),
    *(
        Claim(f"over-sup-ft-{method}", "cmcd", "suite", "Table 1", f"{method}, fine-tuned, is above sup-ft",
              "difference", MORE, beats(method, "sup-ft", FT), SWEEP_1)
        for method in ("cmc", "cmd")
    ),
    *(
        Claim(f"knowledge-{method}", "cmcd", "suite", "section 1 (check)",
              f"what {method} carries over is the teacher's knowledge", "trained − random teacher, linear", MORE,
              knowledge(method, LE), SWEEP_1)
        for method in ("cmc", "cmd")
    ),
    *(
        Claim(f"H3-drop-{method}", "cmcd", "suite", "section 4.2, Figure 1",
              f"5 % of the pairs cost {method} 3 points at most", "drop from all pairs, linear",
              Region(high=3), pair_drop(method), PAIRS)
        for method in ("cmc", "cmd")
    ),
    Claim("H3-less-than-cmkd", "cmcd", "suite", "section 4.2, Figure 1", "CMKD loses more from 5 % of the pairs",
          "CMKD's drop − CMC's", MORE, pair_drop("cmc", less_than="cmkd"), PAIRS),
    Claim("H4-linear", "cmcd", "suite", "section 4.2, Table 4",
          "with 1 and 5 labels CMC, linear, is comparable to supervised fine-tuning", "each difference",
          Region(-1, 1), few_shot_records("cmc", (1, 5), "head"), SWEEP_4),
    Claim("H4-tuned", "cmcd", "suite", "section 4.2, Table 4",
          "with 1, 5 and 10 labels CMC, fine-tuned, is above supervised training", "each difference", MORE,
          few_shot_records("cmc", (1, 5, 10), "all"), SWEEP_4),
    Claim("H5", "cmcd", "suite", "section 4.2, Table 3", "a larger teacher makes a better student",
          "mean rank correlation of score and width (Page)", R_MORE, teacher_width(), SWEEP_3),
    Claim("H6", "cmcd", "suite", "Theorem 3.3, eq. (13)", "risk falls with labels as n^(-1/2)",
          "exponent of n", Region(-0.7, -0.3, ""), label_rate("cmc", (1, 5, 10)), SWEEP_4),
    Claim("H7", "cmcd", "suite", "Theorem 3.3", "the bound holds with κ = 1", "bound − excess risk, in every run",
          MORE, bound_holds, STUDY),
    # cmcd's own alpha is 0.5: even, without a changed option.
    *(
        Claim(f"mixing-over-{end}", "cmcd", "suite", "section 4.2, Table 5",
              f"an even mix is above {end} alone, linear", "difference", MORE,
              beats("cmcd", end, LE), SWEEP_1)
        for end in ("cmc", "cmd")
    ),
]  # fmt: skip

DENSE = [
    Claim("afdcd-over-student", "af-dcd", "suite", "Key results", "it is above the student without distillation",
          "difference of mean IoU", MORE, dense("af-dcd", "sup-ft"), SWEEP_DENSE),
    Claim("afdcd-over-kd", "af-dcd", "suite", "Key results", "it is above logit distillation", "difference of mean IoU",
          MORE, dense("af-dcd", "kd"), SWEEP_DENSE),
    Claim("afdcd-over-imitation", "af-dcd", "suite", "Key results", "the contrast adds 2 points to feature imitation",
          "difference of mean IoU", Region(low=2),
          option_effect("af-dcd", "weight_ctr", "with its contrast − without"), SWEEP_DENSE),
    Claim("afdcd-transformers", "af-dcd", "suite", "Key results", "the gain is smaller on transformers",
          "CNN's gain − transformer's", MORE, smaller_on_transformers("af-dcd", "sup-ft"),
          TRANSFORMER),
    Claim("lix-over-student", "lix", "suite", "abstract", "a teacher with geometry improves the RGB-only student",
          "difference of mean IoU", MORE, dense("lix", "sup-ft"), SWEEP_DENSE),
    Claim("lix-over-kd", "lix", "suite", "abstract", "it is above logit distillation", "difference of mean IoU",
          MORE, dense("lix", "kd"), SWEEP_DENSE),
    Claim("lix-dynamic", "lix", "suite", "abstract", "weights for each logit are above one fixed weight (DKD)",
          "difference of mean IoU", MORE, dense("lix", "dkd"), SWEEP_DENSE),
    Claim("csk-over-student", "csk-net", "suite", "abstract", "with infrared alone it is above the plain network",
          "difference of mean IoU", MORE, dense("csk-net", "sup-ft"), SWEEP_DENSE),
    Claim("csk-norms", "csk-net", "suite", "mechanism 1", "batch norms of each modality are above shared ones",
          "difference of mean IoU", MORE, option_effect("csk-net", "separate_norms", "norms apart − shared"),
          SWEEP_DENSE),
    Claim("csk-sparsity", "csk-net", "suite", "mechanism 2", "exchange without a sparsity penalty is above one with it",
          "difference of mean IoU", MORE,
          option_effect("csk-net", "sparsity", "without the penalty − with it", off=True), SWEEP_DENSE),
    Claim("csk-cost", "csk-net", "suite", "abstract", "inference costs no more than the plain network's",
          "operations, ratio", Region(0, 1.01, ""), inference_cost("csk-net"), SWEEP_DENSE),
]  # fmt: skip

CLAIMS = [*PRINTED, *CMCD, *DENSE]
