//! A model that is small enough to be searched completely, and a test that ties it to the code that ships.
//!
//! [`agreement`]: one vote-set certificate, and no state from which an honest coordinator cannot finish.
//!
//! It is a transition system without time, signatures or curves. What it leaves out, it leaves to the adversary: where
//! the real program would have to wait for a timer, the model may act at once; where it would need a message, the message
//! need only exist. So the model has more behaviours than the program, and what it can never do, the program cannot either.

pub mod agreement;
