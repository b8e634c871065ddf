use crate::{
    encoding::{Canonical as _, DecodeError, Hash},
    ids::{LeafIndex, LogSize},
    log::{
        Checkpoint, ConsistencyProof, Frontier, InclusionProof, LEAVES_MAX, LogError, Tree, empty_root, leaf_hash,
        tree::node_hash, verify_consistency, verify_inclusion,
    },
};
use alloc::vec::Vec;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use serde_json::Value;

fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

fn tree(count: u64) -> Tree {
    leaves(count).into_iter().collect()
}

/// MTH of RFC 6962, 2.1, word for word.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let mut k = 1;
            while k * 2 < leaves.len() {
                k *= 2;
            }
            let (left, right) = leaves.split_at(k);
            node_hash(&naive_root(left), &naive_root(right))
        }
    }
}

/// PATH of RFC 6962, 2.1.1, word for word.
fn naive_path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let mut k = 1;
    while k * 2 < leaves.len() {
        k *= 2;
    }
    let (left, right) = leaves.split_at(k);
    let (mut path, sibling) =
        if m < k { (naive_path(m, left), naive_root(right)) } else { (naive_path(m - k, right), naive_root(left)) };
    path.push(sibling);
    path
}

fn base64_hash(value: &Value) -> Option<Hash> {
    STANDARD.decode(value.as_str()?).ok()?.try_into().ok()
}

fn base64_hashes(value: &Value) -> Option<Vec<Hash>> {
    value.as_array().map_or(Some(Vec::new()), |list| list.iter().map(base64_hash).collect())
}

#[test]
fn inclusion_vectors_of_transparency_dev_are_judged_as_they_say() {
    let vectors: Value = serde_json::from_str(include_str!("../../../vectors/merkle_inclusion.json")).unwrap();
    let vectors = vectors.as_object().unwrap();
    assert_eq!(vectors.len(), 98);
    for (name, v) in vectors {
        // A hash of another length cannot even be written down here: refused by its type.
        let verdict = (|| {
            let (leaf, root) = (base64_hash(&v["leafHash"])?, base64_hash(&v["root"])?);
            let proof = InclusionProof(base64_hashes(&v["proof"])?);
            let (index, size) = (LeafIndex(v["leafIdx"].as_u64()?), LogSize(v["treeSize"].as_u64()?));
            verify_inclusion(index, size, &leaf, &proof, &root).ok()
        })();
        assert_eq!(verdict.is_none(), v["wantErr"].as_bool().unwrap(), "{name}");
    }
}

#[test]
fn consistency_vectors_of_transparency_dev_are_judged_as_they_say() {
    let vectors: Value = serde_json::from_str(include_str!("../../../vectors/merkle_consistency.json")).unwrap();
    let vectors = vectors.as_object().unwrap();
    assert_eq!(vectors.len(), 98);
    for (name, v) in vectors {
        let verdict = (|| {
            // Some vectors write "don't care 1" for a root: any hash will do, as long as equal texts stay equal.
            let root = |name: &str| Some(base64_hash(&v[name]).unwrap_or(leaf_hash(v[name].as_str()?.as_bytes())));
            let (old, new) = (root("root1")?, root("root2")?);
            let proof = ConsistencyProof(base64_hashes(&v["proof"])?);
            let (old_size, new_size) = (LogSize(v["size1"].as_u64()?), LogSize(v["size2"].as_u64()?));
            verify_consistency(old_size, &old, new_size, &new, &proof).ok()
        })();
        assert_eq!(verdict.is_none(), v["wantErr"].as_bool().unwrap(), "{name}");
    }
}

#[test]
fn tree_and_frontier_agree_with_the_definition_at_every_size() {
    let leaves = leaves(70);
    let (mut tree, mut frontier) = (Tree::new(), Frontier::new());
    for size in 0..=leaves.len() {
        let expected = naive_root(&leaves[..size]);
        assert_eq!(tree.root(), expected, "{size}");
        assert_eq!(frontier.root(), expected, "{size}");
        assert_eq!(tree.frontier(), frontier, "{size}");
        assert_eq!((tree.size(), frontier.size()), (LogSize(size as u64), LogSize(size as u64)));
        assert_eq!(Frontier::from_bytes(&frontier.to_bytes()), Ok(frontier.clone()));
        for older in 0..=size {
            assert_eq!(tree.root_at(LogSize(older as u64)), Ok(naive_root(&leaves[..older])), "{older} of {size}");
        }
        if let Some(leaf) = leaves.get(size) {
            assert_eq!(tree.append(*leaf), LeafIndex(size as u64));
            assert_eq!(frontier.append(*leaf), LeafIndex(size as u64));
            assert_eq!(tree.leaf(LeafIndex(size as u64)), Some(*leaf));
        }
    }
}

