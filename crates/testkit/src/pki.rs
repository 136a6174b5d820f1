//! The certificates of one throw-away cluster: made anew for each, kept nowhere else.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use crate::Error;

/// A certificate and its key, both PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// Its private key (PKCS #8).
    pub key: String,
}

/// The certificate authority of a cluster, which signs for servers and clients alike.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// The keys that ServiceAccount tokens are signed and checked with, both PEM.
#[derive(Clone, Debug)]
pub struct TokenKeys {
    /// Signs.
    pub private: String,
    /// Checks.
    pub public: String,
}

impl Authority {
    /// A new one.
    pub fn new() -> Result<Self, Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "punching-fist-development");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// Its own certificate, PEM.
    pub fn certificate(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for a server that is reached by `names` (DNS names and addresses).
    pub fn server(&self, common_name: &str, names: &[&str]) -> Result<Pair, Error> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        self.sign(CertificateParams::new(names)?, common_name, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A certificate for a client: to Kubernetes, `common_name` is the user and `organization` the group.
    pub fn client(&self, common_name: &str, organization: Option<&str>) -> Result<Pair, Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        if let Some(group) = organization {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        self.sign(params, common_name, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        common_name: &str,
        purpose: ExtendedKeyUsagePurpose,
    ) -> Result<Pair, Error> {
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

impl TokenKeys {
    /// A new pair.
    pub fn new() -> Result<Self, Error> {
        let pair = KeyPair::generate()?;
        Ok(Self { private: pair.serialize_pem(), public: pair.public_key_pem() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_signs_is_pem_and_never_the_same_twice() {
        let authority = Authority::new().unwrap();
        let one = authority.client("admin", Some("system:masters")).unwrap();
        let two = authority.client("admin", Some("system:masters")).unwrap();
        assert!(one.certificate.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(one.key.starts_with("-----BEGIN PRIVATE KEY-----"));
        assert_ne!(one.key, two.key);
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        assert!(Authority::new().unwrap().server("x", &["ü"]).is_err());
    }
}
