"""The structure of tree ensembles in an ONNX graph.

onnxruntime recurses into trees while it loads them, and indexes rows and scores with numbers
from the graph, so both are checked first.

Formats: TreeEnsembleClassifier and TreeEnsembleRegressor of ai.onnx.ml 1 to 3; TreeEnsemble of
version 5, where a child is either a node or a leaf, each counted from 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from artifact_pipeline.builder.formats.onnx_protobuf import GraphRefused, Node, numbers_or_texts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_DEPTH = 1000
"""Maximum nodes from a root to a leaf. The runtime recurses for each while it loads, and a stack
overflow ends the process (between 2,000 and 3,000 nodes on a stack of 2 MiB)."""
_MAX_ID = 1 << 31


class Trees(NamedTuple):
    """The size of an ensemble.

    Attributes:
        trees: The number of trees.
        depth: Nodes on the longest path from a root to a leaf.
        features: The number of features a row must have.
    """

    trees: int
    depth: int
    features: int


def check(node: Node) -> Trees:
    """Return the size of the ensemble that an operator computes.

    Raises:
        GraphRefused: If its lists disagree in length, lead to a node, leaf or score that does not
            exist, or form a cycle, or a tree is deeper than `MAX_DEPTH`.
    """
    return _by_leaf(node) if node.operator == "TreeEnsemble" else _by_id(node)


def _by_id(node: Node) -> Trees:
    """Check trees whose nodes are named by the numbers of their tree and of themselves."""
    import numpy as np

    keys = ("treeids", "nodeids", "featureids", "truenodeids", "falsenodeids")
    trees, ids, features, *children = (_ids(node, f"nodes_{key}") for key in keys)
    modes = np.array(node.texts("nodes_modes"))
    values = node.floats("nodes_values")
    if {len(trees), len(ids), len(features), *map(len, children), values} != {len(modes)}:
        raise GraphRefused("the lists of its tree nodes differ in length")
    if not len(modes):
        raise GraphRefused("an ensemble has no trees")
    inner = np.flatnonzero(modes != b"LEAF")
    _check_ids(trees, ids, features[inner], *(child[inner] for child in children))
    places = trees << np.uint64(32) | ids
    order = np.argsort(places)
    below = np.full((2, len(modes)), -1)
    for side in (0, 1):
        wanted = trees[inner] << np.uint64(32) | children[side][inner]
        at = np.searchsorted(places, wanted, sorter=order).clip(max=len(places) - 1)
        if (places[order[at]] != wanted).any():
            raise GraphRefused("a tree leads to a node that does not exist")
        below[side, inner] = order[at]
    if len(np.unique(places)) < len(modes):
        raise GraphRefused("a node is in its trees twice")
    _check_scores(node, places)
    depth = _depth(below)
    return Trees(len(np.unique(trees)), depth, _count(features[inner]))


def _check_scores(node: Node, places: NDArray[np.uint64]) -> None:
    """Refuse weights that belong to no node or no score."""
    import numpy as np

    classifies = node.operator == "TreeEnsembleClassifier"
    prefix = "class" if classifies else "target"
    trees, ids, targets = (_ids(node, f"{prefix}_{key}") for key in ("treeids", "nodeids", "ids"))
    if {len(trees), len(ids), len(targets)} != {node.floats(f"{prefix}_weights")}:
        raise GraphRefused("the lists of its tree weights differ in length")
    if classifies:
        labels = node.texts("classlabels_strings") or node.integers("classlabels_int64s") or ()
        count = len(labels)
    else:
        count = node.integer("n_targets", 0)
    _check_ids(trees, ids, targets)
    if not np.isin(trees << np.uint64(32) | ids, places).all():
        raise GraphRefused("a weight of a tree belongs to a node that does not exist")
    if _count(targets) > max(count, 0):
        raise GraphRefused("a weight of a tree belongs to a score that does not exist")


def _by_leaf(node: Node) -> Trees:
    """Check trees whose nodes and leaves are counted from 0."""
    import numpy as np

    keys = ("featureids", "truenodeids", "falsenodeids", "trueleafs", "falseleafs")
    features, *lists = (_ids(node, f"nodes_{key}") for key in keys)
    children, leaf_flags = lists[:2], lists[2:]
    roots, targets = _ids(node, "tree_roots"), _ids(node, "leaf_targetids")
    count, leaves = len(features), len(targets)
    tensors = [node.tensor(name) for name in ("nodes_splits", "nodes_modes", "leaf_weights")]
    lengths = [tensor.shape if tensor else None for tensor in tensors]
    if lengths != [(count,), (count,), (leaves,)] or {*map(len, lists)} != {count} or not count:
        raise GraphRefused("the lists of its tree nodes differ in length")
    below = np.full((2, count), -1)
    for side in (0, 1):
        is_leaf = leaf_flags[side] == 1
        if (leaf_flags[side] > 1).any():
            raise GraphRefused("a child in its trees is neither a node nor a leaf")
        if (children[side] >= np.where(is_leaf, leaves, count).astype(np.uint64)).any():
            raise GraphRefused("a tree leads to a node that does not exist")
        below[side] = np.where(is_leaf, -1, children[side].astype(np.int64))
    # The runtime writes a shared node once for each path to it.
    parents = np.bincount(np.r_[below[below >= 0], roots.clip(max=count).astype(np.int64)],
                          minlength=count)  # fmt: skip
    if not len(roots) or (roots >= count).any() or (parents != 1).any():
        raise GraphRefused("a node of its trees does not have exactly one parent")
    _check_ids(features, targets)
    if _count(targets) > max(node.integer("n_targets", 0), 0):
        raise GraphRefused("a leaf of a tree belongs to a score that does not exist")
    return Trees(len(roots), _depth(below), _count(features))


def _ids(node: Node, name: str) -> NDArray[np.uint64]:
    import numpy as np

    if name not in node.attributes:
        return np.array([], np.uint64)
    values = numbers_or_texts(node.data, node.attributes[name])
    if isinstance(values, list):
        raise GraphRefused("the nodes of its trees are not numbered")
    return values


def _check_ids(*lists: NDArray[np.uint64]) -> None:
    if any((values >= _MAX_ID).any() for values in lists):
        raise GraphRefused("the nodes of its trees are not numbered")


def _count(ids: NDArray[np.uint64]) -> int:
    """Return the length of a list that these numbers index."""
    return int(ids.max()) + 1 if len(ids) else 0


def _depth(below: NDArray[np.int64]) -> int:
    """Return the depth of trees by the places of each node's children, (2, n_nodes), -1 for none.

    Several nodes may lead to the same node, as in a chain of categories, but none to itself.
    """
    import numpy as np

    waits = np.bincount(below[below >= 0], minlength=below.shape[1])
    level, reached = np.flatnonzero(waits == 0), 0
    for depth in range(1, MAX_DEPTH + 2):
        reached += len(level)
        if reached == below.shape[1]:
            return depth
        children = below[:, level].ravel()
        children, times = np.unique(children[children >= 0], return_counts=True)
        waits[children] -= times
        level = children[waits[children] == 0]
    raise GraphRefused(f"a tree is more than {MAX_DEPTH} deep, or has a cycle")
