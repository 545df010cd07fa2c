/// The most memory that this process has held so far, in bytes; none where the system doesn't tell.
pub fn peak_rss_bytes() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        parse_peak(&std::fs::read_to_string("/proc/self/status").ok()?)
    }
    #[cfg(not(target_os = "linux"))]
    {
        None
    }
}

/// Reads the line `VmHWM:   123 kB` of `/proc/*/status`.
#[cfg(any(target_os = "linux", test))]
fn parse_peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_peak_line() {
        assert_eq!(parse_peak("Name:\tx\nVmHWM:\t  12 kB\nVmRSS:\t 8 kB\n"), Some(12288));
        assert_eq!(parse_peak("VmRSS:\t 8 kB\n"), None);
        assert_eq!(parse_peak("VmHWM:\t 8 MB\n"), None);
        assert_eq!(parse_peak("VmHWM:\t 99999999999999999999 kB\n"), None);
        assert_eq!(parse_peak("VmHWM:\t 18446744073709551615 kB\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_holds_something() {
        assert!(peak_rss_bytes().unwrap() > 100_000);
    }
}
