"""Many runs: what is compared with what, grids of runs, the plan before the first is begun, and what carries it out."""
