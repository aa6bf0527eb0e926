"""What a shell is told at the end; docs/cli.md has them."""

OK = 0
FAILED = 1  # a script, a training or a verification
WRONG_INPUT = 2
UNAVAILABLE = 3  # worth another try
INTERNAL = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED = 130
