//! The keystore against a real PKCS#11 module (SoftHSM2), a failing one, and a file.
//!
//! Without SoftHSM2 the token tests fail and say how to install it: a guard that is not tried is not a guard.

#![allow(clippy::unwrap_used, reason = "in a test, and in what helps it, a failure to unwrap is the report")]

#[path = "keystore/file.rs"]
mod file;
#[path = "keystore/handle.rs"]
mod handle;
#[path = "keystore/loss.rs"]
mod loss;
#[path = "keystore/place.rs"]
mod place;
#[path = "keystore/token.rs"]
mod token;

/// A test in a process of its own.
#[macro_export]
macro_rules! token_test {
    ($(#[$doc:meta])* $name:ident, |$place:ident| $body:block) => {
        $(#[$doc])*
        #[test]
        fn $name() {
            let path = module_path!().split_once("::").map_or("", |(_, inner)| inner);
            $crate::place::in_child(&format!("{path}::{}", stringify!($name)), |$place| $body);
        }
    };
}
