"""The training run of a train statement: resume, feed, fit the groups, publish a version."""
