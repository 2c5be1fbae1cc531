"""The error for users."""


class AtlasError(Exception):
    """A fault the user can mend: one line that says what, where, why and what to do."""

    def __init__(self, line: str):
        super().__init__(" ".join(line.splitlines()))  # messages of other libraries may have several lines
