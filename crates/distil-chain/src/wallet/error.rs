use std::{fmt, io, path::PathBuf};

/// Why a wallet cannot be read or its hotkey cannot sign.
///
/// No error quotes from a key file or holds a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalletError {
    /// A wallet's or hotkey's name that is no single name of a file.
    #[error("{kind} name {name}: {problem}")]
    InvalidName {
        /// "wallet" or "hotkey".
        kind: &'static str,
        /// The beginning of what was given, made printable.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The folder of wallets is not known.
    #[error("HOME is not set, so ~/.bittensor/wallets is not known: name the folder of the wallets")]
    NoHome,
    /// There is no such file.
    #[error(
        "{}: there is no such file; check the names of wallet and hotkey and the folder of the wallets", .file.display()
    )]
    Missing {
        /// Where it was looked for.
        file: PathBuf,
    },
    /// It cannot be read.
    #[error("{}: cannot be read: {source}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder, a device, a pipe.
    #[error("{}: not a regular file", .file.display())]
    NotAFile {
        /// What was named.
        file: PathBuf,
    },
    /// More than a key file can hold.
    #[error("{}: has {size_bytes} bytes; a key file has at most {max_bytes}", .file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// Its size, or, if it grew while it was read, what was read of it.
        size_bytes: u64,
        /// The limit.
        max_bytes: u64,
    },
    /// Neither the JSON of a key file nor an encrypted one.
    #[error("{}: not a Bittensor key file: {problem}", .file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong with it; quotes nothing from it.
        problem: String,
    },
    /// Encrypted in a way that is not read here.
    #[error(
        "{}: encrypted with {method}, which is not supported: recreate the hotkey from its phrase with a current btcli \
         (`btcli wallet regen-hotkey`), which writes it plain or as $NACL", .file.display()
    )]
    UnsupportedEncryption {
        /// The file.
        file: PathBuf,
        /// "Ansible's vault ($ANSIBLE_VAULT)" or "Fernet (gAAAAA)".
        method: &'static str,
    },
    /// A key that is not sr25519.
    #[error("{}: its cryptoType is not 1: only sr25519 keys can sign for Bittensor hotkeys here", .file.display())]
    UnsupportedKeyType {
        /// The file.
        file: PathBuf,
    },
    /// Only public values: a `…pub.txt`, for example.
    #[error("{}: has no secretPhrase, secretSeed or privateKey, so nothing can be signed with it", .file.display())]
    NoSecret {
        /// The file.
        file: PathBuf,
    },
    /// A field that is not what it should be.
    #[error("{}: {field} {problem}", .file.display())]
    InvalidField {
        /// The file.
        file: PathBuf,
        /// Its name in the file.
        field: &'static str,
        /// What it should be; quotes nothing of it.
        problem: &'static str,
    },
    /// The secret is not that of the key which the file names.
    #[error(
        "{}: its {secret_field} belongs to {derived}, but its {field} says otherwise: the file is damaged or mixed up \
         from two", .file.display()
    )]
    Mismatch {
        /// The file.
        file: PathBuf,
        /// The public field that does not fit.
        field: &'static str,
        /// The field that the key was taken from.
        secret_field: &'static str,
        /// The address of the key that was taken.
        derived: distil_types::Hotkey,
    },
    /// Encrypted, and nobody gave a password.
    #[error(
        "{}: encrypted, and there is no password: {source}; {variable} can hold it, as Bittensor's tools set it",
        .file.display()
    )]
    NoPassword {
        /// The file.
        file: PathBuf,
        /// The environment variable that is looked at.
        variable: String,
        /// Why nobody could be asked.
        source: io::Error,
    },
    /// The environment variable holds no password in Bittensor's form.
    #[error(
        "{variable} is not a password as Bittensor's tools store it (base64 of the password xor the variable's name)"
    )]
    InvalidPasswordVariable {
        /// Its name.
        variable: String,
    },
    /// The password does not open it.
    #[error("{}: the password from {origin} does not open it, or the file is damaged", .file.display())]
    WrongPassword {
        /// The file.
        file: PathBuf,
        /// "the prompt", or the name of the environment variable.
        origin: String,
    },
    /// The 512 MiB that its encryption demands are not to be had.
    #[error("{}: opening it takes {needed_mib} MiB of memory, which the system does not give", .file.display())]
    NoMemory {
        /// The file.
        file: PathBuf,
        /// How much is needed.
        needed_mib: u32,
    },
}

/// What is not wrong but should be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WalletWarning {
    /// Others than its owner can read or write a file with a secret.
    LoosePermissions {
        /// The file; the target, where a symbolic link was named.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

impl fmt::Display for WalletWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoosePermissions { file, mode } => {
                let file = file.display();
                write!(f, "{file}: others can read or change it (mode {mode:04o}); `chmod 600` it")
            }
        }
    }
}
