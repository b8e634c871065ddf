//! Puts the source revision into `runtime::version::BUILD`, and succeeds without one.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // A release says exactly what it was built from. A development build does not follow every commit: it would
    // rebuild all that depends on this crate each time.
    let release = std::env::var_os("PROFILE").is_some_and(|profile| profile == "release");
    if release {
        for name in ["HEAD", "logs/HEAD"] {
            if let Some(path) = git(&["rev-parse", "--path-format=absolute", "--git-path", name]) {
                println!("cargo:rerun-if-changed={path}");
            }
        }
    }
    let revision = git(&["rev-parse", "--short=12", "HEAD"]);
    let suffix = match (release, revision) {
        (true, Some(revision)) => format!("+{revision}"),
        (false, Some(revision)) => format!("+{revision}.dev"),
        (_, None) => String::new(),
    };
    println!("cargo:rustc-env=CONCLAVE_REVISION={suffix}");
}

/// The first line that git answers, or nothing: no git, no repository, an old git.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}
