//! A block of addresses, as a NetworkPolicy takes it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A block of addresses: the first of them, and how many leading bits they share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

/// Why a text is not one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// No length of prefix.
    #[error("an address alone is no block; write {0}/{width} for this one address", width = width(*.0))]
    NoPrefix(IpAddr),
    /// The part before the slash, or the whole.
    #[error("`{0}` is no IP address; a block looks like 192.0.2.0/24 or 2001:db8::/64")]
    NoAddress(String),
    /// The part after the slash.
    #[error("`/{prefix}` must be a number from 1 to {most}, the bits that the block's addresses share")]
    BadPrefix {
        /// What stands there.
        prefix: String,
        /// What could, at most.
        most: u8,
    },
    /// Every address there is.
    #[error("a prefix of 0 is every address there is, so agents could reach everything on that port")]
    Everything,
    /// An address within the block instead of its first.
    #[error("the block's first address is {0}")]
    NotTheFirst(Cidr),
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(one, other)| (one, Some(other)));
        let address: IpAddr = address.parse().map_err(|_| CidrError::NoAddress(address.to_owned()))?;
        let prefix = bits(prefix.ok_or(CidrError::NoPrefix(address))?, width(address))?;
        let block = Self { network: first(address, prefix), prefix };
        if block.network == address { Ok(block) } else { Err(CidrError::NotTheFirst(block)) }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.network, self.prefix)
    }
}

fn bits(prefix: &str, most: u8) -> Result<u8, CidrError> {
    // The API server takes no sign and no leading zero either.
    let is_plain =
        prefix.bytes().all(|byte| byte.is_ascii_digit()) && (prefix == "0" || !prefix.starts_with('0'));
    let number = prefix.parse::<u8>().ok().filter(|number| is_plain && *number <= most);
    match number {
        Some(0) => Err(CidrError::Everything),
        Some(number) => Ok(number),
        None => Err(CidrError::BadPrefix { prefix: prefix.to_owned(), most }),
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The address with all but its first `prefix` bits cleared; `prefix` is at least 1.
fn first(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4((address.to_bits() & (u32::MAX << (32 - prefix))).into()),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & (u128::MAX << (128 - prefix))).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_as_they_are_written() {
        for text in ["192.0.2.0/24", "10.0.0.1/32", "128.0.0.0/1", "2001:db8::/64", "fd00::1/128", "8000::/1"]
        {
            assert_eq!(text.parse::<Cidr>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_none_is_told_why() {
        for (text, why) in [
            ("", "`` is no IP address"),
            ("example.com/24", "`example.com` is no IP address"),
            ("10.0.0.256/24", "is no IP address"),
            ("010.0.0.0/8", "is no IP address"),
            ("10.0.0.1", "write 10.0.0.1/32"),
            ("fd00::1", "write fd00::1/128"),
            ("10.0.0.0/", "`/` must be a number from 1 to 32"),
            ("10.0.0.0/33", "`/33` must be a number from 1 to 32"),
            ("10.0.0.0/+8", "`/+8` must be"),
            ("10.0.0.0/08", "`/08` must be"),
            ("fd00::/129", "from 1 to 128"),
            ("10.0.0.0/8/8", "`/8/8` must be"),
            ("0.0.0.0/0", "every address"),
            ("::/0", "every address"),
            ("10.0.0.1/24", "the block's first address is 10.0.0.0/24"),
            ("fd00::1/64", "the block's first address is fd00::/64"),
        ] {
            let error = text.parse::<Cidr>().unwrap_err().to_string();
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }
}
