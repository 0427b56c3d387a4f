"""Errors that reach a person as one paragraph, each with the exit code it ends the process with."""


class WarmrlError(Exception):
    """Something went wrong while working; the message is one paragraph for a person (exit code 1)."""

    exit_code = 1
    everywhere = False
    """Whether it is raised in all processes of the run, so that they may still do something together."""


class UsageError(WarmrlError):
    """The command, recipe or data given cannot be used as it is (exit code 2)."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe breaks a rule: where (file, TOML path), what, the rule, the fix."""


class PluginError(UsageError):
    """A plugin that is needed is missing, broken, registered twice or not trusted."""


class DataError(UsageError):
    """A dataset cannot be read: the message names the file, the row and the rule."""


class ServiceError(WarmrlError):
    """Something outside the run (a sampler's or a teacher's server) is late, dead or talks nonsense.

    The policy is whole when it comes: a checkpoint is published, and the same command goes on from it.
    """


class StorageError(WarmrlError):
    """A write failed (disk full, I/O error); what was published before is intact."""


class Interrupted(WarmrlError):
    """SIGINT (130) or SIGTERM (143) arrived; a checkpoint was published before this was raised."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