#[test]
fn every_inclusion_proof_is_the_rfcs_and_verifies_for_its_leaf_alone() {
    let leaves = leaves(70);
    let tree: Tree = leaves.iter().copied().collect();
    for size in 1..=leaves.len() {
        let (n, root) = (LogSize(size as u64), naive_root(&leaves[..size]));
        for index in 0..size {
            let at = LeafIndex(index as u64);
            let proof = tree.inclusion(at, n).unwrap();
            assert_eq!(proof.0, naive_path(index, &leaves[..size]), "{index} of {size}");
            assert_eq!(InclusionProof::from_bytes(&proof.to_bytes()), Ok(proof.clone()));
            for claimed in 0..size {
                let verdict = verify_inclusion(LeafIndex(claimed as u64), n, &leaves[index], &proof, &root);
                assert_eq!(verdict.is_ok(), claimed == index, "{index} of {size} claimed at {claimed}");
            }
            assert_eq!(
                verify_inclusion(LeafIndex(n.0), n, &leaves[index], &proof, &root),
                Err(LogError::NoLeaf { index: LeafIndex(n.0), size: n })
            );
        }
    }
}

#[test]
fn every_consistency_proof_verifies_and_for_no_other_sizes() {
    const SIZES: u64 = 40;
    let tree = tree(SIZES);
    let root = |size: u64| tree.root_at(LogSize(size)).unwrap();
    for new in 1..=SIZES {
        for old in 1..=new {
            let proof = tree.consistency(LogSize(old), LogSize(new)).unwrap();
            assert_eq!(verify_consistency(LogSize(old), &root(old), LogSize(new), &root(new), &proof), Ok(()));
            assert_eq!(ConsistencyProof::from_bytes(&proof.to_bytes()), Ok(proof.clone()));
            for other in (1..=new).filter(|other| *other != old) {
                let verdict = verify_consistency(LogSize(other), &root(old), LogSize(new), &root(new), &proof);
                assert!(verdict.is_err(), "{old} to {new}, taken for {other} to {new}");
                let verdict = verify_consistency(LogSize(old), &root(other), LogSize(new), &root(new), &proof);
                assert!(verdict.is_err(), "{old} to {new} with the root of {other}");
            }
        }
    }
}

#[test]
fn nothing_is_proven_about_an_empty_tree() {
    let tree = tree(3);
    let none = ConsistencyProof::default();
    let (zero, three) = (LogSize(0), LogSize(3));
    assert_eq!(tree.consistency(zero, three), Err(LogError::FromEmpty));
    assert_eq!(verify_consistency(zero, &empty_root(), three, &tree.root(), &none), Err(LogError::FromEmpty));
    assert_eq!(verify_consistency(zero, &empty_root(), zero, &empty_root(), &none), Ok(()));
    assert_eq!(verify_consistency(zero, &[1; 32], zero, &[1; 32], &none), Err(LogError::EmptyRoot));
    let stuffed = ConsistencyProof(Vec::from([[0; 32]]));
    assert_eq!(
        verify_consistency(zero, &empty_root(), zero, &empty_root(), &stuffed),
        Err(LogError::ProofLength { expected: 0, got: 1 })
    );
    assert_eq!(
        verify_inclusion(LeafIndex(0), zero, &empty_root(), &InclusionProof::default(), &empty_root()),
        Err(LogError::NoLeaf { index: LeafIndex(0), size: zero })
    );
}

#[test]
fn equal_sizes_need_equal_roots_and_smaller_is_a_rollback() {
    let (tree, none) = (tree(5), ConsistencyProof::default());
    let (three, five) = (LogSize(3), LogSize(5));
    assert_eq!(verify_consistency(five, &tree.root(), five, &tree.root(), &none), Ok(()));
    assert_eq!(
        verify_consistency(five, &tree.root(), five, &[7; 32], &none),
        Err(LogError::Fork { size: five, ours: tree.root(), theirs: [7; 32] })
    );
    assert_eq!(
        verify_consistency(five, &tree.root(), three, &tree.root_at(three).unwrap(), &none),
        Err(LogError::Rollback { had: five, got: three })
    );
}

#[test]
fn a_tree_answers_no_question_about_what_it_does_not_have() {
    let tree = tree(5);
    let (five, six) = (LogSize(5), LogSize(6));
    let missing = LogError::NoSize { asked: six, size: five };
    assert_eq!(tree.root_at(six), Err(missing));
    assert_eq!(tree.root_at(LogSize(u64::MAX)), Err(LogError::NoSize { asked: LogSize(u64::MAX), size: five }));
    assert_eq!(tree.inclusion(LeafIndex(0), six), Err(missing));
    assert_eq!(tree.inclusion(LeafIndex(5), five), Err(LogError::NoLeaf { index: LeafIndex(5), size: five }));
    assert_eq!(tree.consistency(LogSize(1), six), Err(missing));
    assert_eq!(tree.consistency(five, LogSize(4)), Err(LogError::NoSize { asked: five, size: LogSize(4) }));
    assert_eq!(tree.leaf(LeafIndex(5)), None);
}

