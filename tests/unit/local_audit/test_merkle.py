"""The trees are those of RFC 6962, by the vectors of Certificate Transparency's own tests."""

import pytest
from handsent.audit.merkle import EMPTY, BadProof, leaf, node, proof, root, root_from
from hypothesis import given
from hypothesis import strategies as st

ENTRIES = [
    bytes.fromhex(entry)
    for entry in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
# (leaf, size of the tree, its audit path from the leaf upwards)
PATHS = [
    (0, 8, ["96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"]),
    (5, 8, ["bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"]),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (1, 5, ["6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"]),
]  # fmt: skip
LEAVES = [leaf(entry) for entry in ENTRIES]
some_leaves = st.lists(st.binary(max_size=4).map(leaf), max_size=70)


def split(n: int) -> int:
    """The RFC's k: the largest power of two below n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def mth(leaves: list[bytes]) -> bytes:
    """MTH as RFC 6962 writes it down."""
    if len(leaves) < 2:
        return leaves[0] if leaves else EMPTY
    k = split(len(leaves))
    return node(mth(leaves[:k]), mth(leaves[k:]))


def path(m: int, leaves: list[bytes]) -> list[bytes]:
    """PATH as RFC 6962 writes it down: from the leaf upwards."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    return [*path(m, leaves[:k]), mth(leaves[k:])] if m < k else [*path(m - k, leaves[k:]), mth(leaves[:k])]


def test_the_empty_tree_is_the_hash_of_nothing() -> None:
    assert root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert root_from(0, {}, []) == root([]) and proof([], []) == []


@pytest.mark.parametrize("size", range(1, 9))
def test_trees_of_one_to_eight_leaves_have_the_known_roots(size: int) -> None:
    assert root(LEAVES[:size]).hex() == ROOTS[size - 1]


@pytest.mark.parametrize(("at", "size", "hashes"), PATHS)
def test_a_proof_of_one_leaf_has_the_hashes_of_the_known_path(at: int, size: int, hashes: list[str]) -> None:
    assert sorted(one.hex() for one in proof(LEAVES[:size], [at])) == sorted(hashes)
    assert [one.hex() for one in path(at, LEAVES[:size])] == hashes


@given(some_leaves)
def test_the_root_is_the_rfc_s(leaves: list[bytes]) -> None:
    assert root(leaves) == mth(leaves)


@given(some_leaves.filter(bool), st.data())
def test_a_proof_of_one_leaf_is_the_rfc_s_path(leaves: list[bytes], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(leaves) - 1))
    assert sorted(proof(leaves, [at])) == sorted(path(at, leaves))


@given(some_leaves, st.data())
def test_any_leaves_and_their_proof_give_the_root(leaves: list[bytes], data: st.DataObject) -> None:
    shown = data.draw(st.sets(st.integers(0, len(leaves) - 1))) if leaves else set()
    told = {at: leaves[at] for at in shown}
    hashes = proof(leaves, shown)
    assert root_from(len(leaves), told, hashes) == root(leaves)
    if told:
        changed = data.draw(st.sampled_from(sorted(told)))
        assert root_from(len(leaves), {**told, changed: leaf(b"another")}, hashes) != root(leaves)
    with pytest.raises(BadProof):
        root_from(len(leaves), told, [*hashes, EMPTY])
    if hashes:
        with pytest.raises(BadProof):
            root_from(len(leaves), told, hashes[:-1])


@given(some_leaves.filter(lambda leaves: len(leaves) > 1), st.data())
def test_an_edited_moved_added_or_removed_leaf_changes_the_root(leaves: list[bytes], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(leaves) - 1))
    assert root([*leaves[:at], leaf(b"another"), *leaves[at + 1 :]]) != root(leaves)
    assert root([*leaves[:at], *leaves[at + 1 :]]) != root(leaves)
    assert root([*leaves[:at], leaf(b"another"), *leaves[at:]]) != root(leaves)
    turned = leaves[::-1]
    assert (root(turned) == root(leaves)) is (turned == leaves)


def test_a_node_does_not_pass_for_a_leaf() -> None:
    left, right = LEAVES[:2]
    assert leaf(left + right) != node(left, right)


def test_a_leaf_outside_the_tree_is_no_proof() -> None:
    with pytest.raises(BadProof):
        root_from(2, {2: LEAVES[0]}, [])
    with pytest.raises(IndexError):
        proof(LEAVES, [8])
