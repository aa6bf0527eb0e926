"""Run a script as ``python train.py`` does, and leave a record of the exception that ends it.

A job copies this file beside the script's input, and the script's interpreter runs it: ``start.py EXCEPTION_FILE train.py …``. So
what the script prints around a traceback does not matter, and the text of ``sys.exit("text")``, which has none, is known.
Standard library only, Python 3.7; nothing is imported before the script that it could want to have from its own folder.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # that of typing would have to be imported
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

MOST_CHARACTERS = 1000


def main() -> None:
    """Run the script that the arguments name, as the module ``__main__``, until it ends or raises."""
    exception_file, sys.argv[:] = sys.argv[1], sys.argv[2:]
    path, project = os.path.abspath(sys.argv[0]), os.getcwd()
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        del sys.path[0]
        folder = os.path.dirname(path)
        # A script alone may be called as a module that it imports: random.py, sklearn.py.
        sys.path.insert(len(sys.path) if os.listdir(folder) == [os.path.basename(path)] else 0, folder)
    module = type(sys)("__main__")
    module.__dict__.update(__file__=path, __builtins__=__builtins__, __cached__=None)
    sys.modules["__main__"] = module

    def record(error: BaseException) -> None:
        _write(exception_file, error, lambda file: os.path.relpath(file, project) if file.startswith(project + os.sep) else None)

    try:
        with open(path, "rb") as file:
            source = file.read()
        exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - what Python does
    except SystemExit as error:
        if error.code is not None and not isinstance(error.code, int):
            record(error)
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        record(error)
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next  # without this function
        sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(1)


def _write(file: str, error: BaseException, to_name: Callable[[str], str | None]) -> None:
    try:
        import json

        with open(file, "w", encoding="utf-8") as stream:
            json.dump({"text": describe(error), "place": find_place(error, to_name)}, stream)
    except Exception:  # noqa: S110 - such as a json.py of the script's own, or a full disk: only the reason is lost
        pass


def describe(error: BaseException) -> str:
    """Return an exception's type and the first line of its text."""
    try:
        lines = [line.strip() for line in str(error.msg if isinstance(error, SyntaxError) else error).splitlines()]
    except Exception:
        lines = []
    text = next(filter(None, lines), "")[:MOST_CHARACTERS]
    kind = "" if isinstance(error, SystemExit) and isinstance(error.code, str) else type(error).__name__
    return ": ".join(filter(None, (kind, text))).encode("utf-8", "backslashreplace").decode()


def find_place(error: BaseException, to_name: Callable[[str], str | None]) -> str | None:
    """Return file and line of the innermost frame that is the script's; of a syntax error, those of the wrong source.

    :param to_name: returns how a source file of the script is called, and None for other files.
    """
    if isinstance(error, SyntaxError) and error.filename and to_name(error.filename):
        return f"{to_name(error.filename)}:{error.lineno}"
    found = None
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        name = to_name(trace.tb_frame.f_code.co_filename)
        found = f"{name}:{trace.tb_lineno}" if name else found
        trace = trace.tb_next
    return found


if __name__ == "__main__":
    main()
