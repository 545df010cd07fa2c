//! Commitments in storage: those that were revealed and those that were not yet.

use super::connection::{ClientAt, Connection};
use super::storage::{self, SUBTENSOR, block_ref, decoded, failed};
use super::{ChainClient, ChainError, beacon};
use crate::commitments::RevealedEntry;
use crate::timelock::MAX_COMMITMENT_CIPHERTEXT_BYTES;
use distil_types::{BlockRef, Hotkey, NetUid};
use std::collections::{BTreeMap, BTreeSet};
use subxt::dynamic::Value;
use subxt::ext::scale_decode::DecodeAsType;
use subxt::ext::scale_value::{Composite, ValueDef};

const PALLET: &str = "Commitments";
/// The kind of field that newer chains put in the place of what they could not open.
const REVEAL_FAILED: &str = "TimelockRevealFailed";
/// So many entries of a hotkey are kept here, the oldest ones; the chain keeps ten.
const MAX_ENTRIES: usize = 64;
/// So many bytes of an entry are kept here, far more than a commitment can have; the chain allows 1024 of ciphertext.
const MAX_ENTRY_BYTES: usize = 4096;
/// So many fields of a commitment are kept here; the chain allows three.
const MAX_FIELDS: usize = 16;
/// A subnet has at most 4096 seats, and hotkeys that lost theirs may have left something.
const MAX_HOTKEYS: usize = 65_536;

/// A commitment that is in storage as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingCommitment {
    /// The block of the commitment.
    pub block: u64,
    /// What it consists of.
    pub fields: Vec<PendingField>,
}

impl PendingCommitment {
    /// Whether something in it will be revealed.
    pub fn is_timelocked(&self) -> bool {
        self.fields.iter().any(|field| matches!(field, PendingField::Timelocked { .. }))
    }
}

impl PendingCommitment {
    /// Whether newer chains say of it that it did not open.
    pub(super) fn has_failed_reveal(&self) -> bool {
        let failed = |field: &PendingField| matches!(field, PendingField::Other { kind } if kind == REVEAL_FAILED);
        self.fields.iter().any(failed)
    }
}

/// A field of a commitment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PendingField {
    /// To be revealed when the chain has this round.
    Timelocked {
        /// The ciphertext.
        encrypted: Vec<u8>,
        /// The round of drand that opens it.
        reveal_round: u64,
    },
    /// Anything else; open commitments mean nothing to Distil, nor does a timelocked one of a form that is not known.
    Other {
        /// The chain's name for its kind: `Raw32`, `Sha256`, ... Empty for what has none.
        kind: String,
    },
}

/// All that the chain has of one hotkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HotkeyCommitments {
    /// The final block that was read.
    pub block: BlockRef,
    /// When the hotkey took its seat, where it has one.
    pub registration_block: Option<u64>,
    /// What was revealed, the oldest first.
    pub revealed: Vec<RevealedEntry>,
    /// What is in storage as it was sent.
    pub pending: Option<PendingCommitment>,
    /// Rounds that `pending` waits for and that will not come: the chain has later ones.
    pub skipped_rounds: BTreeSet<u64>,
}

impl ChainClient {
    /// What one hotkey committed, by the newest final block.
    ///
    /// # Errors
    /// As [`ChainClient::snapshot`], but nothing is refused.
    pub async fn hotkey_commitments(&self, netuid: NetUid, hotkey: Hotkey) -> Result<HotkeyCommitments, ChainError> {
        self.read("reading a hotkey's commitments", move |connection| async move {
            let at = connection.at_finalized().await?;
            hotkey_commitments_at(&connection, &at, netuid, hotkey).await
        })
        .await
    }
}

