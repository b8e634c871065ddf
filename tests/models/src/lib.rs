//! Models that are small enough to be searched completely.
//!
//! [`agreement`]: one vote-set certificate, and no state from which an honest coordinator cannot finish. A test ties it to
//! the code that ships. [`ceremony`]: one key for all, or a proven liar.
//!
//! They are transition systems without time, signatures or curves. What they leave out, they leave to the adversary: where
//! the real program would have to wait for a timer, a model may act at once; where it would need a message, the message
//! need only exist. So a model has more behaviours than the program, and what it can never do, the program cannot either.

pub mod agreement;
pub mod ceremony;
