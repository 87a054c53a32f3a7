"""Every error that riskfed raises on purpose.

    RiskfedError
    ├── ConfigurationError      a file or argument is wrong; whoever wrote it must act
    │   ├── SchemaError         the consortium's schema
    │   ├── JobError            a job's parameters
    │   └── PlanError           who takes part, under which protection
    ├── ContractError           a bank's records do not meet the schema; its data engineer must act
    ├── PolicyError             a bank's policy refuses the job; that bank decides
    ├── ProtectionError         protection is missing, weak or broken; nothing is sent
    ├── ProtocolError           the conversation went out of step
    │   ├── LocalProtocolError  this side did something that its state forbids: a defect here
    │   └── RemoteProtocolError the other side did: its operator must act
    ├── BankLostError           a bank did not answer within the limit
    ├── RunFailedError          the run was ended by another party; the message says by whom and why
    ├── RegistryError           a model could not be registered, promoted or loaded
    ├── AuditError              a line of the audit log could not be written; what it was to tell must not leave
    └── IdempotencyError        the store of answers did not answer; its operator must act

A message says what was got, what was expected and who must act. It never holds a record's or an applicant's value, because
errors cross from a bank to the server.
"""


class RiskfedError(Exception):
    """Base of all of riskfed's own errors."""


class ConfigurationError(RiskfedError):
    """A configuration file or an argument is wrong."""


class SchemaError(ConfigurationError):
    """The schema is inconsistent, or two parties hold different ones."""


class JobError(ConfigurationError):
    """A job has an unsupported or impossible parameter."""


class PlanError(ConfigurationError):
    """The roster or the protection of a run is impossible."""


class ContractError(RiskfedError):
    """Records do not meet the schema. Says rule, column and count, never a value."""


class PolicyError(RiskfedError):
    """A bank's policy refuses what was asked.

    Attributes:
        rule: name of the policy's rule; empty where it was none of them.
    """

    def __init__(self, message: str, rule: str = "") -> None:
        super().__init__(message)
        self.rule = rule


class ProtectionError(RiskfedError):
    """Protection is missing, too weak, or cannot be undone with what this side holds."""


class ProtocolError(RiskfedError):
    """The conversation between banks and switchboard went out of step."""


class LocalProtocolError(ProtocolError):
    """This side tried what its own state forbids."""


class RemoteProtocolError(ProtocolError):
    """The other side sent what the state forbids, or something malformed."""


class BankLostError(RiskfedError):
    """A bank did not answer within the limit."""


class RunFailedError(RiskfedError):
    """Another party ended the run."""


class RegistryError(RiskfedError):
    """A model could not be registered, promoted or loaded."""


class AuditError(RiskfedError):
    """A line of the audit log could not be written: the disk is full, for one."""


class IdempotencyError(RiskfedError):
    """The store of answers could not be read or written."""
