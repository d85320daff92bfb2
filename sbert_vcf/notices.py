"""What a run tells its user once: fallbacks, missing things, and the model that it used."""

import logging

LOGGER = logging.getLogger("sbert_vcf")


class Notices:
    """Says each thing once per run, however many records it concerns."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def warn(self, key: str, message: str) -> None:
        """Log a warning the first time that `key` comes up."""
        if key not in self._said:
            self._said.add(key)
            LOGGER.warning("%s", message)

    def said(self, key: str) -> bool:
        """Tell whether `key` has come up, so that what only a warning needs is not found out again."""
        return key in self._said
