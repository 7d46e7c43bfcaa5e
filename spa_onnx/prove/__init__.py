"""The proof: the pruned model equals the original with removed lanes masked where lanes mix."""
