//! A clock that goes on while the machine sleeps: a login that may last an hour is over after an hour in a closed laptop.

use std::time::Duration;

/// Time since the machine was started, sleep included (CLOCK_BOOTTIME); elsewhere than on Linux, since some fixed moment.
#[must_use]
pub fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is writable. The clock exists since Linux 2.6.39, so that nothing can fail.
        if unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) } == 0 {
            return Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0));
        }
    }
    use once_cell::race::OnceBox;
    use std::time::Instant;
    static START: OnceBox<Instant> = OnceBox::new();
    START.get_or_init(|| Instant::now().into()).elapsed()
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_the_machines_and_never_goes_back() {
        let text = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = text.split(' ').next().unwrap().parse().unwrap();
        let (first, second) = (since_boot(), since_boot());
        assert!(second >= first && (first.as_secs_f64() - uptime).abs() < 60.0, "{first:?} {uptime}");
    }
}
