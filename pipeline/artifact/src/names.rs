//! Which names are good for models, variants and files, and which text is a date or a digest.

/// What [`is_name`] asks for, for messages.
pub const NAME_RULE: &str = "1 to 128 of the characters A-Z a-z 0-9 . _ -, not beginning with a dot";

/// What [`is_plain_file`] asks for, for messages.
pub const FILE_RULE: &str = "the plain name of a file in the version's own directory, without '/' and '\\'";

/// Whether `name` may name a model or a variant: such names become folders, labels and parts of addresses.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=128).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(good)
}

/// Whether `text` is a semantic version such as 1.2.0 (semver.org).
#[must_use]
pub fn is_semver(text: &str) -> bool {
    semver::Version::parse(text).is_ok()
}

/// Whether `name` is a file inside a directory, and cannot lead out of it on any platform.
#[must_use]
pub fn is_plain_file(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name != "."
        && name != ".."
        && !name.contains(['/', '\\', ':'])
        && !name.chars().any(char::is_control)
}

/// Whether `text` is a sha256 as we write it: 64 lower-case hexadecimal digits.
#[must_use]
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether `text` is a date and time of RFC 3339 in UTC: `2026-03-01T08:30:00Z`, with optional fractions of a second,
/// and `Z` or a zero offset at the end.
#[must_use]
pub fn is_utc_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let form = b"0000-00-00T00:00:00";
    let (Some(head), Some(tail)) = (text.get(..form.len()), text.get(form.len()..)) else {
        return false;
    };
    let in_form = head.bytes().zip(form).all(|(byte, &form)| match form {
        b'0' => byte.is_ascii_digit(),
        _ => byte == form,
    });
    let number =
        |from: usize, to: usize| bytes[from..to].iter().fold(0_u32, |n, digit| n * 10 + u32::from(digit - b'0'));
    in_form
        && (1..=days_in(number(0, 4), number(5, 7))).contains(&number(8, 10))
        && number(11, 13) < 24
        && number(14, 16) < 60
        && number(17, 19) <= 60 // 60: a leap second, RFC 3339 section 5.7
        && is_utc_tail(tail)
}

fn days_in(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    }
}

fn is_utc_tail(tail: &str) -> bool {
    let offset = match tail.strip_prefix('.') {
        Some(fraction) => {
            let offset = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if offset.len() == fraction.len() {
                return false;
            }
            offset
        }
        None => tail,
    };
    matches!(offset, "Z" | "+00:00" | "-00:00")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_paths_or_hidden_files_are_refused() {
        for good in ["resnet18", "a.b_c-1", "X"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", ".hidden", "..", "a/b", "a b", "käse", &"x".repeat(129)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn files_cannot_leave_their_directory() {
        for good in ["model.onnx", "a b.data", "..model"] {
            assert!(is_plain_file(good), "{good}");
        }
        for bad in ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", "C:x", "a\0b"] {
            assert!(!is_plain_file(bad), "{bad:?}");
        }
    }

    #[test]
    fn times_follow_rfc_3339_in_utc() {
        for good in ["2026-03-01T08:30:00Z", "2024-02-29T23:59:60Z", "2026-03-01T08:30:00.123456+00:00"] {
            assert!(is_utc_time(good), "{good}");
        }
        for bad in [
            "",
            "2026-03-01",
            "2026-03-01 08:30:00Z",
            "2026-02-29T08:30:00Z",
            "2026-13-01T08:30:00Z",
            "2026-03-00T08:30:00Z",
            "2026-03-01T24:30:00Z",
            "2026-03-01T08:30:00",
            "2026-03-01T08:30:00.Z",
            "2026-03-01T08:30:00+02:00",
            "2026-03-01T08:30:0éZ",
        ] {
            assert!(!is_utc_time(bad), "{bad}");
        }
    }
}
