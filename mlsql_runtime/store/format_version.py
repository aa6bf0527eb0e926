"""The format version of all documents in the store. Standard library only, and short: what scripts import reads it."""

FORMAT_VERSION = 1