/// M01: an inner node must not pass for a leaf, nor a leaf of 64 bytes for an inner node.
#[test]
fn leaves_and_nodes_are_never_confused() {
    let leaves = leaves(4);
    let tree: Tree = leaves.iter().copied().collect();
    let joined = [leaves[0], leaves[1]].concat();
    assert_ne!(leaf_hash(&joined), node_hash(&leaves[0], &leaves[1]));
    // The classical attack: present the two-leaf tree of the inner nodes, whose "leaves" are those nodes.
    let left = node_hash(&leaves[0], &leaves[1]);
    let right = node_hash(&leaves[2], &leaves[3]);
    let shallow: Tree = [left, right].into_iter().collect();
    assert_eq!(shallow.root(), tree.root(), "the hashes alone cannot tell; the size in the checkpoint must");
    let proof = InclusionProof(Vec::from([right]));
    assert_eq!(
        verify_inclusion(LeafIndex(0), LogSize(4), &left, &proof, &tree.root()),
        Err(LogError::ProofLength { expected: 2, got: 1 })
    );
    // Nor do bytes exist whose leaf hash is the inner node: the data that hashes to it is 0x01-prefixed.
    let proof = tree.inclusion(LeafIndex(0), LogSize(4)).unwrap();
    assert_eq!(
        verify_inclusion(LeafIndex(0), LogSize(4), &leaf_hash(&joined), &proof, &tree.root()),
        Err(LogError::NotIncluded)
    );
}

/// M02: CVE-2012-2459. Repeating the last leaves gives another root.
#[test]
fn an_odd_node_is_not_duplicated() {
    for size in 1..20 {
        let mut leaves = leaves(size);
        let root = naive_root(&leaves);
        assert_eq!(leaves.iter().copied().collect::<Tree>().root(), root);
        for repeat in 1..=leaves.len().min(4) {
            let tail = leaves[leaves.len() - repeat..].to_vec();
            leaves.extend(tail);
            assert_ne!(leaves.iter().copied().collect::<Tree>().root(), root, "{size} leaves, last {repeat} repeated");
            leaves.truncate(leaves.len() - repeat);
        }
    }
}

#[test]
fn huge_sizes_neither_panic_nor_pass() {
    for index in [0, 1, u64::MAX / 2, u64::MAX - 1] {
        for count in [0, 1, 63, 64, 65] {
            let proof = InclusionProof(alloc::vec![[0; 32]; count]);
            let verdict = verify_inclusion(LeafIndex(index), LogSize(u64::MAX), &[0; 32], &proof, &[0; 32]);
            assert!(matches!(verdict, Err(LogError::ProofLength { .. } | LogError::NotIncluded)), "{index} {count}");
            let proof = ConsistencyProof(alloc::vec![[0; 32]; count]);
            let old = LogSize(index.max(1));
            let verdict = verify_consistency(old, &[0; 32], LogSize(u64::MAX), &[0; 32], &proof);
            assert!(matches!(verdict, Err(LogError::ProofLength { .. } | LogError::NotConsistent { .. })), "{index}");
        }
    }
}

#[test]
fn a_frontier_that_cannot_be_is_refused() {
    let mut bytes = tree(7).frontier().to_bytes();
    bytes.push(0);
    assert_eq!(Frontier::from_bytes(&bytes), Err(DecodeError::Trailing { left: 1 }));
    bytes.truncate(8 + 2 * 32);
    assert_eq!(Frontier::from_bytes(&bytes), Err(DecodeError::Short { wanted: 32, left: 0 }));
    let mut bytes = (LEAVES_MAX + 1).to_be_bytes().to_vec();
    bytes.extend([0; 64]);
    assert!(matches!(Frontier::from_bytes(&bytes), Err(DecodeError::OutOfRange { .. })));
    assert!(InclusionProof::from_bytes(&[0, 0, 0, 66]).is_err());
}

