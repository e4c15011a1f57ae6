//! Text format lets the colon before a list of messages be left out (`input [ {...} ]`), and Triton's files do so nearly
//! always. prost-reflect 0.16 asks for it, so it is put in.
//! See "Fields" in <https://protobuf.dev/reference/protobuf/textformat-spec>.

use super::tokens::Tokens;

/// A text with its colons, and how to get back.
pub(super) struct Completed {
    pub text: String,
    /// Offsets in the original before which a colon was put.
    colons: Vec<usize>,
}

impl Completed {
    /// Puts in the colons that are missing.
    pub(super) fn new(text: &str) -> Self {
        let mut colons = Vec::new();
        let (mut before, mut last) = ("", "");
        for (at, token) in Tokens::of(text) {
            // After a colon a name is a value, and what begins with a bracket is the next field.
            if token == "[" && is_name(last) && before != ":" {
                colons.push(at);
            }
            (before, last) = (last, token);
        }
        let mut completed = String::with_capacity(text.len() + colons.len());
        let mut done = 0;
        for &at in &colons {
            completed.push_str(&text[done..at]);
            completed.push(':');
            done = at;
        }
        completed.push_str(&text[done..]);
        Self { text: completed, colons }
    }

    /// The offset in the original of an offset in the completed text.
    pub(super) fn original(&self, offset: usize) -> usize {
        let before = self.colons.iter().enumerate().filter(|(i, at)| *at + i < offset).count();
        offset - before
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_missing_colons_are_put_in() {
        let completed = |text| Completed::new(text).text;
        assert_eq!(completed("input [ { dims: [ 1 ] } ]"), "input :[ { dims: [ 1 ] } ]");
        assert_eq!(completed("a[{b[<c:1>]}]"), "a:[{b:[<c:1>]}]");
        assert_eq!(completed("a: 'x [' # y [\nb: Z"), "a: 'x [' # y [\nb: Z");
    }

    #[test]
    fn offsets_lead_back_to_the_original() {
        let text = "a [ {} ] b [ {} ] c";
        let completed = Completed::new(text);
        for letter in ["a", "b", "c", "{"] {
            let offset = completed.text.rfind(letter).unwrap();
            assert_eq!(completed.original(offset), text.rfind(letter).unwrap(), "{letter}");
        }
    }
}
