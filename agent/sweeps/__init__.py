"""Many trainings: every combination of settings and seeds, on all cores or on a cluster, and what they say together."""