#[test]
fn a_checkpoint_extends_its_own_log_only() {
    let tree = tree(9);
    let at = |origin: &str, size: u64| Checkpoint {
        origin: origin.into(),
        size: LogSize(size),
        root: tree.root_at(LogSize(size)).unwrap(),
    };
    let proof = tree.consistency(LogSize(4), LogSize(9)).unwrap();
    let none = ConsistencyProof::default();
    assert_eq!(at("a", 9).extends(&at("a", 4), &proof), Ok(()));
    assert_eq!(at("b", 9).extends(&at("a", 4), &proof), Err(LogError::OtherLog));
    assert_eq!(at("a", 9).extends(&at("a", 0), &none), Ok(()));
    assert_eq!(at("a", 0).extends(&at("a", 0), &none), Ok(()));
    let stuffed = at("a", 9).extends(&at("a", 0), &proof);
    assert_eq!(stuffed, Err(LogError::ProofLength { expected: 0, got: proof.0.len() }));
    let pretended = Checkpoint { root: [1; 32], ..at("a", 0) };
    assert_eq!(at("a", 9).extends(&pretended, &none), Err(LogError::EmptyRoot));
    assert_eq!(at("a", 4).extends(&at("a", 9), &none), Err(LogError::Rollback { had: LogSize(9), got: LogSize(4) }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn larger_trees_agree_with_the_definition(size in 71usize..3000, cut in any::<prop::sample::Index>()) {
        let leaves = leaves(size as u64);
        let tree: Tree = leaves.iter().copied().collect();
        prop_assert_eq!(tree.root(), naive_root(&leaves));
        let old = 1 + cut.index(size);
        prop_assert_eq!(tree.root_at(LogSize(old as u64)).unwrap(), naive_root(&leaves[..old]));
        let index = cut.index(size);
        let proof = tree.inclusion(LeafIndex(index as u64), LogSize(size as u64)).unwrap();
        prop_assert_eq!(&proof.0, &naive_path(index, &leaves));
        let (index, size) = (LeafIndex(index as u64), LogSize(size as u64));
        prop_assert_eq!(verify_inclusion(index, size, &leaves[index.0 as usize], &proof, &tree.root()), Ok(()));
        let proof = tree.consistency(LogSize(old as u64), size).unwrap();
        let old_root = tree.root_at(LogSize(old as u64)).unwrap();
        prop_assert_eq!(verify_consistency(LogSize(old as u64), &old_root, size, &tree.root(), &proof), Ok(()));
    }

    #[test]
    fn any_flipped_bit_of_an_inclusion_claim_is_refused(
        size in 1u64..200, at in any::<prop::sample::Index>(), place in any::<prop::sample::Index>(), bit in 0u8..8,
    ) {
        let leaves = leaves(size);
        let tree: Tree = leaves.iter().copied().collect();
        let index = at.index(leaves.len());
        let mut proof = tree.inclusion(LeafIndex(index as u64), LogSize(size)).unwrap();
        let (mut leaf, mut root) = (leaves[index], tree.root());
        let byte = place.index(64 + proof.0.len() * 32);
        match byte / 32 {
            0 => leaf[byte] ^= 1 << bit,
            1 => root[byte - 32] ^= 1 << bit,
            n => proof.0[n - 2][byte % 32] ^= 1 << bit,
        }
        let verdict = verify_inclusion(LeafIndex(index as u64), LogSize(size), &leaf, &proof, &root);
        prop_assert_eq!(verdict, Err(LogError::NotIncluded));
    }

    #[test]
    fn any_flipped_bit_of_a_consistency_claim_is_refused(
        new in 2u64..200, at in any::<prop::sample::Index>(), place in any::<prop::sample::Index>(), bit in 0u8..8,
    ) {
        let tree = tree(new);
        let old = 1 + at.index(new as usize - 1) as u64;
        let mut proof = tree.consistency(LogSize(old), LogSize(new)).unwrap();
        let (mut old_root, mut new_root) = (tree.root_at(LogSize(old)).unwrap(), tree.root());
        let byte = place.index(64 + proof.0.len() * 32);
        match byte / 32 {
            0 => old_root[byte] ^= 1 << bit,
            1 => new_root[byte - 32] ^= 1 << bit,
            n => proof.0[n - 2][byte % 32] ^= 1 << bit,
        }
        let verdict = verify_consistency(LogSize(old), &old_root, LogSize(new), &new_root, &proof);
        prop_assert_eq!(verdict, Err(LogError::NotConsistent { old: LogSize(old), new: LogSize(new) }));
    }

    #[test]
    fn a_proof_with_a_hash_too_many_or_too_few_is_refused(size in 2u64..200, at in any::<prop::sample::Index>()) {
        let leaves = leaves(size);
        let tree: Tree = leaves.iter().copied().collect();
        let index = at.index(leaves.len());
        let good = tree.inclusion(LeafIndex(index as u64), LogSize(size)).unwrap();
        for got in [good.0.len() - 1, good.0.len() + 1] {
            let mut proof = good.clone();
            proof.0.resize(got, [0; 32]);
            let verdict =
                verify_inclusion(LeafIndex(index as u64), LogSize(size), &leaves[index], &proof, &tree.root());
            prop_assert_eq!(verdict, Err(LogError::ProofLength { expected: good.0.len(), got }));
        }
    }
}
