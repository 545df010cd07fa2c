use crate::{
    Error, RepoIdProblem,
    text::{excerpt, serde_as_text},
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A repository of the Hugging Face Hub: `owner/repo`.
///
/// Owner and repository have 1 to 96 characters of `A-Z a-z 0-9 . _ -` each, neither begins or ends with `.` or `-`,
/// neither holds `..` or `--`, and the repository does not end in `.git`: what the Hub itself demands of names. So a
/// `RepoId` can stand in a path, a URL or a log as it is; whether its words are fit to be read is another question.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoId {
    text: String,
    slash: usize,
}

impl RepoId {
    const MAX_CHARS: usize = 96;

    /// The user or organisation that owns the repository.
    pub fn owner(&self) -> &str {
        &self.text[..self.slash]
    }

    /// The name of the repository, without its owner.
    pub fn name(&self) -> &str {
        &self.text[self.slash + 1..]
    }

    /// `owner/repo`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn check_part(part: &str) -> Result<(), RepoIdProblem> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if part.is_empty() {
            Err(RepoIdProblem::Empty)
        } else if !part.bytes().all(allowed) {
            Err(RepoIdProblem::Character)
        } else if part.len() > Self::MAX_CHARS {
            Err(RepoIdProblem::TooLong)
        } else if part.starts_with(['.', '-']) || part.ends_with(['.', '-']) {
            Err(RepoIdProblem::Edge)
        } else if part.contains("..") || part.contains("--") {
            Err(RepoIdProblem::Doubled)
        } else {
            Ok(())
        }
    }
}

impl FromStr for RepoId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parse = || {
            let (owner, name) = text.split_once('/').ok_or(RepoIdProblem::Slashes)?;
            if name.contains('/') {
                return Err(RepoIdProblem::Slashes);
            }
            Self::check_part(owner)?;
            Self::check_part(name)?;
            if name.ends_with(".git") {
                return Err(RepoIdProblem::GitSuffix);
            }
            Ok(RepoId { text: text.to_owned(), slash: owner.len() })
        };
        parse().map_err(|problem| Error::InvalidRepoId { text: excerpt(text), problem })
    }
}

impl fmt::Display for RepoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for RepoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RepoId({self})")
    }
}

serde_as_text!(RepoId, "a repository name of the form owner/repo");

/// A commit of a repository: 40 lower-case hexadecimal digits.
///
/// A branch or a tag is not a revision here: it can be moved to other weights after they were looked at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision([u8; 40]);

impl Revision {
    /// The 40 digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("the parser takes ASCII digits only")
    }
}

impl FromStr for Revision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match <[u8; 40]>::try_from(text.as_bytes()) {
            Ok(digits) if digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) => Ok(Revision(digits)),
            _ => Err(Error::InvalidRevision { text: excerpt(text) }),
        }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Revision({self})")
    }
}

serde_as_text!(Revision, "a commit: 40 lower-case hexadecimal digits");

/// What a miner publishes on the chain: a model, pinned to one commit.
///
/// On the chain it is the JSON object `{"model": "owner/repo", "revision": "<40 hexadecimal digits>"}`. Further
/// fields are passed over when it is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Commitment {
    /// The repository that holds the model.
    pub model: RepoId,
    /// The commit of the repository.
    pub revision: Revision,
}

