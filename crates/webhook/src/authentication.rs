//! Who may send alerts: whoever shows the token. On unless the configuration says otherwise, as each alert costs money.

use std::fmt;
use std::path::{Path, PathBuf};

use http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::Error;

/// How a sender proves that it may send.
#[derive(Clone)]
pub enum Authentication {
    /// By one of the tokens in a file, one a line: a mounted Secret. It is read at each request, so that a new token
    /// counts at once, and with two lines a change needs no gap.
    BearerTokenFile(PathBuf),
    /// By this token.
    BearerToken(String),
    /// Not at all: whoever reaches the port may make tasks.
    None,
}

impl fmt::Debug for Authentication {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BearerTokenFile(path) => formatter.debug_tuple("BearerTokenFile").field(path).finish(),
            Self::BearerToken(_) => formatter.write_str("BearerToken(<hidden>)"),
            Self::None => formatter.write_str("None"),
        }
    }
}

impl Authentication {
    /// Lets a request pass or not. A file that can't be read is our fault, not the sender's: 503.
    pub(crate) async fn check(&self, headers: &HeaderMap) -> Result<(), Error> {
        let tokens = match self {
            Self::None => return Ok(()),
            Self::BearerToken(token) => vec![token.trim().to_owned()],
            Self::BearerTokenFile(path) => read(path).await?,
        };
        let shown = bearer(headers).ok_or(Error::Unauthorized)?;
        // All are compared, so that the time tells neither which one is right nor how far it is.
        let matches = tokens.iter().fold(false, |found, token| found | is_same(token, shown));
        if matches { Ok(()) } else { Err(Error::Unauthorized) }
    }
}

async fn read(path: &Path) -> Result<Vec<String>, Error> {
    let problem = |problem: String| Error::NoToken { path: path.to_owned(), problem };
    let text = tokio::fs::read_to_string(path).await.map_err(|error| problem(error.to_string()))?;
    let tokens: Vec<_> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if tokens.is_empty() { Err(problem("it is empty".to_owned())) } else { Ok(tokens) }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

/// Over hashes, as a comparison of different lengths would end early.
fn is_same(known: &str, shown: &str) -> bool {
    Sha256::digest(known).as_slice().ct_eq(Sha256::digest(shown).as_slice()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str) -> HeaderMap {
        [(header::AUTHORIZATION, value.parse().unwrap())].into_iter().collect()
    }

    async fn code(authentication: &Authentication, headers: HeaderMap) -> u16 {
        match authentication.check(&headers).await {
            Ok(()) => 200,
            Err(Error::Unauthorized) => 401,
            Err(_) => 503,
        }
    }

    #[tokio::test]
    async fn only_the_whole_token_passes() {
        let token = Authentication::BearerToken("s3cret".into());
        for (header, expected) in [
            ("Bearer s3cret", 200),
            ("bearer s3cret", 200),
            ("Bearer  s3cret ", 200),
            ("Bearer s3cre", 401),
            ("Bearer s3crets", 401),
            ("Bearer S3CRET", 401),
            ("Bearer ", 401),
            ("Bearer", 401),
            ("Basic s3cret", 401),
            ("s3cret", 401),
        ] {
            assert_eq!(code(&token, shown(header)).await, expected, "{header:?}");
        }
        assert_eq!(code(&token, HeaderMap::new()).await, 401);
        assert_eq!(code(&Authentication::None, HeaderMap::new()).await, 200);
        assert!(!format!("{token:?}").contains("s3cret"));
    }

    #[tokio::test]
    async fn a_file_counts_as_it_is_at_the_moment() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let authentication = Authentication::BearerTokenFile(file.path().to_owned());
        for (content, header, expected) in [
            ("one\n", "Bearer one", 200),
            ("two\n", "Bearer one", 401),
            ("one\n\ntwo", "Bearer one", 200),
            ("one\n\ntwo", "Bearer two", 200),
            ("", "Bearer one", 503),
            (" \n", "Bearer ", 503),
        ] {
            std::fs::write(file.path(), content).unwrap();
            assert_eq!(code(&authentication, shown(header)).await, expected, "{header:?} with {content:?}");
        }
        drop(file);
        assert_eq!(code(&authentication, shown("Bearer one")).await, 503);
    }
}
