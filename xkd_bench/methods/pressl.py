"""SimCLR on the target modality, from weights that SimCLR learned on the source modality: no teacher, no pairs."""

from xkd_bench.methods.ssl import SSL


class PreSSL(SSL):
    """CMCD's PreSSL reference: SSL whose student starts from Step 1 on the source side of the pairs."""

    init = "source"
    provenance = "[RECON hi] CMCD eq. (1) from source weights"


METHOD = PreSSL
