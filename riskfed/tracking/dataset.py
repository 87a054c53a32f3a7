"""The consortium's schema as MLflow sees a dataset: columns, no rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from riskfed.schema import Schema

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput


def schema_dataset(schema: Schema) -> DatasetInput:
    """Names and types of the columns; the digest is the start of the schema's fingerprint."""
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.types import ColSpec
    from mlflow.types import Schema as Columns

    columns = [ColSpec("double" if f.encoding == "numeric" else "string", f.name) for f in schema.features]
    # MLflow leaves one method of MetaDataset abstract in name only.
    described = MetaDataset(  # type: ignore[abstract]
        CodeDatasetSource({"riskfed": "rows stay at the banks"}),
        name=f"{schema.name}-{schema.version}",
        digest=schema.fingerprint[:8],
        schema=Columns([*columns, ColSpec("long", schema.target)]),
    ).to_dict()
    return DatasetInput(
        Dataset(
            name=described["name"],
            digest=described["digest"],
            source_type=described["source_type"],
            source=described["source"],
            schema=described["schema"],
        ),
        [InputTag("mlflow.data.context", "training")],
    )
