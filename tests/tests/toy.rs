//! The group without security stays where it is: in the simulator, and nowhere near a production binary.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every package of the main workspace with its direct dependencies.
fn packages() -> Vec<serde_json::Value> {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// The sections of a lock file for one package.
fn locked<'a>(lock: &'a str, name: &str) -> Vec<&'a str> {
    let head = format!("\nname = \"{name}\"\n");
    lock.split("[[package]]").filter(|package| package.contains(&head)).collect()
}

#[test]
fn no_package_of_the_main_workspace_reaches_the_toy_workspace() {
    let toy = root().join("tests/toy").display().to_string();
    let packages = packages();
    assert!(packages.len() > 5);
    for package in packages {
        let (name, manifest) = (package["name"].as_str().unwrap(), package["manifest_path"].as_str().unwrap());
        assert!(!manifest.starts_with(&toy), "{name} is a member of the main workspace");
        for dependency in package["dependencies"].as_array().unwrap() {
            let path = dependency["path"].as_str().unwrap_or_default();
            assert!(!path.starts_with(&toy), "{name} depends on {path}");
        }
    }
}

#[test]
fn the_main_lock_file_has_the_published_group_and_the_toy_one_the_toy() {
    let main = read("Cargo.lock");
    let published = locked(&main, "curve25519-dalek");
    assert!(published.iter().any(|package| package.contains("version = \"4.1.3\"")));
    assert!(published.iter().all(|package| package.contains("checksum = ")), "not from the registry");
    assert!(!read("Cargo.toml").contains("[patch"), "the main workspace replaces nothing");

    let toy = read("tests/toy/Cargo.lock");
    let replaced = locked(&toy, "curve25519-dalek");
    let [one, other] = replaced[..] else { panic!("{} groups in the toy workspace", replaced.len()) };
    let (real, toy) = if one.contains("4.1.2") { (one, other) } else { (other, one) };
    assert!(real.contains("version = \"4.1.2\"") && real.contains("checksum = "));
    // Everything that asks for 4.1.3 or any 4 gets the toy; a path package has no checksum.
    assert!(toy.contains("version = \"4.1.3\"") && !toy.contains("checksum = "));
}

#[test]
fn the_toy_group_says_of_itself_that_it_is_not_secure() {
    assert!(
        read("tests/toy/dalek/src/lib.rs").starts_with("//! **This is not cryptography and has no security at all.**")
    );
    assert!(read("tests/toy/dalek/Cargo.toml").contains("NOT CRYPTOGRAPHY"));
}

#[test]
fn no_package_switches_the_known_bugs_on() {
    let packages = packages();
    let protocol = packages.iter().find(|package| package["name"] == "protocol").unwrap();
    assert_eq!(protocol["features"]["bugs"], serde_json::json!([]), "the feature that is guarded here");
    for package in &packages {
        let name = package["name"].as_str().unwrap();
        let default = package["features"]["default"].as_array().cloned().unwrap_or_default();
        assert!(
            !default.iter().any(|feature| feature.as_str().unwrap().contains("bugs")),
            "{name} has bugs by default"
        );
        for dependency in package["dependencies"].as_array().unwrap() {
            let features = dependency["features"].as_array().unwrap();
            assert!(!features.iter().any(|feature| feature == "bugs"), "{name} switches bugs of {dependency} on");
        }
        // The simulator may pass the switch on; nothing that ships may even offer it.
        let offers = package["features"].as_object().unwrap().values().flat_map(|on| on.as_array().unwrap());
        let offers = offers.filter(|feature| feature.as_str().unwrap().ends_with("/bugs")).count();
        assert!(offers == 0 || ["simulator", "tests"].contains(&name), "{name} has a feature that switches bugs on");
    }
}
