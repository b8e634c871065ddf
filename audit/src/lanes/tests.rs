//! Trees and notes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

use super::*;

/// The leaves and roots of RFC 6962's reference implementation (certificate-transparency, `merkletree` tests).
#[test]
fn roots_are_those_of_rfc_6962() {
    let leaves: [&[u8]; 8] = [
        &[],
        &[0x00],
        &[0x10],
        &[0x20, 0x21],
        &[0x30, 0x31],
        &[0x40, 0x41, 0x42, 0x43],
        &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
        &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
    ];
    let expected = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    for (size, expected) in expected.iter().enumerate() {
        assert_eq!(hex(&root(leaves.iter().take(size).copied())), *expected, "{size} leaves");
    }
}

#[test]
fn a_note_is_taken_in_its_one_form_only() {
    let good = "log\n3\nroot\n\n\u{2014} name AAAAAAA=\n";
    let (body, lines) = note(good).unwrap();
    assert_eq!((body, lines.len(), lines[0].name, lines[0].id), ("log\n3\nroot\n", 1, "name", [0; 4]));
    for bad in [
        "log\n3\nroot\n",
        "log\n\n\u{2014} name AAAAAAA=",
        "log\n\n- name AAAAAAA=\n",
        "log\n\n\u{2014} name AAAAAAA\n",
        "log\n\n\u{2014} name AAAAAAB=\n",
        "log\n\n\u{2014} name AAAAAA==\n",
        "log\n\n\u{2014} na+me AAAAAAA=\n",
        "log\n\n\u{2014}  AAAAAAA=\n",
        "log\r\n\n\u{2014} name AAAAAAA=\n",
        "log\n\n\n",
        "",
    ] {
        assert!(note(bad).is_none(), "{bad:?}");
    }
}

#[test]
fn a_lane_is_the_first_eight_bytes_modulo_the_lanes() {
    let mut credential = [0; 32];
    (credential[6], credential[7], credential[8]) = (1, 3, 0xff);
    assert_eq!((lane_of(&credential, 1), lane_of(&credential, 10), lane_of(&credential, 1024)), (0, 9, 259));
}
