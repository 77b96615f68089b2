//! Numbers as people read them: counts, sizes and times, one way everywhere.

use std::time::Duration;

/// A count with its thousands set apart: `1,436`.
pub fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A size in decimal units with one digit behind the point: `999 B`, `1.2 kB`, `170.2 MB`. A megabyte is
/// 1,000,000 bytes, as disks are sold and limits are typed.
pub fn size(bytes: u64) -> String {
    const UNITS: [(&str, u128); 6] = [
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("PB", 1_000_000_000_000_000),
        ("EB", 1_000_000_000_000_000_000),
    ];
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    let mut shown = String::new();
    for (unit, worth) in UNITS {
        let tenths = (u128::from(bytes) * 10 + worth / 2) / worth;
        shown = format!("{}.{} {unit}", tenths / 10, tenths % 10);
        if tenths < 10_000 {
            break;
        }
    }
    shown
}

/// A time in its two largest units, with tenths below a minute: `0.4 s`, `12.3 s`, `2 min 5 s`, `1 h 3 min`.
pub fn time(took: Duration) -> String {
    let seconds = took.as_secs();
    match seconds {
        0..60 => format!("{}.{} s", seconds, took.subsec_millis() / 100),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// `number` things of which one is called `one`: `1 try`, `3 attempts`.
pub fn of(number: usize, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_thousands() {
        for (number, shown) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (28_436, "28,436"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(number), shown);
        }
    }

    #[test]
    fn sizes_are_decimal_and_never_read_a_thousand() {
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
        for (bytes, shown) in cases {
            assert_eq!(size(bytes), shown);
        }
    }

    #[test]
    fn times_show_their_two_largest_units() {
        let cases = [
            (0, "0.0 s"),
            (999, "0.9 s"),
            (12_345, "12.3 s"),
            (125_900, "2 min 5 s"),
            (3_780_000, "1 h 3 min"),
        ];
        for (millis, shown) in cases {
            assert_eq!(time(Duration::from_millis(millis)), shown);
        }
    }

    #[test]
    fn one_thing_is_singular() {
        assert_eq!(of(1, "try", "tries"), "1 try");
        assert_eq!(of(1_200, "try", "tries"), "1,200 tries");
    }
}
