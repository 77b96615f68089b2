//! Sizes, durations and counts as people write and read them: parsed and printed here and nowhere else.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::str::FromStr;
use std::time::Duration;

/// A number of bytes. Parses `500`, `64k`, `100MB`, `2G` (powers of 1000) and `64Ki`, `1GiB` (powers of 1024).
///
/// Prints decimal units with one digit after the point: `999 B`, `1.2 kB`, `170.2 MB`. A megabyte is 1,000,000
/// bytes, as disks are sold and limits are typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || "expected a number of bytes like `500`, `64k`, `100M` or `1Gi`".to_owned();
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = unit
            .trim()
            .trim_end_matches(['B', 'b'])
            .to_ascii_lowercase();
        let factor: u64 = match unit.as_str() {
            "" => 1,
            "k" => 1_000,
            "ki" => 1 << 10,
            "m" => 1_000_000,
            "mi" => 1 << 20,
            "g" => 1_000_000_000,
            "gi" => 1 << 30,
            "t" => 1_000_000_000_000,
            "ti" => 1 << 40,
            _ => return Err(invalid()),
        };
        let number: u64 = number.parse().map_err(|_| invalid())?;
        number.checked_mul(factor).map(Self).ok_or_else(invalid)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u128); 6] = [
            ("kB", 1_000),
            ("MB", 1_000_000),
            ("GB", 1_000_000_000),
            ("TB", 1_000_000_000_000),
            ("PB", 1_000_000_000_000_000),
            ("EB", 1_000_000_000_000_000_000),
        ];
        let bytes = u128::from(self.0);
        if bytes < 1_000 {
            return write!(f, "{bytes} B");
        }
        let tenths_of = |worth: u128| (bytes * 10 + worth / 2) / worth;
        // The first unit that rounds to less than a thousand: never `1000.0 kB`.
        let (unit, worth) = UNITS
            .into_iter()
            .find(|(_, worth)| tenths_of(*worth) < 10_000)
            .unwrap_or(UNITS[UNITS.len() - 1]);
        let tenths = tenths_of(worth);
        write!(f, "{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

/// A length of time. Parses `30s`, `1m30s`, `500ms` and bare seconds (`30`, `0.5`), up to a year.
///
/// Prints its two largest units, with tenths below a minute: `0.4 s`, `5 s`, `2 min 5 s`, `1 h 3 min`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanDuration(pub Duration);

impl HumanDuration {
    /// The longest that is parsed: more is a typing error, and would overflow a deadline somewhere.
    const MAX: Duration = Duration::from_secs(366 * 24 * 3600);
}

impl FromStr for HumanDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid =
            || "expected a duration like `30s`, `1m30s`, `500ms` or `30` (seconds)".to_owned();
        let duration = if let Ok(seconds) = text.parse::<f64>() {
            Duration::try_from_secs_f64(seconds).map_err(|_| invalid())?
        } else {
            let span = text
                .parse::<jiff::SignedDuration>()
                .map_err(|_| invalid())?;
            Duration::try_from(span).map_err(|_| invalid())?
        };
        if duration > Self::MAX {
            return Err("expected at most a year".to_owned());
        }
        Ok(Self(duration))
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (large, small) = match seconds {
            0..60 if self.0.subsec_nanos() == 0 => return write!(f, "{seconds} s"),
            0..60 => return write!(f, "{seconds}.{} s", self.0.subsec_millis() / 100),
            60..3_600 => ((seconds / 60, "min"), (seconds % 60, "s")),
            // A server may send any number of seconds, and more than this parses to nothing.
            _ if self.0 > Self::MAX => return f.write_str("more than a year"),
            _ => ((seconds / 3_600, "h"), (seconds % 3_600 / 60, "min")),
        };
        write!(f, "{} {}", large.0, large.1)?;
        if small.0 > 0 {
            write!(f, " {} {}", small.0, small.1)?;
        }
        Ok(())
    }
}

/// A count with thousands separators: `1,436`.
pub fn count(number: impl TryInto<u128>) -> String {
    // Only a negative number does not fit, and nothing is counted below zero.
    let digits = number.try_into().unwrap_or(0).to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A count with its noun: `1 try`, `1,200 tries`.
pub fn plural(number: impl TryInto<u128> + Copy, one: &str, many: &str) -> String {
    let noun = if number.try_into().is_ok_and(|number| number == 1) {
        one
    } else {
        many
    };
    format!("{} {noun}", count(number))
}

/// A random factor from a half to one, for pauses. The standard library seeds each `RandomState` differently,
/// which is random enough to spread requests and needs no generator of our own.
pub fn jitter() -> f64 {
    let random = u32::try_from(RandomState::new().hash_one(()) >> 32).unwrap_or(u32::MAX);
    0.5 + f64::from(random) / f64::from(u32::MAX) / 2.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_size_parses_with_decimal_and_binary_units() {
        let size = |text: &str| text.parse::<ByteSize>().map(|size| size.0);
        assert_eq!(size("500"), Ok(500));
        assert_eq!(size("64k"), Ok(64_000));
        assert_eq!(size("64Ki"), Ok(64 << 10));
        assert_eq!(size("100MB"), Ok(100_000_000));
        assert_eq!(size("1GiB"), Ok(1 << 30));
        for invalid in ["", "M", "-1", "1.5M", "5x", "99999999999T"] {
            assert!(size(invalid).is_err(), "{invalid:?}");
        }
    }

    #[test]
    fn a_size_prints_decimal_units_and_never_a_thousand_of_one() {
        let cases = [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (1_250, "1.3 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (170_200_000, "170.2 MB"),
            (u64::MAX, "18.4 EB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }

    #[test]
    fn a_duration_parses_with_units_and_as_bare_seconds() {
        let duration = |text: &str| text.parse::<HumanDuration>().map(|parsed| parsed.0);
        assert_eq!(duration("30"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        for invalid in [
            "",
            "soon",
            "-1",
            "-5s",
            "1e300",
            "NaN",
            "inf",
            "400d",
            "99999999999",
        ] {
            assert!(duration(invalid).is_err(), "{invalid:?}");
        }
    }

    #[test]
    fn a_duration_prints_its_two_largest_units() {
        let cases = [
            (0, "0 s"),
            (999, "0.9 s"),
            (5_000, "5 s"),
            (12_345, "12.3 s"),
            (60_000, "1 min"),
            (125_900, "2 min 5 s"),
            (3_600_000, "1 h"),
            (3_780_000, "1 h 3 min"),
        ];
        for (millis, text) in cases {
            assert_eq!(
                HumanDuration(Duration::from_millis(millis)).to_string(),
                text
            );
        }
    }

    #[test]
    fn a_count_has_thousands_separators() {
        for (number, text) in [
            (0_u64, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (28_436, "28,436"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn plural_uses_the_singular_for_one_alone() {
        assert_eq!(plural(0_usize, "try", "tries"), "0 tries");
        assert_eq!(plural(1_u32, "try", "tries"), "1 try");
        assert_eq!(plural(1_200_u64, "try", "tries"), "1,200 tries");
    }

    proptest! {
        #[test]
        fn a_printed_duration_parses_again(seconds in 0_u64..366 * 24 * 3600) {
            let duration = HumanDuration(Duration::from_secs(seconds));
            let parsed: HumanDuration = duration.to_string().parse().unwrap();
            // Only what the second unit leaves out is lost.
            let lost = duration.0.checked_sub(parsed.0);
            prop_assert!(lost.is_some_and(|lost| lost < Duration::from_secs(60)));
        }
    }
}
