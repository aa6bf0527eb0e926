"""Broken input that somebody else wrote, and what has to hold for each reader of it.

``engine`` tries one case: mutated bytes for one reader. ``mutations`` makes the bytes from good ones. The other modules are the
kinds of input, each with good samples and its readers; ``kinds.KINDS`` lists all of them.
"""
