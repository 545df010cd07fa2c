//! Numbers for people.

use std::time::Duration;

/// Nats with the digits that matter: `0.0876`, `1.2034`, `8.3e-5`; only what is exactly zero is `0`.
pub(crate) fn nats(value: f64) -> String {
    if value == 0.0 {
        "0".to_owned()
    } else if value.abs() < 5e-4 {
        format!("{value:.1e}")
    } else {
        format!("{value:.4}")
    }
}

/// Nats in a sentence, where two digits say enough: `0.088`, `1.7`, `8.3e-5`.
pub(crate) fn nats_roughly(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 {
        "0".to_owned()
    } else if magnitude < 1e-3 {
        format!("{value:.1e}")
    } else {
        let decimals = (1.0 - magnitude.log10().floor()).clamp(0.0, 4.0) as usize;
        format!("{value:.decimals$}")
    }
}

/// A whole number with commas: `1,024`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A count and its noun: `1 prompt`, `8 prompts`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// A share in percent, honest at both ends: `0.4%`, `6%`, `99.7%`.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent <= 0.0 || (1.0..99.0).contains(&percent) || percent >= 100.0 {
        format!("{percent:.0}%")
    } else if percent < 0.1 {
        "less than 0.1%".to_owned()
    } else if percent > 99.9 {
        "more than 99.9%".to_owned()
    } else {
        format!("{percent:.1}%")
    }
}

/// A time: `0.42 s`, `7.2 s`, `3 min 05 s`, `2 h 11 min`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 0.995 {
        format!("{seconds:.2} s")
    } else if seconds < 59.95 {
        format!("{seconds:.1} s")
    } else {
        let whole = seconds.round() as u64;
        if whole < 3600 {
            format!("{} min {:02} s", whole / 60, whole % 60)
        } else {
            format!("{} h {:02} min", whole / 3600, whole % 3600 / 60)
        }
    }
}

/// A rate per second; none where no time passed.
pub(crate) fn rate(amount: u64, time: Duration) -> Option<f64> {
    let rate = amount as f64 / time.as_secs_f64();
    (amount > 0 && rate.is_finite()).then_some(rate)
}

/// Bytes in binary units: `417 MiB`.
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut amount = number as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    if amount < 10.0 { format!("{amount:.1} {}", UNITS[unit]) } else { format!("{amount:.0} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(["0.0876", "1.2034", "8.3e-5", "0"].map(str::to_owned), [0.08764, 1.20341, 8.3e-5, 0.0].map(nats));
        assert_eq!(
            ["0", "8.3e-5", "0.088", "0.45", "1.7", "12"].map(str::to_owned),
            [0.0, 8.3e-5, 0.08764, 0.4501, 1.6889, 12.3].map(nats_roughly)
        );
        assert_eq!(["0", "999", "1,024", "1,000,000"].map(str::to_owned), [0, 999, 1024, 1_000_000].map(count));
        assert_eq!(
            ["0%", "less than 0.1%", "0.4%", "6%", "99.7%", "more than 99.9%", "100%"].map(str::to_owned),
            [0.0, 0.0005, 0.004, 0.06, 0.997, 0.9995, 1.0].map(percent)
        );
        assert_eq!(
            ["0.42 s", "7.2 s", "1 min 00 s", "3 min 05 s", "2 h 11 min"].map(str::to_owned),
            [0.42, 7.21, 59.96, 185.0, 7860.0].map(|seconds| duration(Duration::from_secs_f64(seconds)))
        );
        assert_eq!(bytes(417 << 20), "417 MiB");
        assert_eq!(bytes(3 << 29), "1.5 GiB");
        assert_eq!(rate(10, Duration::ZERO), None);
        assert_eq!(counted(1, "prompt"), "1 prompt");
    }
}
