//! Signing transactions as the node verifies them: ECDSA over secp256k1 of the 32 bytes of the
//! transaction's hash, in compact form, everything in hexadecimal (`verifyTxSignature` in the node's
//! `src/l2/BlockProducer.cpp`).

use k256::ecdsa::signature::hazmat::PrehashSigner;
use k256::ecdsa::{Signature, SigningKey};
use sha2::{Digest, Sha256};

/// A key that signs.
pub(super) struct Signer(SigningKey);

impl Signer {
    /// From the 32 bytes of a secret key.
    ///
    /// # Errors
    /// They are zero or not below the order of the curve.
    pub(super) fn from_secret(secret: &[u8]) -> Result<Self, String> {
        SigningKey::from_slice(secret)
            .map(Self)
            .map_err(|error| format!("no secret key of secp256k1: {error}"))
    }

    /// From any words, always the same key. It guards nothing.
    pub(super) fn from_words(words: &str) -> Result<Self, String> {
        Self::from_secret(&digest(words))
    }

    /// The public key: a point in compressed form, 66 digits.
    pub(super) fn public_key(&self) -> String {
        hex(self.0.verifying_key().to_sec1_point(true).as_bytes())
    }

    /// The signature of a hash: r and s, 128 digits. The nonce is that of RFC 6979, so it is the
    /// same each time.
    pub(super) fn sign(&self, hash: &[u8; 32]) -> Result<String, String> {
        let signature: Signature = self
            .0
            .sign_prehash(hash)
            .map_err(|error| format!("cannot sign: {error}"))?;
        Ok(hex(&signature.to_bytes()))
    }
}

/// The SHA-256 of a text.
pub(super) fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// In lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors for RFC 6979 over secp256k1 with SHA-256 that Bitcoin's libraries share
    /// (bitcointalk.org, topic 285142).
    #[test]
    fn signatures_are_those_of_the_known_vectors() {
        let one = "0000000000000000000000000000000000000000000000000000000000000001";
        let last = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140";
        for (secret, message, signature) in [
            (
                one,
                "Satoshi Nakamoto",
                "934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8\
                 2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5",
            ),
            (
                last,
                "Satoshi Nakamoto",
                "fd567d121db66e382991534ada77a6bd3106f0a1098c231e47993447cd6af2d0\
                 6b39cd0eb1bc8603e159ef5c20a5c8ad685a45b06ce9bebed3f153d10d93bed5",
            ),
        ] {
            let signer = Signer::from_secret(&bytes(secret)).expect("a key");
            assert_eq!(signer.sign(&digest(message)).expect("it signs"), signature);
        }
        // The generator itself.
        let signer = Signer::from_secret(&bytes(one)).expect("a key");
        assert_eq!(
            signer.public_key(),
            "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
        );
    }

    #[test]
    fn what_is_below_one_or_above_the_order_is_no_key() {
        assert!(Signer::from_secret(&[0; 32]).is_err());
        assert!(Signer::from_secret(&[0xff; 32]).is_err());
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits");
        (0..hex.len()).step_by(2).map(digit).collect()
    }
}
