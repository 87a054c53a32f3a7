"""The Open Inference Protocol's tensors, to applicants and back.

One input tensor for each feature, of shape [n] or [n, 1]: BYTES for levels that are texts, INT64 for levels that are integers, FP64 for
numbers (any other numeric type is taken too). A missing value is null; nullable features may be left out. Outputs: ``pd`` FP64 [n],
``score`` INT32 [n] and ``reasons`` BYTES [n, 4], their codes, "" behind the last one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from riskfed.evaluation.reasons import MOST_REASONS
from riskfed.schema import Feature, Schema
from riskfed.serving.api.messages import RequestId
from riskfed.serving.api.problems import ProblemError
from riskfed.serving.engine.applicant import FieldProblem
from riskfed.serving.engine.score import Score

OUTPUTS: Final = {"pd": "FP64", "score": "INT32", "reasons": "BYTES"}
_NUMBERS: Final = frozenset(
    {"FP16", "FP32", "FP64", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"}
)


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class InferenceInput(_Message):
    """A tensor: one feature of all applicants."""

    name: str
    shape: list[int] = Field(min_length=1, max_length=2)
    datatype: str
    parameters: dict[str, Any] | None = None
    data: list[Any]


class RequestedOutput(_Message):
    """An output that is wanted."""

    name: str
    parameters: dict[str, Any] | None = None


class InferenceRequest(_Message):
    """Applicants as tensors. Parameters are taken and have no effect, but that binary data is refused."""

    id: RequestId | None = None
    parameters: dict[str, Any] | None = None
    inputs: list[InferenceInput] = Field(min_length=1)
    outputs: list[RequestedOutput] | None = None


class OutputTensor(BaseModel):
    """One output."""

    name: str
    datatype: str
    shape: list[int]
    data: list[float | int | str]


class InferenceAnswer(BaseModel):
    """Scores as tensors."""

    model_name: str
    model_version: str
    id: str
    outputs: list[OutputTensor]


class TensorMetadata(BaseModel):
    """One input or output; -1 stands for the number of applicants."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """A model's inputs and outputs."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ModelReady(BaseModel):
    """That a model can score."""

    name: str
    ready: Literal[True]


class ServerMetadata(BaseModel):
    """The server."""

    name: str
    version: str
    extensions: list[str]


class ServerLive(BaseModel):
    """That the process is alive."""

    live: Literal[True]


class ServerReady(BaseModel):
    """That it can score."""

    ready: Literal[True]


class InferenceError(BaseModel):
    """The protocol's only form of an error."""

    error: str


def input_metadata(schema: Schema) -> list[dict[str, Any]]:
    """Name, datatype and shape of each input."""
    return [{"name": f.name, "datatype": datatype_of(f), "shape": [-1]} for f in schema.features]


def output_metadata() -> list[dict[str, Any]]:
    """Name, datatype and shape of each output."""
    return [
        {"name": name, "datatype": datatype, "shape": [-1, MOST_REASONS] if name == "reasons" else [-1]}
        for name, datatype in OUTPUTS.items()
    ]


def datatype_of(feature: Feature) -> str:
    """The type that metadata states for a feature."""
    if not feature.levels:
        return "FP64"
    return "INT64" if all(isinstance(level, int) for level in feature.levels) else "BYTES"


def applicants_of(asked: InferenceRequest, schema: Schema, most: int) -> list[dict[str, Any]]:
    """The applicants.

    Raises:
        ProblemError: 400: tensors that do not belong together, of another shape or type; 413: more than `most` applicants.
    """
    features = {feature.name: feature for feature in schema.features}
    wrong: list[FieldProblem] = []
    for place, tensor in enumerate(asked.inputs):
        wrong += [
            FieldProblem(("inputs", str(place), field), "wrong_type", text) for field, text in _faults(tensor, features)
        ]
    names = [tensor.name for tensor in asked.inputs]
    if not wrong and len(set(names)) != len(names):
        wrong.append(FieldProblem(("inputs",), "wrong_type", "names a tensor twice"))
    lengths = {tensor.shape[0] for tensor in asked.inputs}
    if not wrong and len(lengths) != 1:
        wrong.append(FieldProblem(("inputs",), "wrong_type", "all tensors must have as many rows"))
    if wrong:
        raise refused(wrong)
    (length,) = lengths
    if length > most:
        raise ProblemError(413, f"At most {most} applicants at once.")
    columns = [_flat(tensor) for tensor in asked.inputs]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def refused(wrong: Sequence[FieldProblem]) -> ProblemError:
    """400 with pointers."""
    return ProblemError(400, "The tensors do not meet the model's schema:", kind="invalid-request", errors=wrong)


def requested_outputs(asked: InferenceRequest) -> tuple[str, ...]:
    """Names of the outputs that are wanted, all by default.

    Raises:
        ProblemError: 400: there is no such output, or it is wanted as binary data.
    """
    outputs = asked.outputs or []
    for place, output in enumerate(outputs):
        if output.name not in OUTPUTS:
            there = ", ".join(OUTPUTS)
            raise refused([FieldProblem(("outputs", str(place), "name"), "unknown", f"must be one of: {there}")])
    parameters = [asked.parameters, *(output.parameters for output in outputs)]
    if any(bool((one or {}).get(name)) for one in parameters for name in ("binary_data", "binary_data_output")):
        raise ProblemError(400, "The extension for binary data is not supported; ask for JSON.", kind="invalid-request")
    return tuple(dict.fromkeys(output.name for output in outputs)) or tuple(OUTPUTS)


def output_tensors(names: Iterable[str], scores: Sequence[Score]) -> list[dict[str, Any]]:
    """The wanted outputs, data in row-major order."""
    data = {
        "pd": [score.pd for score in scores],
        "score": [score.points for score in scores],
        "reasons": [code for score in scores for code in _codes(score)],
    }
    shapes = {"reasons": [len(scores), MOST_REASONS]}
    return [
        {"name": name, "datatype": OUTPUTS[name], "shape": shapes.get(name, [len(scores)]), "data": data[name]}
        for name in names
    ]


def _codes(score: Score) -> list[str]:
    codes = [reason.code for reason in score.reasons]
    return codes + [""] * (MOST_REASONS - len(codes))


def _faults(tensor: InferenceInput, features: dict[str, Feature]) -> Iterable[tuple[str, str]]:
    """What is wrong with a tensor by itself: (its field, what was expected)."""
    feature = features.get(tensor.name)
    if feature is None:
        yield "name", "the model's schema has no such feature"
        return
    if "binary_data_size" in (tensor.parameters or {}):
        yield "parameters", "the extension for binary data is not supported; send data"
    expected = datatype_of(feature)
    if tensor.datatype != expected and (expected == "BYTES" or tensor.datatype not in _NUMBERS):
        yield "datatype", f"must be {expected}"
    rows = tensor.shape[0]
    if rows < 1 or tensor.shape[1:] not in ([], [1]):
        yield "shape", "must be [n] or [n, 1], n at least 1"
    elif len(tensor.data) != rows:
        yield "data", "must have as many entries as shape says"
    elif any(isinstance(entry, list) and len(entry) != 1 for entry in tensor.data):
        yield "data", "must be flat, or rows of one entry"


def _flat(tensor: InferenceInput) -> list[Any]:
    if len(tensor.shape) == 1:
        return tensor.data
    return [entry[0] if isinstance(entry, list) else entry for entry in tensor.data]
