"""What an error page or an error tracker shows of an exception."""

from types import TracebackType


def shown_by_trackers(error: BaseException | None) -> str:
    """The texts of an exception and its causes, and every local variable of the frames they
    passed through, except those of the tests themselves.
    """
    shown: list[str] = []
    while error is not None:
        shown += [str(error), repr(error.args), repr(vars(error))]
        shown += _locals(error.__traceback__)
        error = error.__cause__ or error.__context__
    return "\n".join(shown)


def _locals(traceback: TracebackType | None) -> list[str]:
    found: list[str] = []
    while traceback is not None:
        frame = traceback.tb_frame
        if not str(frame.f_globals.get("__name__")).startswith("tests."):
            found += [f"{name}={value!r}" for name, value in frame.f_locals.items()]
        traceback = traceback.tb_next
    return found
