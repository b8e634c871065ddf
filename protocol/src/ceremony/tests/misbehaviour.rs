//! One trustee bent: who is named, by which messages, and nobody else.

use super::*;
