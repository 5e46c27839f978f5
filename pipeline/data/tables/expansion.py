"""A bound on what a compressed file may expand to."""

from pipeline.errors import WaznError


class Expansion:
    """Counts bytes as they are unpacked."""

    def __init__(self, name: str, max_mb: int) -> None:
        """Allow `max_mb` MiB to the file that messages call `name`."""
        self._name, self._max_mb, self._left = name, max_mb, max_mb << 20

    def add(self, size: int) -> None:
        """Count `size` more bytes.

        Raises:
            WaznError: all of them together are more than the file may expand to.
        """
        self._left -= size
        if self._left < 0:
            raise WaznError(
                f"{self._name}: expands to more than {self._max_mb} MB; if you trust it, raise "
                "download.max_unpacked_mb"
            )
