//! Calls that are not answered: why, and as which gRPC status. Nothing here blames a trustee; the caller asked wrongly.

use protocol::ids::ElectionId;
use protocol::manifest::ManifestRefusal;
use protocol::roll::RollRefusal;
use tonic::Status;

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Another version of the wire.
    #[error("VERSION_UNSUPPORTED: this trustee speaks version {expected} of the wire, the caller {got}")]
    Version {
        /// Ours.
        expected: u32,
        /// Theirs.
        got: u32,
    },
    /// A field of the wrong length.
    #[error(transparent)]
    Length(#[from] proto::WrongLength),
    /// A number that no such thing can have.
    #[error("{field} is {got}, at most {max} is possible")]
    TooLarge {
        /// Which field.
        field: &'static str,
        /// In the call.
        got: u64,
        /// Bound.
        max: u64,
    },
    /// No such election here.
    #[error("UNKNOWN_ELECTION: this trustee has no election {0}; send its manifest with Exchange")]
    UnknownElection(ElectionId),
    /// As many elections as one daemon keeps.
    #[error("this trustee keeps {max} elections already; its operator must start with a new data folder")]
    TooManyElections {
        /// Bound.
        max: usize,
    },
    /// The manifest itself.
    #[error("CONFIG_MISMATCH: {0}")]
    Manifest(#[from] ManifestRefusal),
    /// The manifest is another election's.
    #[error("CONFIG_MISMATCH: election_id: the manifest hashes to {got}, the call says {expected}")]
    OtherManifest {
        /// In the call.
        expected: ElectionId,
        /// Of the manifest.
        got: ElectionId,
    },
    /// This trustee is not in the manifest.
    #[error("CONFIG_MISMATCH: trustees: no trustee of the manifest has identity key {identity}, which is this one's")]
    NotInManifest {
        /// This trustee's, hexadecimal.
        identity: String,
    },
    /// The manifest pins another TLS key for this trustee.
    #[error("CONFIG_MISMATCH: trustees.{name}.tls_pin: the manifest has {got}, this trustee's key has {expected}")]
    OtherPin {
        /// The trustee's name in the manifest.
        name: String,
        /// Of this trustee's key, hexadecimal.
        expected: String,
        /// In the manifest, hexadecimal.
        got: String,
    },
    /// A shard of the circle, but not of this election. (N01)
    #[error("PERMISSION_DENIED: {caller} is not a shard of election {election}")]
    NotItsShard {
        /// Who called.
        caller: String,
        /// The election.
        election: ElectionId,
    },
    /// The voter roll has another length.
    #[error("the voter roll of this election has {expected} bytes, the call says {got}")]
    RollLength {
        /// From the manifest.
        expected: u64,
        /// In the call.
        got: u64,
    },
    /// A piece that does not fit the end of the roll.
    #[error("the piece from {offset} on has {got} bytes, the roll ends at {total}")]
    RollPiece {
        /// Where it starts.
        offset: u64,
        /// Bytes.
        got: usize,
        /// Length of the roll.
        total: u64,
    },
    /// Not the manifest's roll. What has come is thrown away.
    #[error("{0}; send the roll again from the start")]
    Roll(RollRefusal),
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        let text = refused.to_string();
        match refused {
            Refused::Length(_) | Refused::TooLarge { .. } | Refused::RollPiece { .. } => Self::invalid_argument(text),
            Refused::UnknownElection(_) => Self::not_found(text),
            Refused::TooManyElections { .. } => Self::resource_exhausted(text),
            Refused::NotItsShard { .. } => Self::permission_denied(text),
            Refused::Version { .. }
            | Refused::Manifest(_)
            | Refused::OtherManifest { .. }
            | Refused::NotInManifest { .. }
            | Refused::OtherPin { .. }
            | Refused::RollLength { .. }
            | Refused::Roll(_) => Self::failed_precondition(text),
        }
    }
}
