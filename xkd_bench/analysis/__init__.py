"""What a DataFrame of scores says: summaries, paired comparisons, gains, gaps and claims. Knows nothing of training."""
