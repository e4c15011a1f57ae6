//! The address of a server, as people write it.

use std::fmt;
use std::str::FromStr;

use anyhow::Context;
use tonic::transport::{Endpoint, Uri};

/// The port where the scheme and the address name none.
const DEFAULT_PORT: u16 = 8001;

/// `HOST`, `HOST:PORT` or `http://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl(String);

impl ServerUrl {
    /// What opens connections to it.
    pub(super) fn endpoint(&self) -> anyhow::Result<Endpoint> {
        Endpoint::from_shared(format!("http://{}", self.0)).with_context(|| format!("'{self}' is no address"))
    }
}

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{why}; expected HOST:PORT, such as 127.0.0.1:8001");
        let address = match text.split_once("://") {
            None => text,
            Some(("http" | "grpc", address)) => address,
            Some((scheme, _)) => return Err(wrong(&format!("'{scheme}' is not spoken here, only plain gRPC"))),
        };
        let address = address.strip_suffix('/').unwrap_or(address);
        let uri: Uri = format!("http://{address}").parse().map_err(|error| wrong(&format!("{error}")))?;
        if uri.path() != "/" || uri.query().is_some() || uri.host().is_none_or(str::is_empty) {
            return Err(wrong("not an address"));
        }
        match uri.port_u16() {
            Some(_) => Ok(Self(address.to_owned())),
            None if address.rsplit(']').next().is_some_and(|rest| rest.contains(':')) => Err(wrong("not a port")),
            None => Ok(Self(format!("{address}:{DEFAULT_PORT}"))),
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_people_write_them() {
        for (text, expected) in [
            ("127.0.0.1:9001", "127.0.0.1:9001"),
            ("http://line-3:8001/", "line-3:8001"),
            ("grpc://line-3:1", "line-3:1"),
            ("line-3", "line-3:8001"),
            ("[::1]:8001", "[::1]:8001"),
            ("[::1]", "[::1]:8001"),
        ] {
            assert_eq!(text.parse::<ServerUrl>().unwrap().to_string(), expected);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_an_example() {
        for text in ["", "https://line-3:8001", "line-3:port", "line-3:99999", "line-3:8001/v2", "a b:1"] {
            let error = text.parse::<ServerUrl>().unwrap_err();
            assert!(error.ends_with("expected HOST:PORT, such as 127.0.0.1:8001"), "{text}: {error}");
        }
    }
}