pub(super) async fn hotkey_commitments_at(
    connection: &Connection,
    at: &ClientAt,
    netuid: NetUid,
    hotkey: Hotkey,
) -> Result<HotkeyCommitments, ChainError> {
    let key = (netuid.0, *hotkey.account_id());
    let registration_block = match storage::find::<_, u16>(connection, at, SUBTENSOR, "Uids", key).await? {
        None => None,
        Some(uid) => Some(storage::fetch(connection, at, SUBTENSOR, "BlockAtRegistration", (netuid.0, uid)).await?),
    };
    let revealed: Option<Vec<(Vec<u8>, u64)>> =
        storage::find(connection, at, PALLET, "RevealedCommitments", key).await?;
    let revealed = revealed.map_or_else(Vec::new, entries);
    let pending: Option<Registration> = storage::find(connection, at, PALLET, "CommitmentOf", key).await?;
    let pending = pending.map(pending_of);
    let mut skipped_rounds = BTreeSet::new();
    for field in pending.iter().flat_map(|pending| &pending.fields) {
        if let PendingField::Timelocked { reveal_round, .. } = field
            && beacon::is_skipped(connection, at, *reveal_round).await?
        {
            skipped_rounds.insert(*reveal_round);
        }
    }
    Ok(HotkeyCommitments { block: block_ref(at), registration_block, revealed, pending, skipped_rounds })
}

type Key = (u16, [u8; 32]);

fn revealed_address() -> impl subxt::storage::Address<KeyParts = Key, Value = Vec<(Vec<u8>, u64)>> {
    subxt::dynamic::storage::<Key, Vec<(Vec<u8>, u64)>>(PALLET, "RevealedCommitments")
}

fn pending_address() -> impl subxt::storage::Address<KeyParts = Key, Value = Registration> {
    subxt::dynamic::storage::<Key, Registration>(PALLET, "CommitmentOf")
}

/// What was revealed by those who have a seat.
pub(super) async fn all_revealed(
    connection: &Connection,
    at: &ClientAt,
    netuid: NetUid,
    registered: &BTreeSet<Hotkey>,
) -> Result<BTreeMap<Hotkey, Vec<RevealedEntry>>, ChainError> {
    const WHAT: &str = "revealed commitments";
    let mut found = BTreeMap::new();
    let listed = at.storage().iter(revealed_address(), (netuid.0,)).await;
    let mut listed = listed.map_err(|error| failed(connection, at, WHAT, &error))?;
    let mut count = 0;
    while let Some(entry) = listed.next().await {
        let entry = entry.map_err(|error| failed(connection, at, WHAT, &error))?;
        check_count(&mut count, WHAT)?;
        let hotkey = account_of(entry.key_bytes(), WHAT)?;
        if registered.contains(&hotkey) {
            found.insert(hotkey, entries(decoded(at, WHAT, entry.value())?));
        }
    }
    Ok(found)
}

/// What those who have a seat committed and is in storage as it was sent.
pub(super) async fn all_pending(
    connection: &Connection,
    at: &ClientAt,
    netuid: NetUid,
    registered: &BTreeSet<Hotkey>,
) -> Result<BTreeMap<Hotkey, PendingCommitment>, ChainError> {
    const WHAT: &str = "pending commitments";
    let mut found = BTreeMap::new();
    let listed = at.storage().iter(pending_address(), (netuid.0,)).await;
    let mut listed = listed.map_err(|error| failed(connection, at, WHAT, &error))?;
    let mut count = 0;
    while let Some(entry) = listed.next().await {
        let entry = entry.map_err(|error| failed(connection, at, WHAT, &error))?;
        check_count(&mut count, WHAT)?;
        let hotkey = account_of(entry.key_bytes(), WHAT)?;
        if registered.contains(&hotkey) {
            found.insert(hotkey, pending_of(decoded(at, WHAT, entry.value())?));
        }
    }
    Ok(found)
}

fn check_count(count: &mut usize, what: &'static str) -> Result<(), ChainError> {
    *count += 1;
    if *count > MAX_HOTKEYS {
        return Err(ChainError::Malformed { what, problem: format!("there are more than {MAX_HOTKEYS}") });
    }
    Ok(())
}

/// The account stands at the end of a key whose hasher keeps it.
fn account_of(key: &[u8], what: &'static str) -> Result<Hotkey, ChainError> {
    match key.last_chunk::<32>() {
        Some(account) => Ok(Hotkey::from_account_id(*account)),
        None => Err(ChainError::Malformed { what, problem: "a key of storage is too short for an account".to_owned() }),
    }
}

/// What is out of bounds is cut: it is of one hotkey, and is no commitment of ours anyway.
fn entries(raw: Vec<(Vec<u8>, u64)>) -> Vec<RevealedEntry> {
    let entry = |(mut bytes, reveal_block): (Vec<u8>, u64)| {
        bytes.truncate(MAX_ENTRY_BYTES);
        RevealedEntry { reveal_block, bytes }
    };
    raw.into_iter().take(MAX_ENTRIES).map(entry).collect()
}

