"""Running users' scripts: a supervised child process, and the three modules that a script may import."""
