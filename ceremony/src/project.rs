//! The project folder: the official's keys, who is enrolled, the elections.
//!
//! ```text
//! project.toml                 name, certification authority
//! keys/identity.key, tls.key   the official's keys (mode 0600)
//! enrol.toml                   the official's own enrolment
//! enrolments/NAME.toml         everybody's
//! circle.toml                  made of them; goes to every trustee and shard
//! ca/, certificates/NAME.pem   where there is a certification authority
//! elections/ID/                election.toml, manifest.bin, roll.bin
//! ```

use crate::{
    election_file::{ElectionFile, ElectionFileRefusal},
    enrolment::{EnrolTrouble, Enrolment, MemberRole, Members},
    roll_file::{self, RollFileRefusal},
};
use protocol::{
    encoding::Canonical as _,
    ids::{ElectionId, IdentityKey},
    manifest::{Manifest, ManifestRefusal},
    roll::{Roll, RollRefusal},
};
use runtime::{
    clock,
    entropy::OsEntropy,
    files::{self, FileTrouble},
    key::{FileKey, KeyFileTrouble, RemoteSigner, SignerTrouble},
    pki::{self, Authority, EndEntity, PkiTrouble, Validity},
    tls::{Identity, TlsTrouble},
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

const TOML_BYTES_MAX: u64 = 1 << 20;
const CSV_BYTES_MAX: u64 = 1 << 30;
const MANIFEST_BYTES_MAX: u64 = 64 << 20;
const CERTIFICATE_DAYS: u32 = 825;
const AUTHORITY_DAYS: u32 = 3650;

/// Why a project cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProjectTrouble {
    /// A file.
    #[error(transparent)]
    File(#[from] FileTrouble),
    /// A directory.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What.
        source: std::io::Error,
    },
    /// Not a project.
    #[error("{} is no project folder: `ceremony init DIR --name NAME` makes one, `--project DIR` names one", .path.display())]
    NoProject {
        /// Where.
        path: PathBuf,
    },
    /// Not such a file.
    #[error("{}: {source}", .path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// What and where.
        source: Box<toml::de::Error>,
    },
    /// Not text.
    #[error("{} is not text", .path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// A value that cannot be written. Cannot happen for checked values.
    #[error("cannot be written as TOML: {0}")]
    Write(#[from] toml::ser::Error),
    /// The folder is another official's.
    #[error("{} belongs to {was:?}, not {now:?}: use another folder", .path.display())]
    OtherName {
        /// Where.
        path: PathBuf,
        /// There.
        was: String,
        /// Asked for.
        now: String,
    },
    /// A key file.
    #[error(transparent)]
    Key(#[from] KeyFileTrouble),
    /// The key does not sign.
    #[error(transparent)]
    Signer(#[from] SignerTrouble),
    /// A certificate.
    #[error(transparent)]
    Pki(#[from] PkiTrouble),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsTrouble),
    /// An enrolment.
    #[error(transparent)]
    Enrol(#[from] EnrolTrouble),
    /// The election file.
    #[error("{}: {source}", .path.display())]
    Election {
        /// The file.
        path: PathBuf,
        /// What.
        source: Box<ElectionFileRefusal>,
    },
    /// The voter roll.
    #[error("{}: {source}", .path.display())]
    Roll {
        /// The file.
        path: PathBuf,
        /// What.
        source: Box<RollFileRefusal>,
    },
    /// The stored manifest.
    #[error("the stored manifest: {0}")]
    Manifest(#[from] ManifestRefusal),
    /// The stored roll.
    #[error("the stored voter roll: {0}")]
    StoredRoll(#[from] RollRefusal),
    /// No such election here.
    #[error("no election here begins with {got:?}; there are: {known}")]
    NoElection {
        /// Asked for.
        got: String,
        /// There are.
        known: String,
    },
    /// None at all.
    #[error("there is no election here yet: `ceremony new ELECTION.toml --roll roll.csv` makes one")]
    None,
    /// Which one?
    #[error("name the election with --election ID (its first digits will do); there are: {known}")]
    Which {
        /// There are.
        known: String,
    },
    /// This official is not in the manifest.
    #[error("this official's key is not in the manifest of {0}")]
    NotOurs(ElectionId),
}

/// `project.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The official's name.
    name: String,
    /// The certification authority, if certificates are issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca: Option<CaSettings>,
    /// Roots (PEM) for the shards' public listeners, where they have certificates of another key than their TLS key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_ca: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaSettings {
    certificate: PathBuf,
    key: PathBuf,
}

/// Which certification authority a new project has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ca {
    /// None: keys are known by their pins, which is what counts.
    None,
    /// A new one.
    New,
    /// An existing one.
    Existing {
        /// Certificate, PEM.
        certificate: PathBuf,
        /// Ed25519 key, PKCS#8 PEM.
        key: PathBuf,
    },
}

/// A project folder.
pub struct Project {
    dir: PathBuf,
    settings: Settings,
    identity: FileKey,
    tls: Arc<FileKey>,
}

/// One election of a project.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Id.
    pub id: ElectionId,
    /// Manifest.
    pub manifest: Arc<Manifest>,
    /// Its folder.
    pub dir: PathBuf,
}

impl Project {
    /// Makes a folder, or finds it made.
    ///
    /// # Errors
    /// [`ProjectTrouble`].
    pub fn init(dir: &Path, name: &str, ca: &Ca) -> Result<Self, ProjectTrouble> {
        files::create_private_dir(dir)?;
        let path = dir.join("project.toml");
        if path.exists() {
            let found = Self::open(dir)?;
            if found.settings.name != name {
                return Err(ProjectTrouble::OtherName {
                    path: dir.to_owned(),
                    was: found.settings.name,
                    now: name.to_owned(),
                });
            }
            return Ok(found);
        }
        for sub in ["keys", "enrolments", "elections"] {
            files::create_private_dir(&dir.join(sub))?;
        }
        let ca = match ca {
            Ca::None => None,
            Ca::New => {
                files::create_private_dir(&dir.join("ca"))?;
                let key = Arc::new(FileKey::load_or_create(&dir.join("ca/ca.key"), &mut OsEntropy)?);
                let validity = Validity::days(clock::now_s(), AUTHORITY_DAYS);
                let authority = Authority::create(key, &format!("{name}: elections"), validity)?;
                files::write_atomic(&dir.join("ca/ca.pem"), authority.certificate_pem().as_bytes())?;
                Some(CaSettings { certificate: "ca/ca.pem".into(), key: "ca/ca.key".into() })
            }
            Ca::Existing { certificate, key } => {
                let absolute = |path: &Path| {
                    fs::canonicalize(path).map_err(|source| ProjectTrouble::Io { path: path.to_owned(), source })
                };
                Some(CaSettings { certificate: absolute(certificate)?, key: absolute(key)? })
            }
        };
        let settings = Settings { name: name.to_owned(), ca, public_ca: None };
        let identity = FileKey::load_or_create(&dir.join("keys/identity.key"), &mut OsEntropy)?;
        let tls = Arc::new(FileKey::load_or_create(&dir.join("keys/tls.key"), &mut OsEntropy)?);
        let project = Self { dir: dir.to_owned(), settings, identity, tls };
        let own = project.own_enrolment();
        own.check()?;
        // An authority that cannot be used is refused before the folder is a project.
        project.authority()?;
        files::write_atomic(&dir.join("enrol.toml"), toml::to_string(&own)?.as_bytes())?;
        project.enrol(vec![own], false)?;
        files::write_atomic(&path, toml::to_string(&project.settings)?.as_bytes())?;
        Ok(project)
    }

    /// Opens a folder.
    ///
    /// # Errors
    /// [`ProjectTrouble`].
    pub fn open(dir: &Path) -> Result<Self, ProjectTrouble> {
        let path = dir.join("project.toml");
        if !path.exists() {
            return Err(ProjectTrouble::NoProject { path: dir.to_owned() });
        }
        let settings = toml::from_str(&read_text(&path)?)
            .map_err(|source| ProjectTrouble::Toml { path, source: Box::new(source) })?;
        let identity = FileKey::load(&dir.join("keys/identity.key"))?;
        let tls = Arc::new(FileKey::load(&dir.join("keys/tls.key"))?);
        Ok(Self { dir: dir.to_owned(), settings, identity, tls })
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What this official says of itself.
    #[must_use]
    pub fn own_enrolment(&self) -> Enrolment {
        Enrolment {
            name: self.settings.name.clone(),
            role: MemberRole::Official,
            organisation: String::new(),
            region: String::new(),
            identity: hex::encode(self.identity.public_key()),
            tls_public: hex::encode(self.tls.public_key()),
            tls_pin: self.tls.pin().to_string(),
            address: String::new(),
            public_address: String::new(),
        }
    }

    /// Signs with the official's identity key.
    ///
    /// # Errors
    /// The key does not sign.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 64], ProjectTrouble> {
        Ok(self.identity.sign(message)?)
    }

    /// This official's number in a manifest, from 1.
    ///
    /// # Errors
    /// It is not in it.
    pub fn official_index(&self, manifest: &Manifest) -> Result<u16, ProjectTrouble> {
        let own = IdentityKey(self.identity.public_key());
        let found = (1..).zip(&manifest.officials).find(|(_, official)| official.identity == own);
        found.map(|(at, _)| at).ok_or_else(|| ProjectTrouble::NotOurs(manifest.id()))
    }

    /// Who this official is to shards. The certificate is the authority's where there is one.
    ///
    /// # Errors
    /// Key or certificate.
    pub fn tls_identity(&self) -> Result<Identity, ProjectTrouble> {
        let signer: Arc<dyn RemoteSigner> = self.tls.clone();
        let validity = Validity::days(clock::now_s(), 1);
        let certificate = pki::self_signed(signer.clone(), &self.settings.name, &[], validity)?;
        let issued = self.certificate_path(&self.settings.name);
        let chain = if issued.exists() { pki::chain_from_pem(&read_text(&issued)?)? } else { vec![certificate] };
        Ok(Identity::new(chain, signer)?)
    }

    /// Roots for public listeners, if they are not known by pin.
    ///
    /// # Errors
    /// An unreadable file.
    pub fn public_roots(&self) -> Result<Option<pki::Roots>, ProjectTrouble> {
        let Some(path) = &self.settings.public_ca else { return Ok(None) };
        Ok(Some(pki::Roots::from_pem(&read_text(&self.dir.join(path))?)?))
    }

    fn authority(&self) -> Result<Option<Authority>, ProjectTrouble> {
        let Some(ca) = &self.settings.ca else { return Ok(None) };
        let key = Arc::new(FileKey::load(&self.dir.join(&ca.key))?);
        let certificate = read_text(&self.dir.join(&ca.certificate))?;
        Ok(Some(Authority::load(&certificate, key)?))
    }

    fn certificate_path(&self, name: &str) -> PathBuf {
        self.dir.join("certificates").join(format!("{name}.pem"))
    }

    /// Everybody who is enrolled.
    ///
    /// # Errors
    /// A file that does not hold.
    pub fn members(&self) -> Result<Members, ProjectTrouble> {
        let dir = self.dir.join("enrolments");
        let mut members = Members::default();
        let io = |source| ProjectTrouble::Io { path: dir.clone(), source };
        let mut paths = Vec::new();
        for entry in fs::read_dir(&dir).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                paths.push(path);
            }
        }
        paths.sort();
        for path in paths {
            members.add(Enrolment::read(&path)?, false)?;
        }
        Ok(members)
    }

    /// Takes enrolments in: all of them or none. Writes the circle, and certificates where there is an authority.
    ///
    /// # Errors
    /// [`ProjectTrouble`]; nothing is changed then.
    pub fn enrol(&self, new: Vec<Enrolment>, replace: bool) -> Result<Members, ProjectTrouble> {
        let mut members = self.members()?;
        let mut changed = Vec::new();
        for enrolment in new {
            let name = enrolment.name.clone();
            if members.add(enrolment, replace)? {
                changed.push(name);
            }
        }
        let authority = self.authority()?;
        if authority.is_some() {
            files::create_private_dir(&self.dir.join("certificates"))?;
        }
        for member in members.all() {
            let is_new = changed.contains(&member.name);
            if let Some(authority) = &authority
                && (is_new || !self.certificate_path(&member.name).exists())
            {
                let certificate = authority.issue(&EndEntity {
                    public_key: member.tls_key()?,
                    name: member.name.clone(),
                    sans: hosts(member),
                    validity: Validity::days(clock::now_s(), CERTIFICATE_DAYS),
                })?;
                let chain = pki::certificate_to_pem(&certificate) + &authority.certificate_pem();
                files::write_atomic(&self.certificate_path(&member.name), chain.as_bytes())?;
            }
            if is_new {
                let path = self.dir.join("enrolments").join(format!("{}.toml", member.name));
                files::write_atomic(&path, toml::to_string(member)?.as_bytes())?;
            }
        }
        let circle = self.circle_path();
        let text = members.circle()?;
        // Daemons look at the file's time: it is not touched without need.
        if fs::read(&circle).ok().as_deref() != Some(text.as_bytes()) {
            files::write_atomic(&circle, text.as_bytes())?;
        }
        Ok(members)
    }

    /// The circle file.
    #[must_use]
    pub fn circle_path(&self) -> PathBuf {
        self.dir.join("circle.toml")
    }

    /// Makes an election of its file and roll, or finds it made.
    ///
    /// # Errors
    /// [`ProjectTrouble`].
    pub fn new_election(&self, file: &Path, roll: &Path) -> Result<(Stored, bool), ProjectTrouble> {
        let text = read_text(file)?;
        let refused = |source| ProjectTrouble::Election { path: file.to_owned(), source: Box::new(source) };
        let election = ElectionFile::parse(&text).map_err(refused)?;
        let csv = files::read_limited(roll, CSV_BYTES_MAX)?;
        let parsed = roll_file::read_roll(&election.style_ids(), csv.as_slice())
            .map_err(|source| ProjectTrouble::Roll { path: roll.to_owned(), source: Box::new(source) })?;
        let manifest = election.manifest(&self.members()?, parsed.commitment()).map_err(refused)?;
        self.official_index(&manifest)?;
        let id = manifest.id();
        let dir = self.dir.join("elections").join(id.to_string());
        let existed = dir.join("manifest.bin").exists();
        files::create_private_dir(&dir)?;
        files::write_atomic(&dir.join("election.toml"), text.as_bytes())?;
        files::write_atomic(&dir.join("roll.bin"), &parsed.to_bytes())?;
        files::write_atomic(&dir.join("manifest.bin"), &manifest.to_bytes())?;
        Ok((Stored { id, manifest: Arc::new(manifest), dir }, existed))
    }

    /// All elections, by id.
    ///
    /// # Errors
    /// A manifest that does not hold.
    pub fn elections(&self) -> Result<Vec<Stored>, ProjectTrouble> {
        let dir = self.dir.join("elections");
        let io = |source| ProjectTrouble::Io { path: dir.clone(), source };
        let mut out = Vec::new();
        for entry in fs::read_dir(&dir).map_err(io)? {
            let dir = entry.map_err(io)?.path();
            let path = dir.join("manifest.bin");
            if path.exists() {
                let manifest = Manifest::open(&files::read_limited(&path, MANIFEST_BYTES_MAX)?)?;
                out.push(Stored { id: manifest.id(), manifest: Arc::new(manifest), dir });
            }
        }
        out.sort_by_key(|stored| stored.id);
        Ok(out)
    }

    /// The election that begins with these digits; without any, the only one.
    ///
    /// # Errors
    /// None, or more than one.
    pub fn election(&self, prefix: Option<&str>) -> Result<Stored, ProjectTrouble> {
        let all = self.elections()?;
        let known = all.iter().map(|stored| format!("{} ({})", stored.id, stored.manifest.title));
        let known = known.collect::<Vec<_>>().join(", ");
        if all.is_empty() {
            return Err(ProjectTrouble::None);
        }
        let fits = |stored: &Stored| prefix.is_none_or(|prefix| stored.id.to_string().starts_with(prefix));
        let mut fitting = all.into_iter().filter(fits);
        match (fitting.next(), fitting.next(), prefix) {
            (Some(one), None, _) => Ok(one),
            (None, _, got) => Err(ProjectTrouble::NoElection { got: got.unwrap_or_default().to_owned(), known }),
            _ => Err(ProjectTrouble::Which { known }),
        }
    }
}

impl Stored {
    /// Bytes of the voter roll.
    ///
    /// # Errors
    /// Not the manifest's.
    pub fn roll_bytes(&self) -> Result<Vec<u8>, ProjectTrouble> {
        let bytes = files::read_limited(&self.dir.join("roll.bin"), CSV_BYTES_MAX)?;
        Roll::open(&bytes, &self.manifest)?;
        Ok(bytes)
    }
}

/// The hosts of a member's addresses, for its certificate.
fn hosts(member: &Enrolment) -> Vec<String> {
    let host = |address: &String| Some(address.rsplit_once(':')?.0.trim_matches(['[', ']']).to_owned());
    let mut hosts: Vec<String> = [&member.address, &member.public_address].into_iter().filter_map(host).collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

fn read_text(path: &Path) -> Result<String, ProjectTrouble> {
    let bytes = files::read_limited(path, TOML_BYTES_MAX)?;
    String::from_utf8(bytes).map_err(|_| ProjectTrouble::NotText { path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_init_finds_the_same_keys_and_another_name_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("project");
        let first = Project::init(&path, "official", &Ca::New).unwrap();
        let circle = fs::read(first.circle_path()).unwrap();
        let second = Project::init(&path, "official", &Ca::New).unwrap();
        assert_eq!(first.own_enrolment(), second.own_enrolment());
        assert_eq!(fs::read(second.circle_path()).unwrap(), circle);
        assert!(path.join("certificates/official.pem").exists());
        second.tls_identity().unwrap();
        let other = Project::init(&path, "somebody", &Ca::None).map(|_| ()).unwrap_err();
        assert!(matches!(other, ProjectTrouble::OtherName { .. }), "{other}");
    }

    #[test]
    fn what_is_no_project_is_refused_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let trouble = Project::open(dir.path()).map(|_| ()).unwrap_err();
        assert!(trouble.to_string().contains("ceremony init"), "{trouble}");
    }

    #[test]
    fn an_existing_authority_is_taken_and_a_wrong_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let first = Project::init(&dir.path().join("a"), "one", &Ca::New).unwrap();
        let (certificate, key) = (first.dir().join("ca/ca.pem"), first.dir().join("ca/ca.key"));
        let ca = Ca::Existing { certificate: certificate.clone(), key };
        let second = Project::init(&dir.path().join("b"), "two", &ca).unwrap();
        second.tls_identity().unwrap();
        let wrong = Ca::Existing { certificate, key: first.dir().join("keys/tls.key") };
        let trouble = Project::init(&dir.path().join("c"), "three", &wrong).map(|_| ()).unwrap_err();
        assert!(matches!(trouble, ProjectTrouble::Pki(PkiTrouble::KeyMismatch { .. })), "{trouble}");
    }

    #[test]
    fn enrolments_are_all_taken_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let project = Project::init(&dir.path().join("a"), "one", &Ca::None).unwrap();
        let other = Project::init(&dir.path().join("b"), "two", &Ca::None).unwrap();
        let mut clash = other.own_enrolment();
        clash.name = "three".into();
        let trouble = project.enrol(vec![other.own_enrolment(), clash], false).unwrap_err();
        assert!(matches!(trouble, ProjectTrouble::Enrol(EnrolTrouble::Duplicate { .. })), "{trouble}");
        assert_eq!(project.members().unwrap().all().count(), 1);
        project.enrol(vec![other.own_enrolment()], false).unwrap();
        assert_eq!(project.members().unwrap().all().count(), 2);
    }

    fn enrolment(name: &str, role: MemberRole, seed: u8) -> Enrolment {
        let tls = [seed.wrapping_add(100); 32];
        Enrolment {
            name: name.into(),
            role,
            organisation: "org".into(),
            region: "eu".into(),
            identity: hex::encode([seed; 32]),
            tls_public: hex::encode(tls),
            tls_pin: runtime::pin::SpkiPin::of_ed25519(&tls).to_string(),
            address: format!("h{seed}:1"),
            public_address: format!("h{seed}:2"),
        }
    }

    #[test]
    fn a_new_election_is_found_again_by_its_first_digits_and_bad_input_names_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let project = Project::init(&dir.path().join("p"), "official", &Ca::None).unwrap();
        assert!(matches!(project.election(None), Err(ProjectTrouble::None)));
        let mut new: Vec<Enrolment> = (1..=4).map(|at| enrolment(&format!("t{at}"), MemberRole::Trustee, at)).collect();
        new.push(enrolment("shard", MemberRole::Shard, 50));
        project.enrol(new, false).unwrap();

        let registered =
            roll_file::register("voter,style\na,town\nb,county\n".as_bytes(), None, &mut OsEntropy).unwrap();
        let (file, roll) = (dir.path().join("election.toml"), dir.path().join("roll.csv"));
        fs::write(&file, crate::election_file::TEMPLATE).unwrap();
        fs::write(&roll, &registered.roll).unwrap();
        let (first, existed) = project.new_election(&file, &roll).unwrap();
        assert!(!existed);
        let (again, existed) = project.new_election(&file, &roll).unwrap();
        assert!(existed && again.id == first.id);
        first.roll_bytes().unwrap();
        assert_eq!(project.official_index(&first.manifest).unwrap(), 1);

        fs::write(&file, crate::election_file::TEMPLATE.replace("Board election", "Another election")).unwrap();
        let (second, _) = project.new_election(&file, &roll).unwrap();
        assert_ne!(second.id, first.id);
        assert!(matches!(project.election(None), Err(ProjectTrouble::Which { .. })));
        let digits = second.id.to_string();
        assert_eq!(project.election(Some(&digits[..16])).unwrap().id, second.id);
        assert!(matches!(project.election(Some("xyz")), Err(ProjectTrouble::NoElection { .. })));

        fs::write(&roll, "voter,style,key\na,town,nothing\n").unwrap();
        let trouble = project.new_election(&file, &roll).unwrap_err().to_string();
        assert!(trouble.contains("roll.csv") && trouble.contains("line 2"), "{trouble}");
        fs::write(&file, "title = 1").unwrap();
        let trouble = project.new_election(&file, &roll).unwrap_err().to_string();
        assert!(trouble.contains("election.toml") && trouble.contains("line 1"), "{trouble}");
        fs::write(&file, [0xff]).unwrap();
        assert!(matches!(project.new_election(&file, &roll), Err(ProjectTrouble::NotText { .. })));
        // What went wrong left the elections as they were.
        assert_eq!(project.elections().unwrap().len(), 2);
        // A stored roll that was changed is noticed before it is sent.
        fs::write(first.dir.join("roll.bin"), [0; 8]).unwrap();
        assert!(matches!(first.roll_bytes(), Err(ProjectTrouble::StoredRoll(_))));
    }
}
