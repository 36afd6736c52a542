"""The exceptions a user can meet. Each message names the value, what was expected and the fix."""


class GatoGymError(Exception):
    """Base of all documented errors; the command line turns it into one line and exit code 2."""


class UnknownTaskError(GatoGymError, LookupError):
    """A task id that no registry knows; the message lists the nearest ids."""


class MissingExtraError(GatoGymError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""


class UnsupportedSpaceError(GatoGymError, TypeError):
    """A Gymnasium space that has no tokenisation; `fix` is what to do about it."""

    fix = ""


class InvalidObservationError(GatoGymError, ValueError):
    """An observation that does not fit its task: a NaN, a wrong shape, a missing key."""


class InvalidEpisodeError(GatoGymError, ValueError):
    """An episode whose parts contradict each other."""


class CorruptShardError(GatoGymError, ValueError):
    """A corpus file whose bytes are not the ones that were committed."""


class CorruptCheckpointError(GatoGymError, ValueError):
    """A checkpoint folder that is incomplete or whose bytes changed."""


class HubError(CorruptCheckpointError):
    """The Hub has no such agent, does not let us read or write it, or cannot be reached."""


class PromptError(GatoGymError, ValueError):
    """A prompt that does not belong to the task, or is empty."""


class NonFiniteError(GatoGymError, ArithmeticError):
    """The network's predictions for an action are NaN or infinite; no action is made of them."""


class TrainingError(GatoGymError, RuntimeError):
    """Training cannot go on, e.g. a non-finite loss; names the batch's episodes."""


class OutOfMemoryError(GatoGymError, MemoryError):
    """A training step would not fit the memory; says by how much and what would."""


class CorpusPathError(GatoGymError, OSError):
    """A path that holds no corpus, or one of a newer format; the message says what to do."""


class MergeConflictError(GatoGymError, ValueError):
    """Two different episodes under the same key; the message names both."""


class DatasetError(GatoGymError, ValueError):
    """A data set of another format that cannot be read or written; names it and its episode."""


class ClusterError(GatoGymError, RuntimeError):
    """A Ray cluster where nobody answers, or with a node that cannot play; says which and why."""
