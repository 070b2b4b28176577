//! Ages: `90s`, `30m`, `12h`, `30d`, `2w`.

use std::time::Duration;

/// The age that `text` names.
///
/// # Errors
/// A sentence that says how to write one.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no age: write a whole number and s, m, h, d or w, as in 12h or 30d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        'w' => 7 * 24 * 3600,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_number_and_a_unit() {
        let seconds = |text| parse(text).map(|age| age.as_secs());
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("12h"), Ok(43_200));
        assert_eq!(seconds("30d"), Ok(2_592_000));
        for wrong in
            ["", "d", "30", "-1d", "1.5h", "3 d", "30\u{e9}", "99999999999999999999w", "9999999999999999w"]
        {
            assert!(parse(wrong).unwrap_err().contains("12h"), "{wrong}");
        }
    }
}
