//! Receipts on disk, and later proof that they were honoured.

use crate::{
    cast::{Fate, Sealed},
    election::{Election, ElectionTrouble, Server},
};
use proto::v1::GetProofRequest;
use protocol::{
    encoding::Canonical as _,
    log::{ProofFile, Receipt},
};
use serde::{Deserialize, Serialize};

/// One line of a receipts file (JSON lines). Holds nothing of what was voted. (L03)
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The voter's name in the caller's list.
    pub voter: String,
    /// Hex leaf hash of the ballot: the id to ask with.
    pub ballot: String,
    /// `recorded`, `rejected`, `refused` or `unknown`.
    pub fate: String,
    /// Hex canonical receipt, where recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    /// Reason code, where rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// For people, where there is something to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Line {
    /// Of a ballot and its fate.
    #[must_use]
    pub fn of(sealed: &Sealed, fate: &Fate) -> Self {
        let mut line = Self {
            voter: sealed.voter.clone(),
            ballot: hex::encode(sealed.leaf()),
            fate: String::new(),
            receipt: None,
            code: None,
            note: None,
        };
        match fate {
            Fate::Recorded(receipt) => {
                line.fate = "recorded".into();
                line.receipt = Some(hex::encode(receipt.to_bytes()));
            }
            Fate::Rejected(rejection) => {
                line.fate = "rejected".into();
                line.code = Some(rejection.code);
            }
            Fate::Refused(why) => {
                line.fate = "refused".into();
                line.note = Some(why.clone());
            }
            Fate::Unknown(why) => {
                line.fate = "unknown".into();
                line.note = Some(format!("{why}: cast the same bytes again, or ask with the ballot's id"));
            }
        }
        line
    }

    /// The receipt in it.
    #[must_use]
    pub fn receipt(&self) -> Option<Receipt> {
        Receipt::from_bytes(&hex::decode(self.receipt.as_ref()?).ok()?).ok()
    }
}

/// Whether a receipt has been honoured so far.
#[derive(Debug)]
pub enum Standing {
    /// In a tree that `w` trustees co-signed: the proof file is good offline and for ever.
    Final(Box<ProofFile>),
    /// Not yet.
    Pending,
    /// The proof that the server gave does not hold.
    Broken(String),
}

/// Fetches and checks the proof of a receipt. (P-LOG-3.2)
///
/// # Errors
/// No answer from the server.
pub async fn prove(election: &Election, server: &Server, receipt: &Receipt) -> Result<Standing, ElectionTrouble> {
    let request =
        GetProofRequest { election_id: election.id.0.to_vec(), lane: receipt.lane.0.into(), index: receipt.index.0 };
    let text = server.voting().await?.get_proof(request).await?.into_inner().proof;
    if text.is_empty() {
        return Ok(Standing::Pending);
    }
    Ok(check(election, receipt, &text))
}

/// Checks a proof file against a receipt, offline.
#[must_use]
pub fn check(election: &Election, receipt: &Receipt, text: &str) -> Standing {
    let proof: ProofFile = match text.parse() {
        Ok(proof) => proof,
        Err(error) => return Standing::Broken(format!("the proof is not readable: {error}")),
    };
    match proof.confirms(receipt, &election.note_keys(receipt.lane), election.manifest.quorums.w) {
        Ok(_) => Standing::Final(Box::new(proof)),
        Err(error) => Standing::Broken(error.to_string()),
    }
}
