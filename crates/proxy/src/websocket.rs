//! The handshake of a WebSocket that comes by HTTP/2 and goes on by HTTP/1.1 (RFC 8441 section 5).
//!
//! In HTTP/2 there is no key to prove that a server understands WebSockets: this side makes one, and checks the proof.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY};
use std::hash::{BuildHasher, RandomState};

/// A handshake with a worker that is under way.
#[derive(Debug)]
pub(crate) struct Handshake {
    /// What only a server of WebSockets answers to the key.
    proof: String,
}

impl Handshake {
    /// Puts a key into the head for the worker.
    pub(crate) fn begin(headers: &mut HeaderMap) -> Self {
        let random = RandomState::new();
        let nonce = u128::from(random.hash_one(0)) << 64 | u128::from(random.hash_one(1));
        let key = STANDARD.encode(nonce.to_be_bytes());
        let proof = proof(&key);
        headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::try_from(key).expect("base64 is plain text"));
        Self { proof }
    }

    /// Whether the head of a worker's 101 holds the proof, which is taken out of it.
    pub(crate) fn is_proven(&self, headers: &mut HeaderMap) -> bool {
        headers.remove(SEC_WEBSOCKET_ACCEPT).is_some_and(|proof| proof.as_bytes() == self.proof.as_bytes())
    }
}

/// RFC 6455 section 4.2.2, item 5.4.
fn proof(key: &str) -> String {
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes()))
}

const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_that_of_the_rfc_s_example() {
        assert_eq!(proof("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn each_handshake_has_its_own_key_and_takes_its_own_proof_alone() {
        let (mut first, mut second) = (HeaderMap::new(), HeaderMap::new());
        let handshakes = [Handshake::begin(&mut first), Handshake::begin(&mut second)];
        let key = first[SEC_WEBSOCKET_KEY].to_str().expect("base64");
        assert_eq!(STANDARD.decode(key).expect("base64").len(), 16);
        let mut answer = HeaderMap::new();
        assert!(!handshakes[0].is_proven(&mut answer), "there is none");
        answer.insert(SEC_WEBSOCKET_ACCEPT, proof(key).parse().expect("base64"));
        assert!(!handshakes[1].is_proven(&mut answer.clone()));
        assert!(handshakes[0].is_proven(&mut answer) && answer.is_empty());
    }
}