/// What is needed of the chain's `Registration`.
#[derive(Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub(super) struct Registration {
    block: u64,
    info: CommitmentInfo,
}

#[derive(Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub(super) struct CommitmentInfo {
    fields: Vec<Value>,
}

/// A field that is not as it is known is another one: it is of one hotkey, and must not hide the others'.
fn pending_of(registration: Registration) -> PendingCommitment {
    let field = |field: Value| {
        let ValueDef::Variant(variant) = field.value else { return PendingField::Other { kind: String::new() } };
        let known = if variant.name == "TimelockEncrypted" { timelocked(&variant.values) } else { None };
        known.unwrap_or(PendingField::Other { kind: variant.name })
    };
    let fields = registration.info.fields.into_iter().take(MAX_FIELDS).map(field).collect();
    PendingCommitment { block: registration.block, fields }
}

fn timelocked(values: &Composite<()>) -> Option<PendingField> {
    let Composite::Named(values) = values else { return None };
    let named = |name: &str| values.iter().find(|(other, _)| other == name).map(|(_, value)| value);
    let reveal_round = u64::try_from(named("reveal_round")?.as_u128()?).ok()?;
    let mut encrypted = Vec::new();
    collect_bytes(named("encrypted")?, &mut encrypted)?;
    Some(PendingField::Timelocked { encrypted, reveal_round })
}

/// A list of bytes, however many wrappers of one field are around it.
fn collect_bytes(value: &Value, bytes: &mut Vec<u8>) -> Option<()> {
    if let Some(byte) = value.as_u128() {
        bytes.push(u8::try_from(byte).ok()?);
        return (bytes.len() <= MAX_COMMITMENT_CIPHERTEXT_BYTES).then_some(());
    }
    let ValueDef::Composite(composite) = &value.value else { return None };
    composite.values().try_for_each(|value| collect_bytes(value, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_out_of_bounds_are_cut_and_count_for_nothing() {
        use crate::commitments::{NotEligible, NotOurs, select_submission};
        let text = format!(r#"{{"model":"alice/a","revision":"{}"}}"#, "0a".repeat(20));
        let long = [text.as_bytes(), &[b' '; MAX_ENTRY_BYTES]].concat();
        let read = entries(vec![(long, 1), (b"x".to_vec(), 2)]);
        assert_eq!((read[0].bytes.len(), &read[1].bytes[..], read[1].reveal_block), (MAX_ENTRY_BYTES, &b"x"[..], 2));
        assert_eq!(read[0].commitment(), Err(NotOurs::TooLong { size_bytes: MAX_ENTRY_BYTES }));
        let many = entries((0..100).map(|block| (text.clone().into_bytes(), block)).collect());
        assert_eq!((many.len(), many[0].reveal_block), (MAX_ENTRIES, 0));
        assert_eq!(select_submission(&many, 0, None), Err(NotEligible::HistoryTrimmed));
        assert!(account_of(&[0; 31], "keys").is_err());
    }

    #[test]
    fn fields_of_another_form_are_others_and_hide_nothing() {
        let field = |bytes: usize, round: i128| {
            let round = if round < 0 { Value::bool(true) } else { Value::u128(round as u128) };
            let encrypted = Value::unnamed_composite([Value::from_bytes(vec![7; bytes])]);
            Value::named_variant("TimelockEncrypted", [("encrypted", encrypted), ("reveal_round", round)])
        };
        let read = |fields: Vec<Value>| pending_of(Registration { block: 3, info: CommitmentInfo { fields } }).fields;
        let other = |kind: &str| PendingField::Other { kind: kind.to_owned() };
        let good = PendingField::Timelocked { encrypted: vec![7; 1024], reveal_round: 5 };
        let raw = || Value::unnamed_variant("Raw1", [Value::from_bytes([1])]);
        assert_eq!(read(vec![field(1024, 5), raw()]), [good.clone(), other("Raw1")]);
        let odd = vec![field(1025, 5), field(10, -1), field(10, 1 << 64), Value::bool(true), field(1024, 5)];
        let unknown = other("TimelockEncrypted");
        assert_eq!(read(odd), [unknown.clone(), unknown.clone(), unknown, other(""), good]);
        assert_eq!(read(vec![raw(); MAX_FIELDS + 1]).len(), MAX_FIELDS);
    }
}
