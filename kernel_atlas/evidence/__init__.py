"""How sure the clusters are, and against what: each module is one question that reviewers of the paper asked."""
