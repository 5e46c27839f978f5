"""The section `ask`: what `wazn ask` tells whoever asks."""

from pipeline.config.base import Section, Text


class AskConfig(Section):
    """The number of the emergency services, as people there dial it."""

    emergency_number: Text
