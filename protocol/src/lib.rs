//! Rules and mathematics of a threshold-decrypted election. Decides; never does.
