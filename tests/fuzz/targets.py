"""Every border that takes bytes from another party."""

from tests.fuzz.conversations import CONVERSATIONS
from tests.fuzz.parsers import PARSERS
from tests.fuzz.vault import VAULTS
from tests.fuzz.vertical import VERTICAL

TARGETS = [*PARSERS, *CONVERSATIONS, *VAULTS, *VERTICAL]
