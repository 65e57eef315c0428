"""The root of the project's error tree.

LakehouseError
├── ConfigurationError      settings, symbols file or command line cannot be used as they are
└── (each package adds its own branch in its errors.py)
"""


class LakehouseError(Exception):
    """Base of every error that this project raises on purpose."""


class ConfigurationError(LakehouseError):
    """A setting, file or option cannot be used.

    Args:
        where: the variable, file or option at fault, as the user wrote it.
        problem: what is wrong with it.
        remedy: what the user can do about it.
    """

    def __init__(self, where: str, problem: str, remedy: str) -> None:
        super().__init__(f"{where}: {problem}. {remedy}")
        self.where = where
        self.problem = problem
        self.remedy = remedy
