//! The libraries and this code against published vectors.

use super::*;
