//! A disk: records appended one after the other, each synced before anything follows from it, as one transaction of the
//! real stores is. Faults strike at the write: lost, torn, refused, or synced and the process dead all the same.

use crate::{
    ground::Ground,
    setup::{below, chance},
};

/// Why a write did not return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskTrouble {
    /// The process is gone: power, or a failed sync, which is the same.
    Died,
    /// No room. The record is not there.
    Full,
}

/// Whose disk, for the names of fault points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// A trustee's.
    Trustee,
    /// The shard's.
    Shard,
}

impl Owner {
    fn fault(self, at: usize) -> &'static str {
        let names = match self {
            Self::Trustee => [
                "disk.trustee.died-before-write",
                "disk.trustee.died-after-write",
                "disk.trustee.torn-write",
                "disk.trustee.full",
                "disk.trustee.fsync-error",
            ],
            Self::Shard => [
                "disk.shard.died-before-write",
                "disk.shard.died-after-write",
                "disk.shard.torn-write",
                "disk.shard.full",
                "disk.shard.fsync-error",
            ],
        };
        names.get(at).copied().unwrap_or("disk.trustee.torn-write")
    }
}

/// See the [module](self).
#[derive(Debug, Clone)]
pub struct Disk<R> {
    owner: Owner,
    /// The last one may be torn.
    records: Vec<R>,
    torn: bool,
    full_until: u64,
}

impl<R: Clone> Disk<R> {
    /// Empty.
    #[must_use]
    pub fn new(owner: Owner) -> Self {
        Self { owner, records: Vec::new(), torn: false, full_until: 0 }
    }

    /// Appends and syncs.
    ///
    /// # Errors
    /// [`DiskTrouble`].
    pub fn commit(&mut self, ground: &mut Ground, record: R) -> Result<(), DiskTrouble> {
        let rate = ground.setup.profile.disk;
        if ground.faulty && self.full_until > ground.now {
            return Err(DiskTrouble::Full);
        }
        if !ground.faulty || !chance(&mut ground.dice, rate) {
            self.records.push(record);
            return Ok(());
        }
        let fault = usize::try_from(below(&mut ground.dice, 5)).unwrap_or(0);
        ground.coverage.fault(self.owner.fault(fault));
        crate::note!(ground, "{:?} disk: {}", self.owner, self.owner.fault(fault));
        match fault {
            0 => {}
            1 => self.records.push(record),
            2 => {
                self.records.push(record);
                self.torn = true;
            }
            3 => {
                self.full_until = ground.now + 200 + below(&mut ground.dice, 2000);
                return Err(DiskTrouble::Full);
            }
            _ => {
                if chance(&mut ground.dice, 500) {
                    self.records.push(record);
                }
            }
        }
        Err(DiskTrouble::Died)
    }

    /// What a process finds when it starts: everything that was synced; a torn record is dropped.
    pub fn recover(&mut self, ground: &mut Ground) -> &[R] {
        if std::mem::take(&mut self.torn) {
            self.records.pop();
            ground.coverage.sometimes("a torn record was dropped");
        }
        &self.records
    }

    /// What is durable now.
    #[must_use]
    pub fn records(&self) -> &[R] {
        let whole = self.records.len() - usize::from(self.torn);
        self.records.get(..whole).unwrap_or(&[])
    }

    /// The length of a backup made now.
    #[must_use]
    pub fn backup(&self) -> usize {
        self.records().len()
    }

    /// Puts a backup back.
    pub fn restore(&mut self, backup: usize) {
        self.torn = false;
        self.records.truncate(backup);
    }
}
