"""Every border that takes bytes from another party."""

from tests.fuzz.conversations import CONVERSATIONS
from tests.fuzz.encrypted_vectors import VECTORS
from tests.fuzz.linear_jobs import LINEAR_JOBS
from tests.fuzz.models import MODELS
from tests.fuzz.parsers import PARSERS
from tests.fuzz.vault import VAULTS
from tests.fuzz.vertical import VERTICAL

TARGETS = [*PARSERS, *CONVERSATIONS, *VAULTS, *VERTICAL, *VECTORS, *LINEAR_JOBS, *MODELS]
