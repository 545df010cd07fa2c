//! The loop: one epoch after another, until the end is asked for.

use crate::events::Event;
use crate::{EpochEnd, Validator, ValidatorError};
use distil_chain::ErrorClass;
use std::time::{Duration, Instant};

/// After the first failure in a row; doubles with each one.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How soon a raised flag is seen while nothing is going on.
const SHORT: Duration = Duration::from_millis(100);

impl Validator {
    /// Works until the flag is raised: an epoch whenever the chain has a new round block, or a round is open, or weights
    /// wait. What fails through the world outside is tried again after a pause that doubles.
    ///
    /// # Errors
    ///
    /// What does not pass by itself.
    pub fn run(&mut self) -> Result<(), ValidatorError> {
        let mut failures = 0;
        while !self.stop.is_raised() {
            let pause = match self.epoch() {
                Ok(EpochEnd::NotYet { blocks }) => {
                    failures = 0;
                    self.blocks(blocks)
                }
                Ok(EpochEnd::NoRound | EpochEnd::Round(_)) => {
                    failures = 0;
                    Duration::ZERO
                }
                Err(ValidatorError::Stopped) => break,
                // A source of prompts or a teacher that worked before and says "not for you" today may work tomorrow; a
                // validator that ends for that stops looking after its weights, too.
                Err(error) if error.is_transient() || error.is_from_outside() && self.has_had_rounds()? => {
                    failures += 1;
                    let pause = self.pause(&error, failures);
                    self.tell(Event::Failed { problem: error.to_string(), pause });
                    pause
                }
                Err(error) => return Err(error),
            };
            self.wait(pause);
        }
        Ok(())
    }

    fn has_had_rounds(&self) -> Result<bool, ValidatorError> {
        Ok(!self.store.rounds(0, 1)?.is_empty())
    }

    fn pause(&self, error: &ValidatorError, failures: u32) -> Duration {
        if let ValidatorError::Chain(error) = error
            && let ErrorClass::Wait { blocks } = error.class()
        {
            return self.blocks(blocks);
        }
        FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST_PAUSE)
    }

    /// The time of so many blocks, but never so long that what else may have happened is seen late.
    fn blocks(&self, blocks: u64) -> Duration {
        Duration::from_millis(self.settings.block_time_ms.saturating_mul(blocks.clamp(1, 5)))
    }

    fn wait(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while !self.stop.is_raised() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(SHORT));
        }
    }
}
