//! Where and with how many threads tensors are computed.

use anyhow::{Context as _, anyhow};
use distil_model::{DType, Device};

use crate::exit::CommandError;
use crate::settings::{DeviceChoice, DtypeChoice, Threads};

/// Makes every later tensor operation use this many threads. Call it once, before the first of them.
///
/// Products go through candle and gemm, which split them by the environment variable `RAYON_NUM_THREADS` and run them
/// on rayon's global pool; candle keeps pools of its own that it sizes by the same variable and by
/// `CANDLE_NUM_THREADS`. So the number has to stand in all three places.
#[expect(unsafe_code, reason = "candle takes its number of threads from the environment alone")]
pub(crate) fn use_threads(threads: Threads) -> Result<(), CommandError> {
    let number = threads.get().to_string();
    for variable in ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"] {
        // SAFETY: the environment may be changed only while no other thread reads or writes it. Commands call this
        // first thing, on the main thread, when the program has started no other one: progress bars, rayon's pool and
        // candle's pools all come later.
        unsafe { std::env::set_var(variable, &number) };
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads.get())
        .build_global()
        .context("cannot start the threads to compute with")
        .map_err(CommandError::ours)
}

/// The device to compute on.
pub(crate) fn device(choice: DeviceChoice) -> Result<Device, CommandError> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Cuda(number) => Device::new_cuda(number).map_err(|error| {
            CommandError::usage(anyhow!(error).context(format!("cannot compute on {choice}")))
                .with_hint("leave --device out to compute on the CPU")
        }),
    }
}

/// The type to compute in.
pub(crate) fn dtype(choice: DtypeChoice) -> DType {
    match choice {
        DtypeChoice::F32 => DType::F32,
        DtypeChoice::Bf16 => DType::BF16,
    }
}
