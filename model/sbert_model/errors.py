"""The one family of exceptions that the three packages raise for a user to read."""


class SbertError(Exception):
    """Something that the user can mend. The message is one line: file, record, what is wrong, what to do."""


class InputError(SbertError):
    """An input file (VCF, FASTA, GTF, table) that is missing, broken or does not fit the others."""


class ModelError(SbertError):
    """A model that is unknown, incomplete or of another kind than the one asked for."""


class DeviceError(SbertError):
    """A device or a precision that this machine cannot offer."""


class OutputError(SbertError):
    """An output that cannot be written."""
