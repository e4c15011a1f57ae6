//! Every dependency may be used under the licences that `deny.toml` allows, and comes from the registry.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::metadata::{Metadata, root};

#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
}

#[derive(Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
}

#[test]
fn every_dependency_may_be_used_under_an_allowed_licence() {
    let text = std::fs::read_to_string(root().join("deny.toml")).expect("deny.toml can be read");
    let allow = toml::from_str::<Deny>(&text).expect("deny.toml has [licenses] allow").licenses.allow;
    for package in Metadata::read().packages {
        let (name, version) = (&package.name, &package.version);
        let licence = package.license.unwrap_or_else(|| panic!("{name} {version} names no licence"));
        let allowed = Expression::of(&licence).allowed_by(&|licence| allow.contains(licence));
        assert_eq!(allowed, Some(true), "{name} {version} is under '{licence}'; deny.toml allows {allow:?}");
    }
}

#[test]
fn every_dependency_comes_from_one_registry() {
    let sources: BTreeSet<_> = Metadata::read().packages.into_iter().filter_map(|package| package.source).collect();
    assert!(sources.len() == 1 && sources.iter().all(|source| source.starts_with("registry+")), "{sources:?}");
}

/// An SPDX licence expression (SPDX specification, annex "SPDX license expressions"), with the older `/` for `OR`.
struct Expression {
    /// The last one first.
    tokens: Vec<String>,
}

impl Expression {
    fn of(text: &str) -> Self {
        let spaced = text.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        Self { tokens: spaced.split_whitespace().rev().map(str::to_owned).collect() }
    }

    /// `None` if this is no expression.
    fn allowed_by(mut self, allow: &dyn Fn(&str) -> bool) -> Option<bool> {
        let answer = self.any(allow)?;
        self.tokens.is_empty().then_some(answer)
    }

    fn any(&mut self, allow: &dyn Fn(&str) -> bool) -> Option<bool> {
        let mut answer = self.all(allow)?;
        while self.next_is("OR") {
            answer |= self.all(allow)?;
        }
        Some(answer)
    }

    fn all(&mut self, allow: &dyn Fn(&str) -> bool) -> Option<bool> {
        let mut answer = self.one(allow)?;
        while self.next_is("AND") {
            answer &= self.one(allow)?;
        }
        Some(answer)
    }

    fn one(&mut self, allow: &dyn Fn(&str) -> bool) -> Option<bool> {
        let token = self.tokens.pop()?;
        if token == "(" {
            let answer = self.any(allow)?;
            return self.next_is(")").then_some(answer);
        }
        let licence = if self.next_is("WITH") { format!("{token} WITH {}", self.tokens.pop()?) } else { token };
        Some(allow(&licence))
    }

    fn next_is(&mut self, token: &str) -> bool {
        self.tokens.pop_if(|next| next == token).is_some()
    }
}

#[test]
fn licence_expressions_are_read_as_spdx_says() {
    let allowed = |text: &str| Expression::of(text).allowed_by(&|licence| matches!(licence, "MIT" | "ISC"));
    assert_eq!(allowed("MIT"), Some(true));
    assert_eq!(allowed("GPL-3.0-only OR MIT"), Some(true));
    assert_eq!(allowed("GPL-3.0-only/MIT"), Some(true));
    assert_eq!(allowed("MIT AND GPL-3.0-only"), Some(false));
    assert_eq!(allowed("(Apache-2.0 OR MIT) AND ISC"), Some(true));
    assert_eq!(allowed("Apache-2.0 OR MIT AND GPL-3.0-only"), Some(false));
    assert_eq!(allowed("MIT WITH some-exception"), Some(false));
    assert_eq!(allowed("(MIT"), None);
    assert_eq!(allowed("MIT ISC"), None);
}