impl fmt::Display for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.model, self.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn each_fault_of_a_name_is_told_apart() {
        let long = "a".repeat(97);
        for (bad, expected) in [
            ("noslash", RepoIdProblem::Slashes),
            ("a/b/c", RepoIdProblem::Slashes),
            ("", RepoIdProblem::Slashes),
            ("/b", RepoIdProblem::Empty),
            ("a/", RepoIdProblem::Empty),
            (&format!("{long}/b"), RepoIdProblem::TooLong),
            (&format!("a/{long}"), RepoIdProblem::TooLong),
            ("../b", RepoIdProblem::Edge),
            ("a/..", RepoIdProblem::Edge),
            ("a/.hidden", RepoIdProblem::Edge),
            ("-a/b", RepoIdProblem::Edge),
            ("a-/b", RepoIdProblem::Edge),
            ("a/b..c", RepoIdProblem::Doubled),
            ("a--b/c", RepoIdProblem::Doubled),
            ("a/b.git", RepoIdProblem::GitSuffix),
            ("a/b c", RepoIdProblem::Character),
            ("a/b\n", RepoIdProblem::Character),
            ("a/b@main", RepoIdProblem::Character),
            ("a/<script>", RepoIdProblem::Character),
            ("a/b?x=1", RepoIdProblem::Character),
            ("a/$(id)", RepoIdProblem::Character),
            ("ａ/b", RepoIdProblem::Character),
        ] {
            match bad.parse::<RepoId>().unwrap_err() {
                Error::InvalidRepoId { problem, .. } => assert_eq!(problem, expected, "{bad:?}"),
                other => panic!("{bad:?}: {other}"),
            }
        }
    }

    #[test]
    fn real_names_are_taken() {
        for good in [
            "Qwen/Qwen3.5-35B-A3B",
            "HuggingFaceTB/SmolLM2-135M-Instruct",
            "0/_",
            "a_b/c.d-e_f",
            &format!("{0}/{0}", "a".repeat(96)),
        ] {
            let repo: RepoId = good.parse().unwrap();
            assert_eq!(repo.to_string(), good);
            assert_eq!(format!("{}/{}", repo.owner(), repo.name()), good);
        }
    }

    #[test]
    fn a_revision_is_a_commit_in_lower_case() {
        assert_eq!(SHA.parse::<Revision>().unwrap().as_str(), SHA);
        for bad in [
            "main",
            "",
            &SHA[1..],
            &format!("{SHA}0"),
            &SHA.to_uppercase(),
            &format!("0x{}", &SHA[2..]),
            &"g".repeat(40),
            &"é".repeat(20),
        ] {
            assert!(bad.parse::<Revision>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_commitment_is_read_as_the_chain_holds_it() {
        let json = format!(r#"{{"model": "a/b", "revision": "{SHA}"}}"#);
        let commitment: Commitment = serde_json::from_str(&json).unwrap();
        assert_eq!(commitment.to_string(), format!("a/b@{SHA}"));
        assert_eq!(
            serde_json::from_str::<Commitment>(&serde_json::to_string(&commitment).unwrap()).unwrap(),
            commitment
        );
        for bad in [
            r#"{"model": "a/b"}"#.to_owned(),
            r#"{"model": "a/b", "revision": "main"}"#.to_owned(),
            format!(r#"{{"model": "a/../b", "revision": "{SHA}"}}"#),
            format!(r#"{{"model": "a/b", "model": "c/d", "revision": "{SHA}"}}"#),
            format!(r#"{{"model": null, "revision": "{SHA}"}}"#),
            "[]".to_owned(),
        ] {
            assert!(serde_json::from_str::<Commitment>(&bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_obeys_the_rule(text in "[A-Za-z0-9._/-]{0,12}|\\PC{0,20}|[a.-]{1,4}/[a.-]{1,4}") {
            if let Ok(repo) = text.parse::<RepoId>() {
                prop_assert_eq!(repo.as_str(), &text);
                prop_assert_eq!(text.matches('/').count(), 1);
                for part in [repo.owner(), repo.name()] {
                    prop_assert!((1..=96).contains(&part.len()));
                    prop_assert!(part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)));
                    prop_assert!(!part.contains("..") && !part.contains("--"));
                    prop_assert!(!part.starts_with(['.', '-']) && !part.ends_with(['.', '-']));
                }
                let json = serde_json::to_string(&repo).unwrap();
                prop_assert_eq!(serde_json::from_str::<RepoId>(&json).unwrap(), repo);
            }
        }

        #[test]
        fn plain_names_are_always_taken(owner in "[A-Za-z0-9_]{1,96}", name in "[A-Za-z0-9_]{1,96}") {
            let repo: RepoId = format!("{owner}/{name}").parse().unwrap();
            prop_assert_eq!(repo.owner(), owner);
            prop_assert_eq!(repo.name(), name);
        }

        #[test]
        fn commits_go_there_and_back(text in "[0-9a-f]{40}") {
            let revision: Revision = text.parse().unwrap();
            prop_assert_eq!(revision.to_string(), text);
            let json = serde_json::to_string(&revision).unwrap();
            prop_assert_eq!(serde_json::from_str::<Revision>(&json).unwrap(), revision);
        }

        #[test]
        fn nothing_else_is_a_commit(text in "[0-9a-fA-Fg]{38,42}|\\PC{0,41}") {
            let expected = text.len() == 40 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
            prop_assert_eq!(text.parse::<Revision>().is_ok(), expected);
        }
    }
}
