//! The stranger: an exported election record in; yes, or the first lie.
