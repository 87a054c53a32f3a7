"""Trees as the JSON of an xgboost Booster (model schema of XGBoost 3.2), written and read without xgboost.

Written bytes equal what ``Booster.save_raw("json")`` gives for the pooled model: keys in alphabetical order, no blanks, and
floats as the shortest decimal that reads back as the same float32, in scientific notation.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import RegistryError
from riskfed.jobs import XgboostParameters
from riskfed.trees.tree import NO_CHILD, NO_PARENT, Tree

_VERSION = [3, 2, 0]


class ParsedBooster(NamedTuple):
    """What `parse_booster` found.

    Attributes:
        trees: in the order of boosting, without bins (see `Tree.with_bins`).
        base_score: prior PD, a float32.
        feature_names: names of the columns in order; f0, f1, ... if the file has none.
    """

    trees: list[Tree]
    base_score: float
    feature_names: tuple[str, ...]


def booster_json(
    trees: Sequence[Tree], feature_names: Sequence[str], job: XgboostParameters, base_score: float
) -> bytes:
    """Write a binary:logistic Booster.

    Args:
        trees: in the order of boosting.
        feature_names: one for each column.
        job: the job that grew them; its ``base_score`` says whether the prior was given or estimated.
        base_score: the prior PD that was used.
    """
    trees_json = ",".join(_tree_json(index, tree, len(feature_names)) for index, tree in enumerate(trees))
    n_trees = len(trees)
    model = (
        '{"cats":{"enc":[],"feature_segments":[],"sorted_idx":[]},'
        f'"gbtree_model_param":{{"num_parallel_tree":"1","num_trees":"{n_trees}"}},'
        f'"iteration_indptr":{_integers(np.arange(n_trees + 1))},'
        f'"tree_info":{_integers(np.zeros(n_trees, dtype=np.int32))},'
        f'"trees":[{trees_json}]}}'
    )
    names = ",".join(json.dumps(name, ensure_ascii=False) for name in feature_names)
    text = (
        f'{{"learner":{{"attributes":{{}},"feature_names":[{names}],"feature_types":[],'
        f'"gradient_booster":{{"model":{model},"name":"gbtree"}},'
        f'"learner_model_param":{{"base_score":"[{_float(np.float32(base_score))}]",'
        f'"boost_from_average":"{int(job.base_score is None)}",'
        f'"num_class":"0","num_feature":"{len(feature_names)}","num_target":"1"}},'
        f'"objective":{{"name":"binary:logistic","reg_loss_param":'
        f'{{"scale_pos_weight":"{np.float32(job.scale_pos_weight):.9g}"}}}}}},'
        f'"version":{_integers(np.array(_VERSION))}}}'
    )
    return text.encode()


def _tree_json(index: int, tree: Tree, n_features: int) -> str:
    return (
        f'{{"base_weights":{_floats(tree.base_weights)},'
        '"categories":[],"categories_nodes":[],"categories_segments":[],"categories_sizes":[],'
        f'"default_left":{_integers(tree.default_left)},"id":{index},'
        f'"left_children":{_integers(tree.left_children)},"loss_changes":{_floats(tree.loss_changes)},'
        f'"parents":{_integers(tree.parents)},"right_children":{_integers(tree.right_children)},'
        f'"split_conditions":{_floats(tree.split_conditions)},"split_indices":{_integers(tree.split_indices)},'
        f'"split_type":{_integers(np.zeros(tree.n_nodes, dtype=np.int32))},"sum_hessian":{_floats(tree.sum_hessian)},'
        f'"tree_param":{{"num_deleted":"0","num_feature":"{n_features}","num_nodes":"{tree.n_nodes}",'
        '"size_leaf_vector":"1"}}'
    )


def _integers(values: NDArray[np.integer[Any]]) -> str:
    return "[" + ",".join(map(str, values.tolist())) + "]"


def _floats(values: NDArray[np.float32]) -> str:
    return "[" + ",".join(map(_float, values)) + "]"


def _float(value: np.float32) -> str:
    """Like 5E-1 and 1.5249619E1: the shortest digits, no plus, no leading zeros in the exponent."""
    return np.format_float_scientific(value, unique=True, trim="-", exp_digits=1).replace("e+", "E").replace("e", "E")


def parse_booster(model: bytes) -> ParsedBooster:
    """Read a binary:logistic Booster as `booster_json` or ``Booster.save_raw("json")`` wrote it.

    Raises:
        RegistryError: not such a file; a kind of model that federated training does not give (another objective or
            booster, several classes, parallel trees, categorical splits, pruned nodes), or trees that are not trees.
    """
    try:
        learner = json.loads(model)["learner"]
        _expect("objective", learner["objective"]["name"], "binary:logistic")
        _expect("booster", learner["gradient_booster"]["name"], "gbtree")
        parameters, gbtree = learner["learner_model_param"], learner["gradient_booster"]["model"]
        _expect("num_class", int(parameters["num_class"]), 0)
        _expect("num_parallel_tree", int(gbtree["gbtree_model_param"]["num_parallel_tree"]), 1)
        n_features = int(parameters["num_feature"])
        names = tuple(str(name) for name in learner["feature_names"]) or tuple(f"f{i}" for i in range(n_features))
        _expect("number of feature names", len(names), n_features)
        scores = np.atleast_1d(np.array(json.loads(parameters["base_score"]), dtype=np.float32))
        _expect("number of base scores", len(scores), 1)
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is refused as such
            trees = [_parse_tree(fields, n_features) for fields in gbtree["trees"]]
        _expect("num_trees", int(gbtree["gbtree_model_param"]["num_trees"]), len(trees))
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError) as error:
        raise RegistryError(
            f"not the JSON of an xgboost Booster ({type(error).__name__}); expected what save_raw('json') writes"
        ) from None
    if not 0 < scores[0] < 1:
        raise RegistryError("the Booster's base_score is not a PD inside (0, 1)")
    return ParsedBooster(trees, float(scores[0]), names)


def _expect(what: str, got: object, expected: object) -> None:
    if got != expected:
        raise RegistryError(f"the Booster's {what} is {got!r}; expected {expected!r}")


def _parse_tree(fields: dict[str, Any], n_features: int) -> Tree:
    tree = Tree(
        left_children=np.array(fields["left_children"], dtype=np.int32),
        right_children=np.array(fields["right_children"], dtype=np.int32),
        parents=np.array(fields["parents"], dtype=np.int32),
        split_indices=np.array(fields["split_indices"], dtype=np.int32),
        split_conditions=np.array(fields["split_conditions"], dtype=np.float32),
        default_left=np.array(fields["default_left"], dtype=np.uint8),
        base_weights=np.array(fields["base_weights"], dtype=np.float32),
        loss_changes=np.array(fields["loss_changes"], dtype=np.float32),
        sum_hessian=np.array(fields["sum_hessian"], dtype=np.float32),
    )
    _expect("num_nodes", int(fields["tree_param"]["num_nodes"]), tree.n_nodes)
    _expect("num_deleted (nodes that were pruned)", int(fields["tree_param"]["num_deleted"]), 0)
    if any(fields["split_type"]) or len(fields["categories"]):
        raise RegistryError("the Booster has categorical splits; expected numeric ones only")
    columns = [getattr(tree, name) for name in Tree.__dataclass_fields__ if name != "split_bins"]
    if tree.n_nodes == 0 or any(column.shape != (tree.n_nodes,) for column in columns):
        raise RegistryError("a tree of the Booster has no nodes, or arrays of different lengths")
    if not all(np.isfinite(column).all() for column in columns):
        raise RegistryError("a tree of the Booster has a number that is not finite")
    _check_shape(tree, n_features)
    return tree


def _check_shape(tree: Tree, n_features: int) -> None:
    """Every node but the root is the child of exactly one node, and comes after it: so there are no loops."""
    splits = np.flatnonzero(~tree.is_leaf)
    children = np.concatenate([tree.left_children[splits], tree.right_children[splits]])
    complete = np.array_equal(np.sort(children), np.arange(1, tree.n_nodes))
    if (
        not complete
        or (children <= np.concatenate([splits, splits])).any()
        or (tree.right_children[tree.is_leaf] != NO_CHILD).any()
        or tree.parents[0] != NO_PARENT
        or not np.array_equal(tree.parents[children], np.concatenate([splits, splits]))
    ):
        raise RegistryError("a tree of the Booster is not a tree: its children and parents do not fit together")
    if ((tree.split_indices < 0) | (tree.split_indices >= n_features))[splits].any():
        raise RegistryError(f"a tree of the Booster splits on a feature outside of its {n_features} columns")
