//! When a subnet's epochs begin, by whichever way the runtime counts them.

use super::ChainError;
use super::connection::{ClientAt, Connection};
use super::storage::{self, SUBTENSOR, exists, fetch};
use crate::epochs::EpochSchedule;
use distil_types::NetUid;

const API: &str = "SubnetInfoRuntimeApi";
const NEXT_EPOCH: &str = "get_next_epoch_start_block";
const EPOCH: &str = "SubnetEpochIndex";
const LAST: &str = "LastEpochBlock";
const PENDING: &str = "PendingEpochAt";
/// After so many blocks without an epoch the chain begins one with the next block, whatever the schedule.
const LONGEST_EPOCH_BLOCKS: u64 = 50_400;

pub(super) async fn read(
    connection: &Connection,
    at: &ClientAt,
    netuid: NetUid,
    tempo: u16,
) -> Result<EpochSchedule, ChainError> {
    if !exists(at, SUBTENSOR, EPOCH) && !exists(at, SUBTENSOR, LAST) {
        return Ok(EpochSchedule::BlockArithmetic { netuid, tempo });
    }
    let key = (netuid.0,);
    let epoch = fetch(connection, at, SUBTENSOR, EPOCH, key).await?;
    let api = at.metadata_ref().runtime_api_trait_by_name(API);
    let next_start = if api.is_some_and(|api| api.method_by_name(NEXT_EPOCH).is_some()) {
        let next: Option<u64> = storage::call(connection, at, (API, NEXT_EPOCH), key).await?;
        // There is none where there are no epochs.
        next.unwrap_or(u64::MAX)
    } else {
        let last: u64 = fetch(connection, at, SUBTENSOR, LAST, key).await?;
        let pending = match exists(at, SUBTENSOR, PENDING) {
            true => fetch(connection, at, SUBTENSOR, PENDING, key).await?,
            false => 0,
        };
        let since: u64 = fetch(connection, at, SUBTENSOR, "BlocksSinceLastStep", key).await?;
        next_start(at.block_number(), last, pending, since, tempo)
    };
    // An epoch that is due begins with the next block.
    Ok(EpochSchedule::Stateful { epoch, next_start: next_start.max(at.block_number() + 1), tempo })
}

fn next_start(now: u64, last: u64, pending: u64, since_last_step: u64, tempo: u16) -> u64 {
    if tempo == 0 {
        return u64::MAX;
    }
    if since_last_step > LONGEST_EPOCH_BLOCKS {
        return now.saturating_add(1);
    }
    let scheduled = last.saturating_add(tempo.into());
    if pending > 0 { scheduled.min(pending) } else { scheduled }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_epoch_begins_by_tempo_by_order_or_because_it_is_overdue() {
        assert_eq!(next_start(1000, 900, 0, 100, 360), 1260);
        assert_eq!(next_start(1000, 900, 1100, 100, 360), 1100);
        assert_eq!(next_start(1000, 900, 2000, 100, 360), 1260);
        assert_eq!(next_start(90_000, 900, 0, 50_401, 60_000), 90_001);
        assert_eq!(next_start(1000, 900, 0, 100, 0), u64::MAX);
    }
}
