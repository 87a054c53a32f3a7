"""Which model of the banks a registered version stands for."""

from __future__ import annotations

from riskfed.errors import RegistryError
from riskfed.tracking.connection import connect, registry_errors
from riskfed.tracking.joint import FEATURE_HOLDERS


def champion_sha256(tracking_uri: str, name: str, alias: str = "champion") -> str:
    """sha256 (hex) of the full model, as the banks keep it, of the version that carries `alias`.

    Raises:
        RegistryError: there is none, it does not say, it is a vertical model, or MLflow cannot be reached.
    """
    client = connect(tracking_uri)
    with registry_errors(f"the {alias} of {name} could not be found"):
        version = client.get_model_version_by_alias(name, alias)
    if (holders := version.tags.get(FEATURE_HOLDERS)) is not None:
        raise RegistryError(
            f"{name} version {version.version} is a joint model with columns of {holders}: no party can score it by itself, so no job can "
            "name it; compare joint models by the figures of their own runs"
        )
    sha256 = version.tags.get("bank_model_sha256")
    if not sha256:
        raise RegistryError(
            f"{name} version {version.version} does not state bank_model_sha256; register the banks' release again"
        )
    return str(sha256)
