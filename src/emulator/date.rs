//! Days of the Japanese calendar as certificates count them: a certificate ends with a day in Japan, at 14:59:59 UTC.

use der::DateTime;
use std::time::Duration;

/// Seconds Japan is ahead of UTC, all year.
const JAPAN: u64 = 9 * 3600;
const DAY: u64 = 24 * 3600;

/// A day, from 1970 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// That day; `None` if the calendar has none such.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Date> {
        DateTime::new(year, month, day, 0, 0, 0).ok().map(|_| Date { year, month, day })
    }

    /// The day in Japan at a moment, in seconds since 1970 UTC.
    pub fn in_japan(now: u64) -> Option<Date> {
        in_japan(now).map(|time| Date { year: time.year(), month: time.month(), day: time.day() })
    }

    /// Its last second in Japan.
    pub fn end(self) -> Option<DateTime> {
        DateTime::new(self.year, self.month, self.day, 14, 59, 59).ok()
    }

    /// The year.
    pub fn year(self) -> u16 {
        self.year
    }

    /// Year, month and day.
    pub fn parts(self) -> (u16, u8, u8) {
        (self.year, self.month, self.day)
    }

    /// The `nth` birthday after this day, for someone born on `month`, `day`. Who was born on 29 February has it on the 28th
    /// where the year has no 29th; if month or day is not known (0), it is this day as many years later.
    pub fn birthday(self, nth: u16, month: u8, day: u8) -> Option<Date> {
        let (month, day) = if month == 0 || day == 0 { (self.month, self.day) } else { (month, day) };
        let birthday = |year| Date::new(year, month, day).or_else(|| Date::new(year, month, day - 1));
        let to_come_this_year = birthday(self.year)? > self;
        birthday(self.year + nth - u16::from(to_come_this_year))
    }

    /// Three years less a day: from 2004-04-01 it is 2007-03-31.
    pub fn three_years_less_a_day(self) -> Option<Date> {
        let year = self.year + 3;
        // From 29 February: the third year has none, so the day before 1 March.
        let (month, day) =
            if Date::new(year, self.month, self.day).is_some() { (self.month, self.day) } else { (3, 1) };
        let after = DateTime::new(year, month, day, 0, 0, 0).ok()?.unix_duration();
        let time = DateTime::from_unix_duration(after - Duration::from_secs(DAY)).ok()?;
        Date::new(time.year(), time.month(), time.day())
    }
}

/// Wall-clock time in Japan at a moment, in seconds since 1970 UTC.
pub fn in_japan(now: u64) -> Option<DateTime> {
    DateTime::from_unix_duration(Duration::from_secs(now.checked_add(JAPAN)?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(year: u16, month: u8, day: u8) -> Date {
        Date::new(year, month, day).unwrap()
    }

    #[test]
    fn the_day_begins_at_fifteen_hours_utc() {
        // 2026-01-01T14:59:59Z and a second later.
        assert_eq!(Date::in_japan(1_767_279_599), Some(date(2026, 1, 1)));
        assert_eq!(Date::in_japan(1_767_279_600), Some(date(2026, 1, 2)));
    }

    #[test]
    fn the_fifth_birthday_is_counted_from_the_first_one_after_issue() {
        let issued = date(2025, 10, 16);
        assert_eq!(issued.birthday(5, 12, 1), Some(date(2029, 12, 1)));
        assert_eq!(issued.birthday(5, 2, 17), Some(date(2030, 2, 17)));
        assert_eq!(issued.birthday(5, 10, 16), Some(date(2030, 10, 16)));
        assert_eq!(issued.birthday(5, 2, 29), Some(date(2030, 2, 28)));
        assert_eq!(date(2027, 3, 1).birthday(5, 2, 29), Some(date(2032, 2, 29)));
        // In a year without a 29th, the 28th is the birthday: the first one after it is the next year's.
        assert_eq!(date(2027, 2, 28).birthday(5, 2, 29), Some(date(2032, 2, 29)));
        assert_eq!(date(2027, 2, 27).birthday(5, 2, 29), Some(date(2031, 2, 28)));
        assert_eq!(date(2028, 2, 28).birthday(5, 2, 29), Some(date(2032, 2, 29)));
        assert_eq!(issued.birthday(5, 0, 0), Some(date(2030, 10, 16)));
        assert_eq!(issued.birthday(10, 12, 1), Some(date(2034, 12, 1)));
        assert_eq!(issued.birthday(10, 2, 29), Some(date(2035, 2, 28)));
    }

    #[test]
    fn a_juki_certificate_lasts_three_years_less_a_day() {
        assert_eq!(date(2004, 4, 1).three_years_less_a_day(), Some(date(2007, 3, 31)));
        assert_eq!(date(2004, 3, 1).three_years_less_a_day(), Some(date(2007, 2, 28)));
        assert_eq!(date(2004, 2, 29).three_years_less_a_day(), Some(date(2007, 2, 28)));
        assert_eq!(date(2004, 1, 1).three_years_less_a_day(), Some(date(2006, 12, 31)));
    }
}
