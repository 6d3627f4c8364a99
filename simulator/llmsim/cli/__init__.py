"""The command line: the only part that prints, and that ends the program with an exit code."""

from __future__ import annotations

import io
import os
import re
import sys
import traceback
from collections.abc import Sequence

from llmsim.cli.app import app
from llmsim.errors import LlmsimError, UserError

BUG = 70
"""Exit code of a broken invariant (``EX_SOFTWARE`` of sysexits.h)."""


def main() -> None:
    """Runs ``sys.argv``. Exits with 0 fine, 1 target missed, 2 input, 70 our bug, 130 interrupted."""
    _make_streams_safe()
    try:
        app(spread_goodput(sys.argv[1:]), prog_name="llmsim")
    except UserError as error:
        print(in_words(error), file=sys.stderr)
        sys.exit(error.exit_code)
    except LlmsimError as error:
        print(f"llmsim is at fault, not your input: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(UserError.exit_code)
    except Exception:
        traceback.print_exc()
        sys.exit(BUG)
    finally:
        _flush()


def spread_goodput(arguments: Sequence[str]) -> list[str]:
    """``--goodput ttft:200 tpot:50`` with the option before each value, as the parser needs it. Pure."""
    result: list[str] = []
    in_goodput = False
    for argument in arguments:
        if in_goodput and result[-1] != "--goodput" and re.fullmatch(r"[a-z0-9]+:[^/\\]+", argument):
            result.append("--goodput")
        elif argument.startswith("-"):
            in_goodput = argument == "--goodput"
        elif result and result[-1] != "--goodput":
            in_goodput = False
        result.append(argument)
    return result


def in_words(error: UserError) -> str:
    """``error`` for people: its problems, how many there are, and a hint. Pure."""
    if len(error.problems) == 1 and not error.problems[0].where:
        lines = [f"error: {error}"]
    else:
        lines = [str(problem) for problem in error.problems]
        lines += ["", f"{_count(len(error.problems), 'problem')}{_in_files(error)}. Nothing was run."]
    return "\n".join([*lines, f"hint: {error.hint}"] if error.hint else lines)


def _in_files(error: UserError) -> str:
    places = [re.fullmatch(r"(.+?)((:\d+)*)(: .*)?", problem.where) for problem in error.problems]
    found = {place[1]: place[2] for place in places if place and not place[1].startswith("--")}
    files = [name for name, line in found.items() if line or os.path.exists(name)]
    return f" in {_count(len(files), 'file')}" if files else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _make_streams_safe() -> None:
    """Nothing that is printed fails for want of a stream (``>&-``) or of a letter in its encoding."""
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  for the whole process
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  as above
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower() not in ("utf-8", "utf8"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _flush() -> None:
    """Standard output is written, or its reader (``| head``) has gone and that is no error."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
